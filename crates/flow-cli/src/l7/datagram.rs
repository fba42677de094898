use flow::dns::{DnsConfig, DnsService, DnsUdpTransactions};
use flow::{Context, DatagramParser, EndReason, FlowSide, Mark, Parsed};

use super::L7Message;

/// Reads the messages of a UDP flow.
///
/// A flow that turns out to be none of the protocols costs nothing from then on.
#[derive(Clone, Debug)]
pub(crate) struct L7Datagram {
    dns: DnsUdpTransactions,
}

impl L7Datagram {
    /// For a flow between these ports. They decide how sure the parser has to be.
    pub(crate) fn for_ports(a: u16, b: u16) -> Self {
        let service = DnsService::from_ports(a, b);
        Self { dns: DnsUdpTransactions::new(DnsConfig::default()).with_service(service) }
    }

    /// Calls the parser with a context of its own and hands its messages on.
    fn call(
        &mut self,
        side: FlowSide,
        len: usize,
        cx: &mut Context<'_, L7Message>,
        what: impl FnOnce(&mut DnsUdpTransactions, &mut Context<'_, flow::dns::DnsMessage>),
    ) {
        let (mut out, mut pending) = (Vec::new(), None);
        let (ts, packet, at) = (cx.timestamp(), cx.packet(), cx.mark(0));
        let mut inner = Context::new(ts, packet, side, at, len, &mut pending, &mut out);
        what(&mut self.dns, &mut inner);
        for Parsed { message, first_packet, range, .. } in out {
            let start = Mark { offset: range.start, packet: first_packet };
            cx.emit_from(start, len, L7Message::Dns(message));
        }
    }
}

impl DatagramParser for L7Datagram {
    type Message = L7Message;

    fn parse(&mut self, payload: &[u8], side: FlowSide) -> Vec<L7Message> {
        self.dns.parse(payload, side).into_iter().map(L7Message::Dns).collect()
    }

    fn datagram(&mut self, side: FlowSide, payload: &[u8], cx: &mut Context<'_, L7Message>) {
        self.call(side, payload.len(), cx, |dns, cx| dns.datagram(side, payload, cx));
    }

    fn wants(&self) -> bool {
        self.dns.wants()
    }

    fn close(&mut self, reason: EndReason, cx: &mut Context<'_, L7Message>) {
        self.call(FlowSide::Initiator, 0, cx, |dns, cx| dns.close(reason, cx));
    }
}
