use crate::build::{Order, Pcap};
use crate::read::{check, packet};

#[test]
fn byte_orders_and_resolutions() {
    for order in Order::BOTH {
        let micros = Pcap::new(order, Pcap::MICROS).record([7, 5, 3, 60], b"abc");
        check(&micros.bytes, &[packet(7_000_005_000, 1, 60, b"abc")]);
        let nanos = Pcap::new(order, Pcap::NANOS).record([7, 5, 3, 60], b"abc");
        check(&nanos.bytes, &[packet(7_000_000_005, 1, 60, b"abc")]);
    }
}

#[test]
fn modified_records_have_eight_more_bytes() {
    for order in Order::BOTH {
        let bytes = Pcap::new(order, Pcap::MODIFIED)
            .record([7, 5, 3, 60], b"iiiippd-abc")
            .record([8, 0, 1, 1], b"iiiippd-x")
            .bytes;
        check(&bytes, &[packet(7_000_005_000, 1, 60, b"abc"), packet(8_000_000_000, 1, 1, b"x")]);
    }
}

#[test]
fn header_alone_is_a_capture() {
    check(&Pcap::new(Order::Little, Pcap::MICROS).bytes, &[]);
}

#[test]
fn frames_without_bytes() {
    let bytes = Pcap::new(Order::Little, Pcap::MICROS)
        .record([1, 0, 0, 60], b"")
        .record([2, 0, 0, 0], b"")
        .bytes;
    check(&bytes, &[packet(1_000_000_000, 1, 60, b""), packet(2_000_000_000, 1, 0, b"")]);
}

#[test]
fn link_type_is_the_lower_half() {
    for (network, expected) in [(0x0000_0071, 113), (0x2400_0001, 1), (0x0000_0114, 276)] {
        let file = Pcap::with_header(Order::Big, Pcap::MICROS, (2, 4), 65_535, network);
        check(&file.record([0, 0, 1, 1], b"x").bytes, &[packet(0, expected, 1, b"x")]);
    }
    for raw in [12, 14, 101] {
        let file = Pcap::with_header(Order::Big, Pcap::MICROS, (2, 4), 65_535, raw);
        check(&file.record([0, 0, 1, 1], b"x").bytes, &[packet(0, 101, 1, b"x")]);
    }
}

#[test]
fn fractions_out_of_range_carry() {
    let bytes = Pcap::new(Order::Little, Pcap::NANOS).record([1, 2_500_000_000, 1, 1], b"x").bytes;
    check(&bytes, &[packet(3_500_000_000, 1, 1, b"x")]);
    let bytes =
        Pcap::new(Order::Little, Pcap::MICROS).record([u32::MAX, u32::MAX, 1, 1], b"x").bytes;
    check(&bytes, &[packet(4_294_971_589_967_295_000, 1, 1, b"x")]);
}

#[test]
fn the_wire_has_at_least_what_was_captured() {
    let bytes = Pcap::new(Order::Little, Pcap::MICROS).record([0, 0, 3, 0], b"abc").bytes;
    check(&bytes, &[packet(0, 1, 3, b"abc")]);
}

#[test]
fn old_versions_may_swap_the_lengths() {
    for version in [(2, 1), (2, 3), (543, 0)] {
        let file = Pcap::with_header(Order::Big, Pcap::MICROS, version, 65_535, 1);
        let bytes = file.record([0, 0, 60, 3], b"abc").record([0, 0, 2, 9], b"de").bytes;
        check(&bytes, &[packet(0, 1, 60, b"abc"), packet(0, 1, 9, b"de")]);
    }
}

/// More than the buffer of a stream holds, so that records lie across its end.
#[test]
fn many_records() {
    let mut file = Pcap::new(Order::Little, Pcap::NANOS);
    let mut expected = Vec::new();
    for number in 0..400_u32 {
        let len = number * 37 % 3_000;
        let frame = vec![number as u8; len as usize];
        file = file.record([number, number, len, len], &frame);
        expected.push(packet(u64::from(number) * 1_000_000_001, 1, len, &frame));
    }
    check(&file.bytes, &expected);
}
