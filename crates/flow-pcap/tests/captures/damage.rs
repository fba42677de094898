use flow_pcap::{ErrorKind, PcapConfig, PcapFlowSource};

use crate::build::{Order, Pcap, Pcapng};
use crate::read::{check, check_damaged, packet, read, read_with};

#[test]
fn not_a_capture() {
    check_damaged(b"", &[], "offset 0: empty, not a capture");
    check_damaged(b"hello, world\n", &[], "offset 0: not a capture: begins with 68 65 6c 6c");
    check_damaged(&[0; 64], &[], "offset 0: not a capture: begins with 00 00 00 00");
    check_damaged(b"\xa1", &[], "offset 0: file header cut short: needs 4 bytes, 1 left");
    let header = Pcap::new(Order::Little, Pcap::MICROS).bytes;
    let error = "offset 0: file header cut short: needs 24 bytes, 23 left";
    check_damaged(&header[..23], &[], error);
}

#[test]
fn errors_of_open_name_the_file() {
    let error = PcapFlowSource::open("no/such/file.pcap").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Io(_)));
    assert!(error.to_string().starts_with("no/such/file.pcap: "), "{error}");
}

#[test]
fn versions() {
    for (major, minor) in [(0, 0), (1, 4), (3, 0), (543, 1)] {
        let file = Pcap::with_header(Order::Little, Pcap::MICROS, (major, minor), 0, 1);
        let error = format!("offset 0: pcap version {major}.{minor} is not supported");
        check_damaged(&file.bytes, &[], &error);
    }
    let file = Pcapng { order: Order::Big, bytes: Vec::new() }.section(Order::Big, 2);
    check_damaged(&file.bytes, &[], "offset 0: pcapng version 2.0 is not supported");
}

/// Every cut gives the whole packets before it, and one error unless it is between two records.
#[test]
fn cut_at_every_byte() {
    let records = |order, magic| {
        Pcap::new(order, magic).record([1, 0, 3, 3], b"abc").record([2, 0, 0, 9], b"")
    };
    for order in Order::BOTH {
        let bytes = records(order, Pcap::MICROS).record([3, 0, 9, 9], b"defghijkl").bytes;
        let expected = [packet(1_000_000_000, 1, 3, b"abc"), packet(2_000_000_000, 1, 9, b"")];
        check_cuts(&bytes, &[24, 43, 59, 84], &expected);

        let bytes = Pcapng::new(order)
            .interface(1, 0, &[])
            .enhanced(0, 1_000_000, 3, b"abc")
            .block(5, b"interface statistics")
            .obsolete(0, 2_000_000, 9, b"")
            .simple(9, b"defghijkl")
            .bytes;
        check_cuts(&bytes, &[28, 48, 84, 116, 148, 176], &expected);
    }
}

/// `ends` are the offsets between records.
#[track_caller]
fn check_cuts(bytes: &[u8], ends: &[usize], first_packets: &[crate::read::Packet]) {
    assert_eq!(bytes.len(), *ends.last().unwrap());
    let (all, error) = read(bytes);
    assert_eq!((&all[..2], error), (first_packets, None));
    for cut in 0..bytes.len() {
        let (packets, error) = read(&bytes[..cut]);
        assert!(all.starts_with(&packets));
        let last_end = ends.iter().copied().rfind(|&end| end <= cut).unwrap_or(0);
        let whole = read(&bytes[..last_end]).0;
        assert_eq!(packets, whole, "cut at {cut}");
        match error {
            None => assert_eq!(cut, last_end),
            Some(error) => {
                assert!(cut == 0 || cut != last_end);
                assert!(error.starts_with(&format!("offset {last_end}: ")), "{cut}: {error}");
                assert!(error.ends_with(&format!(", {} left", cut - last_end)) || cut == 0);
            }
        }
    }
}

