/// How an interface is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveConfig {
    /// Bytes of a frame that are captured, at most; its wire length tells how long it was.
    ///
    /// Rationale: 262,144 is what libpcap takes for "all of it" (`MAXIMUM_SNAPLEN`). Shorter loses
    /// payload: a frame is as long as segmentation offload makes it, not as the network does.
    pub snaplen: u32,
    /// Bytes of the kernel's buffer for packets that were not read yet; on Linux a block of 256 KiB
    /// at least, and 0 for what libpcap thinks right.
    ///
    /// Rationale: 16 MiB are a seventh of a second of a full 1 Gbit/s link, or 64 blocks of 256
    /// KiB. However few packets come, no more than 20 blocks are begun in a second, so that a
    /// reader may stand still for 3 s.
    pub buffer_bytes: u32,
    /// Whether the interface takes frames that are not addressed to this host.
    pub promiscuous: bool,
    /// Whether a packet is shown as soon as it is there, in place of with others, up to a tenth of
    /// a second later.
    ///
    /// On Linux this takes a buffer of slots that each have room for the longest frame there may
    /// be. With segmentation offload, which is the rule, a slot takes 64 KiB: the default buffer
    /// then has room for 256 packets, however short, in place of 10,000 full ones. It is for
    /// programs that answer packets, or with a short [`snaplen`](Self::snaplen).
    pub immediate: bool,
    /// What to capture, in the language of tcpdump (`pcap-filter(7)`); everything if `None`.
    pub filter: Option<String>,
    /// The group of captures among which packets are divided, for captures that are opened one by
    /// one, in different processes for example; [`LiveCapture::open_fanout`] makes a group of its
    /// own if there is none here.
    ///
    /// [`LiveCapture::open_fanout`]: crate::LiveCapture::open_fanout
    pub fanout: Option<Fanout>,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            snaplen: 262_144,
            buffer_bytes: 16 << 20,
            promiscuous: true,
            immediate: false,
            filter: None,
            fanout: None,
        }
    }
}

impl LiveConfig {
    /// The same with another [`snaplen`](Self::snaplen).
    #[must_use]
    pub fn with_snaplen(mut self, bytes: u32) -> Self {
        self.snaplen = bytes;
        self
    }

    /// The same with another [`buffer_bytes`](Self::buffer_bytes).
    #[must_use]
    pub fn with_buffer_bytes(mut self, bytes: u32) -> Self {
        self.buffer_bytes = bytes;
        self
    }

    /// The same with another [`promiscuous`](Self::promiscuous).
    #[must_use]
    pub fn with_promiscuous(mut self, promiscuous: bool) -> Self {
        self.promiscuous = promiscuous;
        self
    }

    /// The same with another [`immediate`](Self::immediate).
    #[must_use]
    pub fn with_immediate(mut self, immediate: bool) -> Self {
        self.immediate = immediate;
        self
    }

    /// The same with a [`filter`](Self::filter).
    #[must_use]
    pub fn with_filter(mut self, expression: impl Into<String>) -> Self {
        self.filter = Some(expression.into());
        self
    }

    /// The same in a group of captures ([`fanout`](Self::fanout)).
    #[must_use]
    pub fn with_fanout(mut self, fanout: Fanout) -> Self {
        self.fanout = Some(fanout);
        self
    }
}

/// A group of captures of one interface among which packets are divided by flow
/// (`PACKET_FANOUT_HASH`, `packet(7)`; Linux only).
///
/// Both directions of a flow come to the same member, and so do the fragments of a packet, as they
/// are put together before. A group is known by its number to all processes of a network
/// namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fanout {
    pub(crate) group: u16,
}

impl Fanout {
    /// The group of this number; the first that joins it makes it.
    #[must_use]
    pub const fn new(group: u16) -> Self {
        Self { group }
    }

    /// Its number.
    #[must_use]
    pub const fn group(self) -> u16 {
        self.group
    }
}
