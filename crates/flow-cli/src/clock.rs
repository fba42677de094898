use std::time::Instant;

/// The present.
///
/// What is found in a capture depends on the time of its packets alone. This is for those who wait:
/// for packets of an interface, for the user.
#[expect(clippy::disallowed_methods, reason = "packets that do not come have no time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