#[test]
fn packet_limit() {
    let frame = vec![0; 300_000];
    let at = |snaplen, len: u32| {
        let file = Pcap::with_header(Order::Little, Pcap::MICROS, (2, 4), snaplen, 1);
        file.record([0, 0, len, len], &frame[..len as usize]).bytes
    };
    check(&at(96, 262_144), &[packet(0, 1, 262_144, &frame[..262_144])]);
    let error = "offset 24: packet of 262145 bytes is longer than the limit of 262144";
    check_damaged(&at(96, 262_145), &[], error);
    check(&at(300_000, 300_000), &[packet(0, 1, 300_000, &frame)]);

    let mut config = PcapConfig::default();
    config.max_packet_bytes = 10;
    config.max_block_bytes = 20;
    assert_eq!(read_with(&at(0, 10), &config).0.len(), 1);
    assert_eq!(read_with(&at(0, 11), &config).0.len(), 0);
    assert_eq!(read_with(&at(u32::MAX, 20), &config).0.len(), 1);
    assert_eq!(read_with(&at(u32::MAX, 21), &config).0.len(), 0);
}

#[test]
fn lying_lengths() {
    let file = Pcap::new(Order::Big, Pcap::NANOS).record([0, 0, 1, 1], b"x");
    let error = "offset 41: packet cut short: needs 516 bytes, 20 left";
    check_damaged(&file.record([0, 0, 500, 500], b"abcd").bytes, &[packet(0, 1, 1, b"x")], error);

    let interface = || Pcapng::new(Order::Big).interface(1, 0, &[]);
    let beyond = interface().block(6, &Order::Big.words(&[0, 0, 0, 5, 5, 0x6162_6364])).bytes;
    check_damaged(&beyond, &[], "offset 48: packet of 5 bytes in a block with room for 4");
    let beyond = interface().simple(5, b"abcd").bytes;
    check_damaged(&beyond, &[], "offset 48: packet of 5 bytes in a block with room for 4");
    let too_long = interface().block(6, &Order::Big.words(&[0, 0, 0, u32::MAX, 5])).bytes;
    let error = "offset 48: packet of 4294967295 bytes is longer than the limit of 262144";
    check_damaged(&too_long, &[], error);
}

#[test]
fn bad_blocks() {
    let section = || Pcapng::new(Order::Little);
    let with = |words: &[u32]| [section().bytes, Order::Little.words(words)].concat();
    check_damaged(&with(&[5, 8, 0]), &[], "offset 28: bad block length 8");
    check_damaged(&with(&[5, 15, 0, 0]), &[], "offset 28: bad block length 15");
    check_damaged(
        &with(&[5, 16, 0, 20]),
        &[],
        "offset 28: block length is 16 at its start, 20 at its end",
    );
    check_damaged(
        &with(&[5, u32::MAX - 3, 0]),
        &[],
        "offset 28: block cut short: needs 4294967292 bytes, 12 left",
    );
    check_damaged(
        &with(&[6, u32::MAX - 3, 0]),
        &[],
        "offset 28: block of 4294967292 bytes is longer than the limit of 16777216",
    );
    check_damaged(
        &with(&[0x0a0d_0d0a, 28, 0x1234_5678]),
        &[],
        "offset 28: bad byte-order magic 0x12345678",
    );
    // Blocks without room for their own fields.
    check_damaged(
        &section().block(0x0a0d_0d0a, &Order::Little.u32(0x1a2b_3c4d)).bytes,
        &[],
        "offset 28: bad block length 16",
    );
    check_damaged(&section().block(1, b"").bytes, &[], "offset 28: bad block length 12");
    check_damaged(&section().block(2, &[0; 16]).bytes, &[], "offset 28: bad block length 28");
    check_damaged(&section().block(3, b"").bytes, &[], "offset 28: bad block length 12");
    check_damaged(&section().block(6, &[0; 16]).bytes, &[], "offset 28: bad block length 28");
    check_damaged(
        &section().simple(1, b"x").bytes,
        &[],
        "offset 28: packet of interface 0, but the section describes 0",
    );
}
