use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// Header or trailer fields, in the order and with the letters in which they were sent.
///
/// Spaces around a value are left out; a value folded over several lines has spaces in place of
/// its line ends (RFC 9112 section 5.2). A line without a colon is kept as a name without a
/// value.
#[derive(Clone, Default)]
pub struct HttpHeaders {
    text: Bytes,
    fields: Vec<Field>,
    omitted: u32,
}

/// Where a field stands in its text. Heads are shorter than 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: (u32, u32),
    pub(crate) value: (u32, u32),
}

impl HttpHeaders {
    pub(crate) fn new(text: Bytes, fields: Vec<Field>, omitted: u32) -> Self {
        Self { text, fields, omitted }
    }

    /// Names and values.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &[u8])> + ExactSizeIterator {
        self.fields.iter().map(|field| (self.name(field), self.value(field)))
    }

    /// The value of the first field of this name, whatever the case of its letters.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The same as text, if it is UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        str::from_utf8(self.get(name)?).ok()
    }

    /// The values of all fields of this name.
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// How many more there were than [`HttpConfig::max_headers`](crate::HttpConfig::max_headers).
    #[must_use]
    pub fn omitted(&self) -> u32 {
        self.omitted
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.text.len() + self.fields.capacity() * size_of::<Field>()
    }

    fn name(&self, field: &Field) -> &str {
        // The parser lets nothing but ASCII into a name.
        str::from_utf8(self.slice(field.name)).unwrap_or_default()
    }

    fn value(&self, field: &Field) -> &[u8] {
        self.slice(field.value)
    }

    fn slice(&self, (start, end): (u32, u32)) -> &[u8] {
        let range: Range<usize> = start as usize..end as usize;
        self.text.get(range).unwrap_or_default()
    }
}

impl PartialEq for HttpHeaders {
    fn eq(&self, other: &Self) -> bool {
        self.omitted == other.omitted && self.iter().eq(other.iter())
    }
}

impl Eq for HttpHeaders {}

impl fmt::Debug for HttpHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.iter().map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_map().entries(fields).finish()
    }
}
