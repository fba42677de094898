//! Handshakes of every kind.

use flow_core::FlowSide;

use super::*;

/// A connection from its first byte.
pub struct Kind {
    pub name: String,
    /// What is found in it: see [`Feed::story`].
    pub story: &'static str,
    pub packets: Vec<Packet>,
}

#[derive(Clone, Debug)]
pub struct Packet {
    pub side: FlowSide,
    pub bytes: Vec<u8>,
    /// It begins with a record that is encrypted and no early data.
    pub encrypted: bool,
}

/// Both sides of connections of all kinds, and one side of some.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = ssl_2();
    for version in 0x0300..=0x0303 {
        kinds.push(full(version, usize::MAX));
    }
    kinds.extend([
        full(0x0303, 1),
        full(0x0301, 70),
        with_ticket(),
        resumed(),
        client_certificate(),
    ]);
    for ccs in [b"".as_slice(), CCS] {
        kinds.extend([tls_1_3(ccs), early_data(ccs), retried(ccs, false), retried(ccs, true)]);
    }
    kinds.extend(with_alerts());
    kinds.extend(partly_seen());
    kinds
}

fn kind(name: &str, story: &'static str, packets: Vec<Packet>) -> Kind {
    Kind { name: name.to_owned(), story, packets }
}

fn clear(side: FlowSide, bytes: impl Into<Vec<u8>>) -> Packet {
    Packet { side, bytes: bytes.into(), encrypted: false }
}

/// A record and much more of the same.
fn bulk(side: FlowSide, record_type: u8) -> [Packet; 2] {
    let first = Packet { side, bytes: encrypted(record_type, 40), encrypted: true };
    let more = [encrypted(23, 16_384), encrypted(21, 26), encrypted(22, 200)].concat();
    [first, clear(side, more)]
}

fn hello() -> Hello {
    Hello::default().sni("www.example.com").alpn(&[b"h2"])
}

fn hello_13() -> Vec<u8> {
    hello().versions(&[0x0304]).extension(51, &vec16(&[0, 29, 0, 1, 7])).record()
}

/// What ends a handshake up to TLS 1.2 on both sides, `first` before the other.
fn finish(first: FlowSide) -> Vec<Packet> {
    [first, first.other()]
        .into_iter()
        .flat_map(|side| [vec![clear(side, CCS)], bulk(side, 22).to_vec()].concat())
        .collect()
}

fn full(version: u16, record_len: usize) -> Kind {
    let server = [
        server_hello(version, [9; 32], &[]),
        certificate(&[&[1; 400], &[2; 90]]),
        handshake(12, &[1; 300]),
        handshake(14, &[]),
    ]
    .concat();
    let mut packets = vec![
        clear(Initiator, in_records(&hello().version(version).message(), record_len)),
        clear(Responder, in_records(&server, record_len)),
        clear(Initiator, in_records(&handshake(16, &[5; 66]), record_len)),
    ];
    packets.extend(finish(Initiator));
    kind(&format!("full {version:04x} in records of {record_len}"), "CSX", packets)
}

fn with_ticket() -> Kind {
    let mut packets = full(0x0303, usize::MAX).packets;
    packets.truncate(3);
    packets.extend([vec![clear(Initiator, CCS)], bulk(Initiator, 22).to_vec()].concat());
    packets.push(clear(
        Responder,
        [record(22, &new_session_ticket(b"ticket")), CCS.to_vec()].concat(),
    ));
    packets.extend(bulk(Responder, 22));
    kind("full with ticket", "CSXT", packets)
}

fn resumed() -> Kind {
    let answer = server_hello_in(&[7; 32], 0x0303, [9; 32], &[]);
    let mut packets =
        vec![clear(Initiator, hello().record()), clear(Responder, record(22, &answer))];
    packets.extend(finish(Responder));
    kind("resumed", "CS", packets)
}

fn client_certificate() -> Kind {
    let server =
        [server_hello_12(), certificate(&[b"leaf"]), handshake(13, &[1; 20]), handshake(14, &[])];
    let client = [certificate(&[b"mine"]), handshake(16, &[5; 66]), handshake(15, &[6; 70])];
    let mut packets = vec![
        clear(Initiator, hello().record()),
        clear(Responder, record(22, &server.concat())),
        clear(Initiator, record(22, &client.concat())),
    ];
    packets.extend(finish(Initiator));
    kind("client certificate", "CSXX", packets)
}

