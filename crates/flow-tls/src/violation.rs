//! What breaks the RFCs without ending the parse, as it is reported; the crate's documentation
//! lists these.

pub(crate) const EXTENSION_BLOCK: &str = "extension block length";
pub(crate) const DUPLICATE_EXTENSION: &str = "duplicate extension";
pub(crate) const MALFORMED_EXTENSION: &str = "malformed extension";
pub(crate) const SESSION_ID_NOT_ECHOED: &str = "session id not echoed";
pub(crate) const PSK_NOT_OFFERED: &str = "selected psk not offered";
pub(crate) const MALFORMED_TICKET: &str = "malformed new session ticket";
pub(crate) const EMPTY_RECORD: &str = "empty record";
pub(crate) const LONG_RECORD: &str = "record longer than 2^14";
pub(crate) const RECORD_VERSION: &str = "unknown record version";
pub(crate) const INTERLEAVED: &str = "interleaved handshake message";
pub(crate) const ALERT_LEVEL: &str = "unknown alert level";
