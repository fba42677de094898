//! Checked reads at a position. They do for fixed fields what etherparse's slices do for whole
//! headers; a slice would check lengths per header that one read of a fixed array checks once.

use flow_core::Payload;

/// The `N` bytes at `at`, if all are there.
#[inline(always)]
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<&[u8; N]> {
    bytes.get(at..)?.first_chunk()
}

/// The 16-bit number in network byte order at `at`.
#[inline(always)]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).copied().map(u16::from_be_bytes)
}

/// The 32-bit number in network byte order at `at`.
#[inline(always)]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).copied().map(u32::from_be_bytes)
}

/// The 24-bit number in network byte order at `at`, such as a VNI.
pub(crate) fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    let &[a, b, c] = array_at(bytes, at)?;
    Some(u32::from_be_bytes([0, a, b, c]))
}

/// The span of `len` bytes at `offset`, as much of it as `frame` holds. The result always lies
/// within the frame.
#[inline(always)]
pub(crate) fn span(frame: &[u8], offset: usize, len: usize) -> Payload {
    let offset = offset.min(frame.len());
    let captured = len.min(frame.len() - offset);
    Payload { offset: saturate(offset), captured: saturate(captured), len: saturate(len) }
}

/// Frames above 4 GiB do not exist; should a source make one up, its end is not looked at.
#[inline(always)]
pub(crate) fn saturate(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