fn tls_1_3(ccs: &[u8]) -> Kind {
    let mut packets = vec![
        clear(Initiator, hello_13()),
        clear(Responder, [record(22, &server_hello_13()), ccs.to_vec()].concat()),
    ];
    packets.extend(bulk(Responder, 23));
    packets.push(clear(Initiator, ccs));
    packets.extend(bulk(Initiator, 23));
    kind("TLS 1.3", "CS", packets)
}

fn early_data(ccs: &[u8]) -> Kind {
    let first = hello().versions(&[0x0304]).extension(42, &[]).record();
    let mut packets = vec![
        clear(Initiator, [first.as_slice(), ccs, &encrypted(23, 500)].concat()),
        clear(Initiator, encrypted(23, 900)),
        clear(Responder, [record(22, &server_hello_13()), ccs.to_vec()].concat()),
    ];
    packets.extend(bulk(Responder, 23));
    packets.extend(bulk(Initiator, 23));
    kind("early data", "CS", packets)
}

fn retried(ccs: &[u8], early: bool) -> Kind {
    let mut first = hello().versions(&[0x0304]);
    if early {
        first = first.extension(42, &[]);
    }
    let early = if early { encrypted(23, 500) } else { Vec::new() };
    let mut packets = vec![
        clear(Initiator, [first.record(), early].concat()),
        clear(Responder, [record(22, &hello_retry_request()), ccs.to_vec()].concat()),
        clear(Initiator, [ccs.to_vec(), hello_13()].concat()),
        clear(Responder, record(22, &server_hello_13())),
    ];
    packets.extend(bulk(Responder, 23));
    packets.extend(bulk(Initiator, 23));
    kind("retried", "CRCS", packets)
}

fn ssl_2() -> Vec<Kind> {
    let only = |hit, story| {
        let mut packets = vec![
            clear(Initiator, ssl2_client_hello(2)),
            clear(Responder, ssl2_server_hello(hit, if hit { b"" } else { b"certificate" })),
        ];
        packets.extend(FlowSide::BOTH.map(|side| Packet {
            side,
            bytes: ssl2_record(&[0xe7; 300]),
            encrypted: true,
        }));
        kind("SSL 2.0", story, packets)
    };
    let mut form = full(0x0300, 70);
    form.name = "SSL 2.0 form".to_owned();
    form.packets[0] = clear(Initiator, ssl2_client_hello(0x0300));
    vec![only(false, "CSX"), only(true, "CS"), form]
}

fn with_alerts() -> Vec<Kind> {
    let warning = b"\x15\x03\x01\x00\x02\x01\x70".to_vec();
    let fatal = b"\x15\x03\x03\x00\x04\x01\x70\x02\x28".to_vec();
    let mut warned = full(0x0303, 30);
    warned.packets.insert(1, clear(Responder, warning));
    warned.story = "CASX";
    let mut disliked = tls_1_3(CCS);
    disliked.packets.truncate(4);
    disliked.packets.push(clear(Initiator, fatal.clone()));
    disliked.packets.extend(bulk(Initiator, 23));
    disliked.story = "CSAA";
    let failed = vec![
        clear(Initiator, hello_13()),
        clear(Responder, fatal),
        clear(Responder, b"whatever"),
        clear(Initiator, b"\x15\x03\x03\x00\x02\x01\x00"),
    ];
    vec![warned, disliked, kind("failed", "CAAA", failed)]
}

/// Captures of one side, and of a connection from its middle.
fn partly_seen() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let both =
        [full(0x0303, usize::MAX), resumed(), tls_1_3(b""), tls_1_3(CCS), client_certificate()];
    for (kind, stories) in
        both.into_iter().zip([["C", "SX"], ["C", "S"], ["C", "S"], ["C", "S"], ["CX", "SX"]])
    {
        for (side, story) in FlowSide::BOTH.into_iter().zip(stories) {
            let packets = kind.packets.iter().filter(|packet| packet.side == side).cloned();
            let name = format!("{side:?} of {}", kind.name);
            kinds.push(Kind { name, story, packets: packets.collect() });
        }
    }
    let middle = [bulk(Initiator, 23), bulk(Responder, 23)].concat();
    kinds.push(kind("from its middle", "", middle));
    kinds
}
