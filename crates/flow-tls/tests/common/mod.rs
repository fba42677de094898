//! Writes TLS byte by byte, and feeds it to a parser as an engine does.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that is wrongly written may as well panic"
)]
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses its part")]

pub mod kinds;

use flow_core::{FlowSide, Gap, GapReason, Timestamp};
use flow_session::{Context, GapAction, Mark, Parsed, SessionParser};
use flow_tls::{TlsClientHello, TlsConfig, TlsMessage, TlsParser, TlsServerHello};

pub use FlowSide::{Initiator, Responder};

pub const HELLO_RETRY_REQUEST: [u8; 32] =
    *b"\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91\
       \xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c";

pub const CCS: &[u8] = b"\x14\x03\x03\x00\x01\x01";

pub fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
}

pub fn vec8(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

pub fn vec16(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}

pub fn vec24(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_be_bytes()[1..], content].concat()
}

pub fn u16s(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

pub fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], vec16(fragment).as_slice()].concat()
}

pub fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], vec24(body).as_slice()].concat()
}

/// A handshake message in records of at most `len` bytes each.
pub fn in_records(message: &[u8], len: usize) -> Vec<u8> {
    message.chunks(len).flat_map(|fragment| record(22, fragment)).collect()
}

/// A ClientHello in the making.
#[derive(Clone, Debug)]
pub struct Hello {
    pub version: u16,
    pub random: [u8; 32],
    pub session_id: Vec<u8>,
    pub suites: Vec<u16>,
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            version: 0x0303,
            random: *b"a client's random of 32 bytes...",
            session_id: vec![7; 32],
            suites: vec![0x1301, 0xc02f],
            extensions: Vec::new(),
        }
    }
}

impl Hello {
    pub fn version(mut self, version: u16) -> Self {
        self.version = version;
        self
    }

    pub fn suites(mut self, suites: &[u16]) -> Self {
        self.suites = suites.to_vec();
        self
    }

    pub fn extension(mut self, kind: u16, content: &[u8]) -> Self {
        self.extensions.push((kind, content.to_vec()));
        self
    }

    pub fn sni(self, name: &str) -> Self {
        let name = [&[0], vec16(name.as_bytes()).as_slice()].concat();
        self.extension(0, &vec16(&name))
    }

    pub fn groups(self, groups: &[u16]) -> Self {
        self.extension(10, &vec16(&u16s(groups)))
    }

    pub fn point_formats(self, formats: &[u8]) -> Self {
        self.extension(11, &vec8(formats))
    }

    pub fn signature_algorithms(self, algorithms: &[u16]) -> Self {
        self.extension(13, &vec16(&u16s(algorithms)))
    }

    pub fn alpn(self, names: &[&[u8]]) -> Self {
        let names: Vec<u8> = names.iter().flat_map(|name| vec8(name)).collect();
        self.extension(16, &vec16(&names))
    }

    pub fn versions(self, versions: &[u16]) -> Self {
        self.extension(43, &vec8(&u16s(versions)))
    }

    pub fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend(self.random);
        body.extend(vec8(&self.session_id));
        body.extend(vec16(&u16s(&self.suites)));
        body.extend(vec8(&[0]));
        if !self.extensions.is_empty() {
            body.extend(vec16(&extension_block(&self.extensions)));
        }
        handshake(1, &body)
    }

    pub fn record(&self) -> Vec<u8> {
        record(22, &self.message())
    }

    /// What the parser makes of it.
    pub fn parsed(&self) -> TlsClientHello {
        let messages = TlsParser::default().feed_initiator(&self.record());
        let [TlsMessage::ClientHello(hello)] = messages.as_slice() else {
            panic!("{messages:?}");
        };
        *hello.clone()
    }
}

fn extension_block(extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    extensions
        .iter()
        .flat_map(|(kind, content)| [kind.to_be_bytes().to_vec(), vec16(content)].concat())
        .collect()
}

/// A ServerHello message.
pub fn server_hello(version: u16, random: [u8; 32], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    server_hello_in(&[], version, random, extensions)
}

/// A ServerHello message in the session of this name.
pub fn server_hello_in(
    session_id: &[u8],
    version: u16,
    random: [u8; 32],
    extensions: &[(u16, Vec<u8>)],
) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend(random);
    body.extend(vec8(session_id));
    body.extend([0xc0, 0x2f, 0]);
    if !extensions.is_empty() {
        body.extend(vec16(&extension_block(extensions)));
    }
    handshake(2, &body)
}

pub fn server_hello_12() -> Vec<u8> {
    server_hello(0x0303, [9; 32], &[(65281, vec![0])])
}

pub fn server_hello_13() -> Vec<u8> {
    server_hello_in(&[7; 32], 0x0303, [9; 32], &[(43, vec![3, 4])])
}

pub fn hello_retry_request() -> Vec<u8> {
    server_hello_in(&[7; 32], 0x0303, HELLO_RETRY_REQUEST, &[(43, vec![3, 4])])
}

