//! Writers of capture bytes that can also write wrong ones.

#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
    pub(crate) const BOTH: [Self; 2] = [Self::Little, Self::Big];

    pub(crate) fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn u64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|&value| self.u32(value)).collect()
    }
}

/// A pcap file.
pub(crate) struct Pcap {
    pub(crate) order: Order,
    pub(crate) bytes: Vec<u8>,
}

impl Pcap {
    pub(crate) const MICROS: u32 = 0xa1b2_c3d4;
    pub(crate) const NANOS: u32 = 0xa1b2_3c4d;
    pub(crate) const MODIFIED: u32 = 0xa1b2_cd34;

    pub(crate) fn new(order: Order, magic: u32) -> Self {
        Self::with_header(order, magic, (2, 4), 65_535, 1)
    }

    pub(crate) fn with_header(
        order: Order,
        magic: u32,
        version: (u16, u16),
        snaplen: u32,
        network: u32,
    ) -> Self {
        let mut bytes = order.u32(magic).to_vec();
        bytes.extend(order.u16(version.0));
        bytes.extend(order.u16(version.1));
        bytes.extend(order.words(&[0, 0, snaplen, network]));
        Self { order, bytes }
    }

    /// The four fields of the record header as they are, then the frame.
    pub(crate) fn record(mut self, header: [u32; 4], frame: &[u8]) -> Self {
        self.bytes.extend(self.order.words(&header));
        self.bytes.extend(frame);
        self
    }
}

/// A pcapng file.
pub(crate) struct Pcapng {
    pub(crate) order: Order,
    pub(crate) bytes: Vec<u8>,
}

impl Pcapng {
    pub(crate) fn new(order: Order) -> Self {
        Self { order, bytes: Vec::new() }.section(order, 1)
    }

    /// A block with correct lengths, the body padded.
    pub(crate) fn block(mut self, kind: u32, body: &[u8]) -> Self {
        let len = 12 + body.len().next_multiple_of(4);
        self.bytes.extend(self.order.words(&[kind, len as u32]));
        self.bytes.extend(body);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes.extend(self.order.u32(len as u32));
        self
    }

    pub(crate) fn section(mut self, order: Order, major: u16) -> Self {
        self.order = order;
        let mut body = order.u32(0x1a2b_3c4d).to_vec();
        body.extend(order.u16(major));
        body.extend(order.u16(0));
        body.extend(order.u64(u64::MAX));
        self.block(0x0a0d_0d0a, &body)
    }

    pub(crate) fn interface(self, link_type: u16, snaplen: u32, options: &[(u16, &[u8])]) -> Self {
        let order = self.order;
        let mut body = order.u16(link_type).to_vec();
        body.extend([0, 0]);
        body.extend(order.u32(snaplen));
        for (code, value) in options {
            body.extend(order.u16(*code));
            body.extend(order.u16(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }

    pub(crate) fn enhanced(self, interface: u32, ticks: u64, wire_len: u32, frame: &[u8]) -> Self {
        let (high, low) = ((ticks >> 32) as u32, ticks as u32);
        let mut body = self.order.words(&[interface, high, low, frame.len() as u32, wire_len]);
        body.extend(frame);
        self.block(6, &body)
    }

    pub(crate) fn obsolete(self, interface: u16, ticks: u64, wire_len: u32, frame: &[u8]) -> Self {
        let (high, low) = ((ticks >> 32) as u32, ticks as u32);
        let mut body = self.order.u16(interface).to_vec();
        body.extend(self.order.u16(0xffff));
        body.extend(self.order.words(&[high, low, frame.len() as u32, wire_len]));
        body.extend(frame);
        self.block(2, &body)
    }

    pub(crate) fn simple(self, wire_len: u32, frame: &[u8]) -> Self {
        let mut body = self.order.u32(wire_len).to_vec();
        body.extend(frame);
        self.block(3, &body)
    }
}
