use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;

/// A piece of text that shares the memory of the message it was sent in: a method, a request
/// target, a reason phrase. It derefs to [`str`], and a clone copies no bytes.
///
/// Bytes that are not UTF-8 are read as ISO 8859-1, which HTTP/1.0 took them for.
#[derive(Clone, Default)]
pub struct HttpText(Bytes);

impl HttpText {
    /// The text with these bytes.
    pub(crate) fn new(bytes: Bytes) -> Self {
        if str::from_utf8(&bytes).is_ok() {
            return Self(bytes);
        }
        let text: String = bytes.iter().copied().map(char::from).collect();
        Self(Bytes::from(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // `new` lets nothing but UTF-8 in.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Deref for HttpText {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for HttpText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for HttpText {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for HttpText {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<HttpText> for String {
    fn from(text: HttpText) -> Self {
        text.as_str().to_owned()
    }
}

impl PartialEq for HttpText {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for HttpText {}

impl PartialEq<str> for HttpText {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for HttpText {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

/// The hash of the [`str`], as [`Borrow`] wants it.
impl Hash for HttpText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Display for HttpText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for HttpText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &'static [u8], expected: &str) {
        assert_eq!(HttpText::new(Bytes::from_static(bytes)), expected);
    }

    #[test]
    fn utf8_stays_and_all_else_is_latin1() {
        check(b"", "");
        check(b"/index.html", "/index.html");
        check("/\u{e9}t\u{e9}".as_bytes(), "/\u{e9}t\u{e9}");
        check(b"/\xe9t\xe9", "/\u{e9}t\u{e9}");
    }
}