pub fn new_session_ticket(ticket: &[u8]) -> Vec<u8> {
    handshake(4, &[&7200_u32.to_be_bytes(), vec16(ticket).as_slice()].concat())
}

/// A hello in the SSL 2.0 form, from what follows its header.
pub fn ssl2_record(body: &[u8]) -> Vec<u8> {
    let mut hello = vec16(body);
    hello[0] |= 0x80;
    hello
}

pub fn ssl2_client_hello(version: u16) -> Vec<u8> {
    let [major, minor] = version.to_be_bytes();
    let mut body = vec![1, major, minor, 0, 9, 0, 0, 0, 16];
    body.extend([7, 0, 0xc0, 0, 0, 0x2f, 0, 0, 0x35]);
    body.extend([8; 16]);
    ssl2_record(&body)
}

/// A server's, with its certificate unless `hit`.
pub fn ssl2_server_hello(hit: bool, certificate: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(certificate.len()).unwrap().to_be_bytes();
    let mut body = vec![4, hit.into(), (!hit).into(), 0, 2, high, low];
    let specs: &[u8] = if hit { &[] } else { &[7, 0, 0xc0, 1, 0, 0x80] };
    body.extend([0, u8::try_from(specs.len()).unwrap(), 0, 16]);
    body.extend([certificate, specs, b"a connection id."].concat());
    ssl2_record(&body)
}

pub fn encrypted(kind: u8, len: usize) -> Vec<u8> {
    record(kind, &vec![0xe7; len])
}

pub fn certificate(certificates: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = certificates.iter().flat_map(|der| vec24(der)).collect();
    handshake(11, &vec24(&list))
}

/// A parser with the part of the engine that matters to it.
#[derive(Default)]
pub struct Feed {
    pub parser: TlsParser,
    pub found: Vec<Parsed<TlsMessage>>,
    offsets: [u64; 2],
    pending: [Option<Mark>; 2],
    packet: u64,
}

impl Feed {
    pub fn new(config: TlsConfig) -> Self {
        Self { parser: TlsParser::with_config(config), ..Self::default() }
    }

    /// The next packet.
    pub fn feed(&mut self, side: FlowSide, bytes: &[u8]) -> &mut Self {
        self.packet += 1;
        let at = Mark { offset: self.offsets[side.index()], packet: self.packet };
        self.offsets[side.index()] += bytes.len() as u64;
        if self.parser.wants(side) && !self.parser.is_poisoned() {
            let pending = &mut self.pending[side.index()];
            let now = Timestamp::default();
            let mut cx =
                Context::new(now, self.packet, side, at, bytes.len(), pending, &mut self.found);
            self.parser.feed(side, bytes, &mut cx);
        }
        self
    }

    pub fn feed_in_pieces(&mut self, side: FlowSide, bytes: &[u8], len: usize) -> &mut Self {
        for piece in bytes.chunks(len) {
            self.feed(side, piece);
        }
        self
    }

    pub fn gap(&mut self, side: FlowSide, len: u64) -> GapAction {
        let at = Mark { offset: self.offsets[side.index()], packet: self.packet };
        let gap = Gap { offset: at.offset, len, reason: GapReason::Acked };
        self.offsets[side.index()] += len;
        let pending = &mut self.pending[side.index()];
        let now = Timestamp::default();
        let mut cx = Context::new(now, self.packet, side, at, 0, pending, &mut self.found);
        self.parser.gap(side, gap, &mut cx)
    }

    /// One letter per message: `C`lientHello, `S`erverHello, Hello`R`etryRequest, `X` for
    /// certificates, new session `T`icket, `A`lert, `F`ingerprint; `!` for poison.
    pub fn story(&self) -> String {
        let letters = self.found.iter().map(|parsed| match &parsed.message {
            TlsMessage::ClientHello(_) => 'C',
            TlsMessage::ServerHello(hello) if hello.hello_retry => 'R',
            TlsMessage::ServerHello(_) => 'S',
            TlsMessage::Certificate(_) => 'X',
            TlsMessage::NewSessionTicket(_) => 'T',
            TlsMessage::Alert(_) => 'A',
            #[cfg(feature = "fingerprint")]
            TlsMessage::Fingerprint(_) => 'F',
            other => panic!("{other:?}"),
        });
        letters.chain(self.parser.is_poisoned().then_some('!')).collect()
    }

    pub fn wants(&self) -> [bool; 2] {
        FlowSide::BOTH.map(|side| self.parser.wants(side))
    }

    pub fn client_hello(&self) -> &TlsClientHello {
        let found = self.found.iter().find_map(|parsed| match &parsed.message {
            TlsMessage::ClientHello(hello) => Some(hello),
            _ => None,
        });
        found.expect("a ClientHello")
    }

    pub fn server_hello(&self) -> &TlsServerHello {
        let found = self.found.iter().find_map(|parsed| match &parsed.message {
            TlsMessage::ServerHello(hello) => Some(hello),
            _ => None,
        });
        found.expect("a ServerHello")
    }
}
