use flow_pcap::PcapConfig;

use crate::build::{Order, Pcapng};
use crate::read::{check, check_damaged, packet, read_with};

const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;

#[test]
fn byte_orders_and_packet_blocks() {
    for order in Order::BOTH {
        let bytes = Pcapng::new(order)
            .interface(1, 0, &[])
            .enhanced(0, 5_000_000_000, 60, b"abc")
            .simple(2, b"de")
            .obsolete(0, 5_000_000_001, 61, b"fghi")
            .bytes;
        check(
            &bytes,
            &[
                packet(5_000_000_000_000, 1, 60, b"abc"),
                packet(5_000_000_000_000, 1, 2, b"de"),
                packet(5_000_000_001_000, 1, 61, b"fghi"),
            ],
        );
    }
}

#[test]
fn sections_have_their_own_order_and_interfaces() {
    let bytes = Pcapng::new(Order::Little)
        .interface(1, 0, &[])
        .enhanced(0, 1, 1, b"a")
        .section(Order::Big, 1)
        .interface(113, 0, &[])
        .enhanced(0, 2, 1, b"b")
        .section(Order::Little, 1)
        .bytes;
    check(&bytes, &[packet(1_000, 1, 1, b"a"), packet(2_000, 113, 1, b"b")]);
    let bytes = Pcapng { order: Order::Little, bytes }.enhanced(0, 3, 1, b"c").bytes;
    check_damaged(
        &bytes,
        &[packet(1_000, 1, 1, b"a"), packet(2_000, 113, 1, b"b")],
        "offset 196: packet of interface 0, but the section describes 0",
    );
}

#[test]
fn interfaces_have_their_own_link_type_and_clock() {
    #[track_caller]
    fn check_clock(options: &[(u16, &[u8])], ticks: u64, expected: u64) {
        for order in Order::BOTH {
            let file = Pcapng::new(order).interface(0, 0, &[]).interface(276, 0, options);
            let bytes = file.enhanced(1, ticks, 1, b"x").enhanced(0, 3, 1, b"y").bytes;
            check(&bytes, &[packet(expected, 276, 1, b"x"), packet(3_000, 0, 1, b"y")]);
        }
    }
    check_clock(&[], 7, 7_000);
    check_clock(&[(RESOLUTION, &[0])], 7, 7_000_000_000);
    check_clock(&[(RESOLUTION, &[3])], 7, 7_000_000);
    check_clock(&[(RESOLUTION, &[9])], 7, 7);
    check_clock(&[(RESOLUTION, &[12])], 7_999, 7);
    check_clock(&[(RESOLUTION, &[28])], u64::MAX, 1);
    check_clock(&[(RESOLUTION, &[29])], u64::MAX, 0);
    check_clock(&[(RESOLUTION, &[127])], u64::MAX, 0);
    check_clock(&[(RESOLUTION, &[0x80])], 7, 7_000_000_000);
    check_clock(&[(RESOLUTION, &[0x8a])], 1_536, 1_500_000_000);
    check_clock(&[(RESOLUTION, &[0xff])], u64::MAX, 0);
    check_clock(&[(RESOLUTION, &[0])], u64::MAX, u64::MAX);
    // Options in front, behind the end and of the wrong length do not matter.
    check_clock(&[(2, b"eth0\0"), (RESOLUTION, &[9]), (0, b""), (RESOLUTION, &[3])], 7, 7);
    check_clock(&[(RESOLUTION, &[9, 9])], 7, 7_000);
}

#[test]
fn clock_offsets() {
    for (order, offset, expected) in [
        (Order::Little, 1_i64, 1_000_007_000),
        (Order::Big, 1_i64, 1_000_007_000),
        (Order::Little, -1_i64, 0),
        (Order::Big, i64::MAX, u64::MAX),
        (Order::Big, i64::MIN, 0),
    ] {
        let file = Pcapng::new(order).interface(1, 0, &[(OFFSET, &order.u64(offset as u64))]);
        check(&file.enhanced(0, 7, 1, b"x").bytes, &[packet(expected, 1, 1, b"x")]);
    }
}

#[test]
fn simple_packets_are_cut_at_the_snap_length() {
    let bytes = Pcapng::new(Order::Little).interface(1, 3, &[]).simple(60, b"abc").bytes;
    check(&bytes, &[packet(0, 1, 60, b"abc")]);
}

#[test]
fn other_blocks_are_skipped() {
    let file = Pcapng::new(Order::Big).block(0x0000_0bad, b"custom").interface(1, 0, &[]);
    let bytes = file.block(4, b"").block(5, &[0; 300_000]).enhanced(0, 1, 1, b"x").bytes;
    check(&bytes, &[packet(1_000, 1, 1, b"x")]);
}

#[test]
fn block_limit() {
    let mut config = PcapConfig::default();
    config.max_block_bytes = 64;
    let interface = || Pcapng::new(Order::Little).interface(1, 0, &[]);
    let x = |len| vec![b'x'; len];

    let at_limit = interface().enhanced(0, 0, 32, &x(32)).bytes;
    assert_eq!(read_with(&at_limit, &config), (vec![packet(0, 1, 32, &x(32))], None));
    let above = interface().enhanced(0, 0, 33, &x(33)).bytes;
    let error = "offset 48: block of 68 bytes is longer than the limit of 64";
    assert_eq!(read_with(&above, &config), (vec![], Some(error.to_owned())));
    let skipped = interface().block(5, &x(1_000)).enhanced(0, 0, 1, b"x").bytes;
    assert_eq!(read_with(&skipped, &config), (vec![packet(0, 1, 1, b"x")], None));
    let error = "offset 48: block cut short: needs 1012 bytes, 1000 left";
    let cut = &interface().block(5, &x(1_000)).bytes[..1_048];
    assert_eq!(read_with(cut, &config), (vec![], Some(error.to_owned())));
}

#[test]
fn interface_limit() {
    let mut config = PcapConfig::default();
    config.max_interfaces = 2;
    let two = Pcapng::new(Order::Little).interface(1, 0, &[]).interface(1, 0, &[]);
    assert_eq!(read_with(&two.bytes, &config), (vec![], None));
    let three = two.interface(1, 0, &[]).bytes;
    let error = "offset 68: more interfaces in a section than the limit of 2";
    assert_eq!(read_with(&three, &config), (vec![], Some(error.to_owned())));
}
