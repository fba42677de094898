use flow_core::LinkType;

/// The `LINKTYPE_` value of a `DLT_` value of this system.
///
/// They are the same but for the few that systems number differently (libpcap's
/// `dlt_to_linktype`). One that does not fit is none that anybody knows.
pub(crate) fn link_type(dlt: i32) -> LinkType {
    match dlt {
        11 => LinkType(100), // ATM_RFC1483
        12 if cfg!(target_os = "openbsd") => LinkType::LOOP,
        12 | 14 => LinkType::RAW,
        15 if !cfg!(target_os = "openbsd") => LinkType(102), // SLIP_BSDOS
        16 if !cfg!(target_os = "openbsd") => LinkType(103), // PPP_BSDOS
        19 => LinkType(106),                                 // ATM_CLIP
        _ => LinkType(u16::try_from(dlt).unwrap_or(u16::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dlt: i32, expected: LinkType) {
        assert_eq!(link_type(dlt), expected);
    }

    #[test]
    fn link_types_are_those_of_files() {
        check(0, LinkType::NULL);
        check(1, LinkType::ETHERNET);
        check(9, LinkType::PPP);
        check(105, LinkType::IEEE802_11);
        check(113, LinkType::LINUX_SLL);
        check(127, LinkType::IEEE802_11_RADIOTAP);
        check(276, LinkType::LINUX_SLL2);
        check(-1, LinkType(u16::MAX));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn raw_ip_has_another_number_in_files() {
        check(12, LinkType::RAW);
        check(11, LinkType(100));
    }
}
