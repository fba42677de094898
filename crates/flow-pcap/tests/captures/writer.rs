use std::io::{self, ErrorKind};

use flow_core::{LinkType, PacketView, Timestamp};
use flow_pcap::PcapWriter;

use crate::read::{check, packet};

fn write(nanosecond: bool, views: &[PacketView<'_>]) -> io::Result<Vec<u8>> {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::LINUX_SLL2, nanosecond)?;
    views.iter().try_for_each(|view| writer.write(view))?;
    Ok(writer.into_inner())
}

fn view(frame: &[u8], nanos: u64) -> PacketView<'_> {
    PacketView::new(frame, Timestamp::from_nanos(nanos)).with_link_type(LinkType::LINUX_SLL2)
}

#[test]
fn round_trip() {
    let views = [view(b"abc", 1_000_002_003), view(b"", 5).with_wire_len(60)];
    let nanos = write(true, &views).unwrap();
    check(&nanos, &[packet(1_000_002_003, 276, 3, b"abc"), packet(5, 276, 60, b"")]);
    let micros = write(false, &views).unwrap();
    check(&micros, &[packet(1_000_002_000, 276, 3, b"abc"), packet(0, 276, 60, b"")]);
}

#[test]
fn what_a_file_cannot_hold() {
    let last = u64::from(u32::MAX) * 1_000_000_000 + 999_999_999;
    let frame = vec![0; 262_145];
    assert!(write(true, &[view(&frame[1..], last)]).is_ok());
    for refused in
        [view(b"x", last + 1), view(&frame, 0), view(b"x", 0).with_link_type(LinkType::ETHERNET)]
    {
        assert_eq!(write(true, &[refused]).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
