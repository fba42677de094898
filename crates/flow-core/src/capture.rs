/// What a source of packets counted since it was opened; never reset.
///
/// A live interface has all of them; a file only what was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureStats {
    /// Packets that matched the filter, those included that were dropped.
    pub received: u64,
    /// Packets lost because they were not read in time: the buffer between the system and us was
    /// full.
    pub dropped: u64,
    /// Packets that the interface or its driver lost before.
    pub dropped_by_interface: u64,
}
