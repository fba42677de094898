/// What breaks a rule of RFC 9112, or lets recipients read a message in more than one way, and does
/// not keep this parser from reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    MalformedStartLine,
    BareCr,
    NoColon,
    SpacedFramingField,
    FoldedFramingField,
    BothLengths,
    LengthsDiffer,
    InvalidLength,
    ChunkedNotLast,
    ChunkedTwice,
    ChunkedInHttp10,
    UnknownCoding,
    PaddedChunkSize,
    BareLfInChunks,
    Behind09,
}

impl Oddity {
    const ALL: [Self; 15] = [
        Self::MalformedStartLine,
        Self::BareCr,
        Self::NoColon,
        Self::SpacedFramingField,
        Self::FoldedFramingField,
        Self::BothLengths,
        Self::LengthsDiffer,
        Self::InvalidLength,
        Self::ChunkedNotLast,
        Self::ChunkedTwice,
        Self::ChunkedInHttp10,
        Self::UnknownCoding,
        Self::PaddedChunkSize,
        Self::BareLfInChunks,
        Self::Behind09,
    ];

    /// The words of the anomaly.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::MalformedStartLine => "malformed start line",
            Self::BareCr => "bare cr in a head",
            Self::NoColon => "header line without a colon",
            Self::SpacedFramingField => "space around the name of a framing field",
            Self::FoldedFramingField => "folded framing field",
            Self::BothLengths => "transfer-encoding and content-length",
            Self::LengthsDiffer => "differing content-lengths",
            Self::InvalidLength => "invalid content-length",
            Self::ChunkedNotLast => "chunked is not the last transfer coding",
            Self::ChunkedTwice => "chunked twice",
            Self::ChunkedInHttp10 => "transfer-encoding in http/1.0",
            Self::UnknownCoding => "last transfer coding of a request is not chunked",
            Self::PaddedChunkSize => "space behind a chunk size",
            Self::BareLfInChunks => "bare lf in chunked framing",
            Self::Behind09 => "bytes behind a request of http/0.9",
        }
    }
}

/// Each of them once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddities(u16);

impl Oddities {
    pub(crate) fn add(&mut self, oddity: Oddity) {
        self.0 |= 1 << oddity as u16;
    }

    pub(crate) fn add_if(&mut self, is: bool, oddity: Oddity) {
        if is {
            self.add(oddity);
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Oddity> {
        Oddity::ALL.into_iter().filter(move |&oddity| self.0 & 1 << oddity as u16 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_documented() {
        let mut all = Oddities::default();
        Oddity::ALL.into_iter().for_each(|oddity| all.add(oddity));
        assert_eq!(all.iter().count(), Oddity::Behind09 as usize + 1);
        for oddity in all.iter() {
            let documented = format!("`{}`", oddity.reason());
            assert!(include_str!("lib.rs").contains(&documented), "{documented}");
        }
    }
}
