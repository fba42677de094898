use std::collections::BTreeMap;

use flow::{LinkType, PacketView};
use pcap::{Capture, Linktype};

use super::bpf::{Instruction, Program};

/// A filter expression of libpcap, as tcpdump takes it.
///
/// What it compiles to depends on the link type, of which a capture may have several.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    expression: String,
    /// Those that were needed so far.
    programs: BTreeMap<u16, Program>,
}

/// The link types that an expression is tried for before a packet is seen: a wrong expression is
/// so for all of them, one about 802.11 for the first only.
const COMMON: [LinkType; 4] =
    [LinkType::ETHERNET, LinkType::IEEE802_11_RADIOTAP, LinkType::LINUX_SLL2, LinkType::PPP];

impl Filter {
    /// Takes an expression.
    ///
    /// # Errors
    ///
    /// libpcap's words if it is not one, or not for any of the common link types.
    pub(crate) fn parse(expression: &str) -> Result<Self, String> {
        let mut first = None;
        for link_type in COMMON {
            match compile(expression, link_type) {
                Ok(program) => {
                    let programs = BTreeMap::from([(link_type.0, program)]);
                    return Ok(Self { expression: expression.to_owned(), programs });
                }
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_default())
    }

    /// The expression.
    #[cfg(feature = "live")]
    pub(crate) fn expression(&self) -> &str {
        &self.expression
    }

    /// Whether a packet matches.
    ///
    /// # Errors
    ///
    /// The expression says something that packets of this link type do not have.
    pub(crate) fn matches(&mut self, view: PacketView<'_>) -> Result<bool, String> {
        let link_type = view.link_type;
        if let Some(program) = self.programs.get(&link_type.0) {
            return Ok(program.matches(view.frame, view.wire_len));
        }
        let program = compile(&self.expression, link_type)
            .map_err(|error| format!("the filter does not fit link type {link_type}: {error}"))?;
        let matches = program.matches(view.frame, view.wire_len);
        self.programs.insert(link_type.0, program);
        Ok(matches)
    }
}

fn compile(expression: &str, link_type: LinkType) -> Result<Program, String> {
    let words = |error: pcap::Error| match error {
        pcap::Error::PcapError(words) => words,
        other => other.to_string(),
    };
    let program = Capture::dead(data_link(link_type))
        .and_then(|handle| handle.compile(expression, true))
        .map_err(words)?;
    // What libpcap makes is read back to be run here: its own interpreter is told no other length
    // than the captured one by the crate, which makes `greater` and `len` wrong for packets that
    // are cut short.
    let instructions = program.get_instructions().iter();
    let instructions = instructions.map(|text| Instruction::parse(&text.to_string()));
    let instructions: Option<_> = instructions.collect();
    instructions.map(Program::new).ok_or_else(|| "libpcap made an unknown program".to_owned())
}

/// The `DLT_` value of a link type, where that is not the `LINKTYPE_` value.
fn data_link(link_type: LinkType) -> Linktype {
    Linktype(match link_type {
        LinkType::RAW if cfg!(target_os = "openbsd") => 14,
        LinkType::RAW => 12,
        LinkType::LOOP if cfg!(target_os = "openbsd") => 12,
        LinkType(number) => number.into(),
    })
}

#[cfg(test)]
mod tests {
    use flow::Timestamp;
    use proptest::prelude::*;

    use super::*;

    /// An IPv4 packet of UDP from port 53, 128 bytes long, of which `captured` are there.
    fn packet(captured: usize) -> Vec<u8> {
        let mut packet =
            vec![0x45, 0, 0, 128, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        packet.extend([0, 53, 0xc0, 0, 0, 108, 0, 0]);
        packet.resize(captured, 0);
        packet
    }

    #[track_caller]
    fn check(expression: &str, expected: bool) {
        let packet = packet(60);
        let view = PacketView::new(&packet, Timestamp::default())
            .with_link_type(LinkType::RAW)
            .with_wire_len(128);
        assert_eq!(Filter::parse(expression).unwrap().matches(view), Ok(expected));
    }

    #[test]
    fn expressions() {
        check("udp port 53", true);
        check("tcp", false);
        check("src host 192.0.2.1 and not dst port 53", true);
        check("ip[8] = 64 and udp[4:2] > 100", true);
        check("(ip[0] & 0xf) << 2 = 20", true);
    }

    #[test]
    fn lengths_are_those_on_the_wire() {
        check("greater 128", true);
        check("less 60", false);
        check("len = 128", true);
    }

    #[test]
    fn what_is_not_captured_does_not_match() {
        check("ip[100] = 0", false);
        check("not ip[100] = 0", false);
    }

    #[test]
    fn errors() {
        assert!(Filter::parse("tcp portt 80").is_err());
        assert!(Filter::parse("\0").is_err());
        let mut filter = Filter::parse("ether host 00:00:5e:00:53:01").unwrap();
        let view = PacketView::new(&[], Timestamp::default()).with_link_type(LinkType::RAW);
        assert!(filter.matches(view).unwrap_err().contains("link type RAW"));
        assert!(Filter::parse("wlan type mgt").is_ok());
    }

    /// One expression for every kind of instruction.
    const EXPRESSIONS: [&str; 10] = [
        "tcp",
        "udp port 53 or icmp6",
        "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
        "ip[ip[0] & 0xf] > udp[4] * 3 - 1",
        "(ip[2:2] - ((ip[0] & 0xf) << 2)) / (ip[9] | 1) >= 10",
        "ip[8] % 7 = 1 or ip[8] ^ 0x55 > ip[9] >> 1",
        "vlan 5 and tcp portrange 1000-2000",
        "ip6 protochain 6 and host ::1",
        "len > 40 and -ip[3] & 255 < ip[4]",
        "ip[4:4] / ip[8:4] = 1",
    ];

    proptest! {
        /// The interpreter of libpcap agrees on packets that are captured whole.
        #[test]
        fn agrees_with_libpcap(
            which in 0..EXPRESSIONS.len(),
            ip in any::<bool>(),
            mut frame in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            if let (true, Some(header)) = (ip, frame.get_mut(..24)) {
                header[12..15].copy_from_slice(&[8, 0, 0x45]);
                header[20..22].copy_from_slice(&[0, 0]);
                header[23] = if header[23] < 128 { 6 } else { 17 };
            }
            let handle = Capture::dead(Linktype::ETHERNET).unwrap();
            let oracle = handle.compile(EXPRESSIONS[which], true).unwrap();
            let program = compile(EXPRESSIONS[which], LinkType::ETHERNET).unwrap();
            let len = u32::try_from(frame.len()).unwrap();
            prop_assert_eq!(program.matches(&frame, len), oracle.filter(&frame));
        }
    }
}
