//! The fields of messages in the JSON output, in the order in which they are documented.

use std::borrow::Cow;
use std::time::Duration;

use flow::dns::{
    DnsDefect, DnsFlags, DnsMessage, DnsQuery, DnsQuestion, DnsRcode, DnsRdata, DnsRecord,
    DnsResponse,
};
use flow::http::{HttpHeaders, HttpMessage, HttpRequest, HttpResponse, HttpVersion};
use flow::l7::L7Message;
use flow::tls::{
    TlsAlert, TlsCertificate, TlsCertificateChain, TlsClientHello, TlsEch, TlsMessage,
    TlsNewSessionTicket, TlsResumption, TlsServerHello, TlsSessionTicket, TlsVersion, group_name,
};
use flow::{FlowSide, Origin, Timestamp};
use serde::{Serialize, Serializer};

use crate::anomaly::side_name;
use crate::key::Ends;
use crate::output::{Hex, Shown};

/// Where a message came from.
pub(super) struct Sent<'a> {
    pub(super) ts: Timestamp,
    pub(super) origin: &'a Origin,
    pub(super) ends: Ends,
    pub(super) side: FlowSide,
    pub(super) over_tcp: bool,
}

/// A line of `flow log`.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    pub(super) ts: Shown<Timestamp>,
    pub(super) frame: u64,
    pub(super) first_frame: u64,
    pub(super) flow: u64,
    #[serde(flatten)]
    pub(super) ends: Ends,
    pub(super) side: &'static str,
    pub(super) proto: &'static str,
    pub(super) r#type: &'static str,
    #[serde(flatten)]
    pub(super) message: Message<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Message<'a> {
    Request(Request<'a>),
    Response(Response<'a>),
    ClientHello(Box<ClientHello<'a>>),
    ServerHello(Box<ServerHello<'a>>),
    Certificate(Chain),
    NewSessionTicket(NewSessionTicket),
    Alert(Alert),
    Dns(Box<Dns<'a>>),
}

impl<'a> Entry<'a> {
    /// The line of a message; `None` if it has none.
    pub(super) fn new(sent: &Sent<'a>, message: &'a L7Message) -> Option<Self> {
        let (proto, r#type, message) = match message {
            L7Message::Http(HttpMessage::Request(request)) => {
                ("http", "request", Message::Request(Request::new(request)))
            }
            L7Message::Http(HttpMessage::Response(response)) => {
                ("http", "response", Message::Response(Response::new(response)))
            }
            L7Message::Tls(TlsMessage::ClientHello(hello)) => {
                ("tls", "client_hello", Message::ClientHello(Box::new(ClientHello::new(hello))))
            }
            L7Message::Tls(TlsMessage::ServerHello(hello)) => {
                ("tls", "server_hello", Message::ServerHello(Box::new(ServerHello::new(hello))))
            }
            L7Message::Tls(TlsMessage::Certificate(chain)) => {
                ("tls", "certificate", Message::Certificate(Chain::new(chain)))
            }
            L7Message::Tls(TlsMessage::NewSessionTicket(ticket)) => {
                let fields = NewSessionTicket::new(ticket);
                ("tls", "new_session_ticket", Message::NewSessionTicket(fields))
            }
            L7Message::Tls(TlsMessage::Alert(alert)) => {
                ("tls", "alert", Message::Alert(Alert::new(*alert)))
            }
            L7Message::Dns(DnsMessage::Query(query)) => {
                ("dns", "query", Message::Dns(Box::new(Dns::of_query(query, sent.transport()))))
            }
            L7Message::Dns(DnsMessage::Response(response)) => {
                let fields = Dns::of_response(response, sent.transport());
                ("dns", "response", Message::Dns(Box::new(fields)))
            }
            _ => return None,
        };
        let origin = sent.origin;
        Some(Self {
            ts: Shown(sent.ts),
            frame: origin.packet,
            first_frame: origin.first_packet,
            flow: origin.flow,
            ends: sent.ends,
            side: side_name(sent.side),
            proto,
            r#type,
            message,
        })
    }
}

impl Sent<'_> {
    /// How a DNS message travelled.
    fn transport(&self) -> &'static str {
        match self.ends {
            _ if self.over_tcp => "tcp",
            ends if ends.has_port(5353) => "mdns",
            ends if ends.has_port(5355) => "llmnr",
            _ => "udp",
        }
    }
}

#[derive(Serialize)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    /// As sent, so empty for HTTP/0.9.
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    headers: Headers<'a>,
    /// Fields beyond the parser's limit, which `headers` is without.
    #[serde(skip_serializing_if = "is_zero")]
    headers_omitted: u32,
    #[serde(flatten)]
    pub(super) body: Body<'a>,
}

impl<'a> Request<'a> {
    fn new(request: &'a HttpRequest) -> Self {
        Self {
            method: &request.method,
            uri: &request.path,
            version: &request.version_text,
            host: request.headers.get("host").map(latin1),
            user_agent: request.headers.get("user-agent").map(latin1),
            headers: Headers(&request.headers),
            headers_omitted: request.headers.omitted(),
            body: Body {
                body_bytes: request.body_len,
                body_sha256: request.body_sha256.as_ref().map(|digest| Shown(Hex(digest))),
                body_complete: request.body_complete,
                after_gap: request.after_gap,
            },
        }
    }
}

#[derive(Serialize)]
pub(super) struct Response<'a> {
    pub(super) status: u16,
    pub(super) reason: &'a str,
    version: Shown<HttpVersion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<Cow<'a, str>>,
    headers: Headers<'a>,
    /// Fields beyond the parser's limit, which `headers` is without.
    #[serde(skip_serializing_if = "is_zero")]
    headers_omitted: u32,
    #[serde(flatten)]
    pub(super) body: Body<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_uri: Option<&'a str>,
}

impl<'a> Response<'a> {
    fn new(response: &'a HttpResponse) -> Self {
        Self {
            status: response.status,
            reason: &response.reason,
            version: Shown(response.version),
            content_type: response.headers.get("content-type").map(latin1),
            headers: Headers(&response.headers),
            headers_omitted: response.headers.omitted(),
            body: Body {
                body_bytes: response.body_len,
                body_sha256: response.body_sha256.as_ref().map(|digest| Shown(Hex(digest))),
                body_complete: response.body_complete,
                after_gap: response.after_gap,
            },
            request_method: response.request_method.as_deref(),
            request_uri: response.request_uri.as_deref(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct Body<'a> {
    pub(super) body_bytes: u64,
    /// Absent where there is no byte to digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_sha256: Option<Shown<Hex<'a>>>,
    pub(super) body_complete: bool,
    after_gap: bool,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

struct Headers<'a>(&'a HttpHeaders);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(name, value)| (name, latin1(value))))
    }
}

#[derive(Serialize)]
pub(super) struct ClientHello<'a> {
    record_version: u16,
    version: u16,
    supported_versions: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sni: Option<&'a str>,
    pub(super) alpn: Vec<Cow<'a, str>>,
    cipher_suites: &'a [u16],
    extensions: &'a [u16],
    groups: &'a [u16],
    point_formats: &'a [u8],
    signature_algorithms: &'a [u16],
    session_id_bytes: usize,
    ja3: String,
    ja3_string: String,
    pub(super) ja4: String,
    key_shares: Vec<KeyShare>,
    psk_identities: u16,
    psk_key_exchange_modes: &'a [u8],
    /// 0 where the client asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_ticket_bytes: Option<usize>,
    early_data: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ech: Option<Ech>,
    esni: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookie_bytes: Option<usize>,
    compress_certificate: &'a [u16],
    #[serde(skip_serializing_if = "Option::is_none")]
    record_size_limit: Option<u16>,
    delegated_credentials: &'a [u16],
    extended_master_secret: bool,
    grease: bool,
}

#[derive(Serialize)]
struct KeyShare {
    group: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<&'static str>,
    bytes: u16,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Ech {
    Outer { kdf: u16, aead: u16, config_id: u8, enc_bytes: u16, payload_bytes: u16 },
    Inner,
}

impl Ech {
    fn new(ech: TlsEch) -> Option<Self> {
        Some(match ech {
            TlsEch::Outer { kdf, aead, config_id, enc_len, payload_len } => {
                Self::Outer { kdf, aead, config_id, enc_bytes: enc_len, payload_bytes: payload_len }
            }
            TlsEch::Inner => Self::Inner,
            _ => return None,
        })
    }
}

impl<'a> ClientHello<'a> {
    fn new(hello: &'a TlsClientHello) -> Self {
        Self {
            record_version: hello.record_version.to_raw(),
            version: hello.legacy_version.to_raw(),
            supported_versions: hello.supported_versions.iter().map(|v| v.to_raw()).collect(),
            sni: hello.sni.as_deref(),
            alpn: hello.alpn.iter().map(|protocol| latin1(protocol)).collect(),
            cipher_suites: &hello.cipher_suites,
            extensions: &hello.extension_types,
            groups: &hello.supported_groups,
            point_formats: &hello.point_formats,
            signature_algorithms: &hello.signature_algorithms,
            session_id_bytes: hello.session_id.len(),
            ja3: hello.ja3(),
            ja3_string: hello.ja3_string(),
            ja4: hello.ja4(),
            key_shares: hello
                .key_shares
                .iter()
                .map(|share| KeyShare {
                    group: share.group,
                    group_name: group_name(share.group),
                    bytes: share.len,
                })
                .collect(),
            psk_identities: hello.psk_identities,
            psk_key_exchange_modes: &hello.psk_key_exchange_modes,
            session_ticket_bytes: hello.session_ticket.as_ref().map(|ticket| match ticket {
                TlsSessionTicket::Offered(ticket) => ticket.len(),
                _ => 0,
            }),
            early_data: hello.early_data,
            ech: hello.ech.and_then(Ech::new),
            esni: hello.esni,
            cookie_bytes: hello.cookie.as_deref().map(<[u8]>::len),
            compress_certificate: &hello.compress_certificate,
            record_size_limit: hello.record_size_limit,
            delegated_credentials: &hello.delegated_credentials,
            extended_master_secret: hello.extended_master_secret,
            grease: hello.has_grease(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ServerHello<'a> {
    #[serde(serialize_with = "raw_version")]
    pub(super) version: TlsVersion,
    pub(super) cipher_suite: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alpn: Option<Cow<'a, str>>,
    extensions: &'a [u16],
    pub(super) hello_retry: bool,
    ja3s: String,
    ja3s_string: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_share: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_share_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selected_psk: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookie_bytes: Option<usize>,
    session_id_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id_echoed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resumption: Option<&'static str>,
}

impl<'a> ServerHello<'a> {
    fn new(hello: &'a TlsServerHello) -> Self {
        Self {
            version: hello.version(),
            cipher_suite: hello.cipher_suite,
            alpn: hello.alpn.as_deref().map(latin1),
            extensions: &hello.extension_types,
            hello_retry: hello.hello_retry,
            ja3s: hello.ja3s(),
            ja3s_string: hello.ja3s_string(),
            key_share: hello.key_share,
            key_share_name: hello.key_share.and_then(group_name),
            selected_psk: hello.selected_psk,
            cookie_bytes: hello.cookie.as_deref().map(<[u8]>::len),
            session_id_bytes: hello.session_id.len(),
            session_id_echoed: hello.session_id_echoed,
            resumption: hello.resumption.and_then(|resumption| match resumption {
                TlsResumption::Full => Some("full"),
                TlsResumption::SessionId => Some("session_id"),
                TlsResumption::Ticket => Some("ticket"),
                TlsResumption::Psk => Some("psk"),
                _ => None,
            }),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde demands it")]
fn raw_version<S: Serializer>(version: &TlsVersion, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(version.to_raw())
}

#[derive(Serialize)]
pub(super) struct Chain {
    pub(super) chain: Vec<Certificate>,
}

impl Chain {
    fn new(chain: &TlsCertificateChain) -> Self {
        Self { chain: chain.certificates.iter().map(Certificate::new).collect() }
    }
}

/// The fields of one that is malformed are absent; what it is, its digest says.
#[derive(Serialize)]
pub(super) struct Certificate {
    #[serde(flatten)]
    pub(super) details: Option<Details>,
    pub(super) sha256: String,
}

#[derive(Serialize)]
pub(super) struct Details {
    pub(super) subject: String,
    issuer: String,
    not_before: String,
    not_after: String,
    serial: String,
    dns_names: Vec<String>,
}

impl Certificate {
    fn new(certificate: &TlsCertificate) -> Self {
        let details = certificate.details().map(|details| Details {
            subject: details.subject,
            issuer: details.issuer,
            not_before: details.not_before.to_string(),
            not_after: details.not_after.to_string(),
            serial: details.serial,
            dns_names: details.dns_names,
        });
        Self { details, sha256: Hex(&certificate.sha256()).to_string() }
    }
}

#[derive(Serialize)]
pub(super) struct NewSessionTicket {
    lifetime_hint: u32,
    pub(super) ticket_bytes: usize,
}

impl NewSessionTicket {
    fn new(ticket: &TlsNewSessionTicket) -> Self {
        Self { lifetime_hint: ticket.lifetime_hint, ticket_bytes: ticket.ticket.len() }
    }
}

#[derive(Serialize)]
pub(super) struct Alert {
    level: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    level_name: Option<&'static str>,
    description: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    description_name: Option<&'static str>,
    #[serde(skip)]
    pub(super) alert: TlsAlert,
}

impl Alert {
    fn new(alert: TlsAlert) -> Self {
        Self {
            level: alert.level,
            level_name: alert.level_name(),
            description: alert.description,
            description_name: alert.description_name(),
            alert,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Dns<'a> {
    id: u16,
    opcode: u8,
    rcode: u16,
    pub(super) rcode_name: Shown<DnsRcode>,
    flags: Vec<&'static str>,
    pub(super) questions: Vec<Question<'a>>,
    pub(super) answers: Vec<Record<'a>>,
    authorities: Vec<Record<'a>>,
    additionals: Vec<Record<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ms: Option<f64>,
    transport: &'static str,
    /// Whether it repeats a query that still waits for its response.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retransmission: bool,
    /// What is wrong with the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    malformed: Option<Shown<DnsDefect>>,
    #[serde(skip)]
    pub(super) is_response: bool,
    #[serde(skip)]
    pub(super) elapsed: Option<Duration>,
}

impl<'a> Dns<'a> {
    fn of_query(query: &'a DnsQuery, transport: &'static str) -> Self {
        let DnsQuery { transaction_id, flags, opcode, malformed, retransmission, .. } = *query;
        let sections = [&query.answers, &query.authorities, &query.additionals];
        let fields = Self::new(&query.questions, sections, flags, flags.rcode(), transport);
        Self {
            id: transaction_id,
            opcode: opcode.0,
            malformed: malformed.map(Shown),
            retransmission,
            ..fields
        }
    }

    fn of_response(response: &'a DnsResponse, transport: &'static str) -> Self {
        let DnsResponse { transaction_id, flags, opcode, rcode, malformed, elapsed, .. } =
            *response;
        let sections = [&response.answers, &response.authorities, &response.additionals];
        let fields = Self::new(&response.questions, sections, flags, rcode, transport);
        Self {
            id: transaction_id,
            opcode: opcode.0,
            malformed: malformed.map(Shown),
            is_response: true,
            rtt_ms: elapsed.map(|elapsed| elapsed.as_nanos() as f64 / 1e6),
            elapsed,
            ..fields
        }
    }

    fn new(
        questions: &'a [DnsQuestion],
        sections: [&'a Vec<DnsRecord>; 3],
        flags: DnsFlags,
        rcode: DnsRcode,
        transport: &'static str,
    ) -> Self {
        let multicast = transport == "mdns";
        let [answers, authorities, additionals] = sections
            .map(|records| records.iter().map(|record| Record::new(record, multicast)).collect());
        Self {
            id: 0,
            opcode: 0,
            rcode: rcode.0,
            rcode_name: Shown(rcode),
            flags: flags.names().collect(),
            questions: questions.iter().map(|q| Question::new(q, multicast)).collect(),
            answers,
            authorities,
            additionals,
            rtt_ms: None,
            transport,
            retransmission: false,
            malformed: None,
            is_response: false,
            elapsed: None,
        }
    }
}

#[derive(Serialize)]
pub(super) struct Question<'a> {
    pub(super) name: &'a str,
    r#type: u16,
    pub(super) type_name: Cow<'static, str>,
    class: u16,
}

impl<'a> Question<'a> {
    fn new(question: &'a DnsQuestion, multicast: bool) -> Self {
        Self {
            name: question.name.as_str(),
            r#type: question.qtype,
            type_name: question.type_name(),
            class: if multicast { question.class() } else { question.qclass },
        }
    }
}

#[derive(Serialize)]
pub(super) struct Record<'a> {
    name: &'a str,
    r#type: u16,
    pub(super) type_name: Cow<'static, str>,
    class: u16,
    ttl: u32,
    pub(super) data: Shown<&'a DnsRdata>,
}

/// TYPE of EDNS, whose class is a size (RFC 6891 section 6.1.2).
const OPT: u16 = 41;

impl<'a> Record<'a> {
    fn new(record: &'a DnsRecord, multicast: bool) -> Self {
        let flagged = multicast && record.rtype != OPT;
        Self {
            name: record.name.as_str(),
            r#type: record.rtype,
            type_name: record.type_name(),
            class: if flagged { record.class() } else { record.rclass },
            ttl: record.ttl,
            data: Shown(&record.data),
        }
    }
}

/// Bytes as text: UTF-8 if they are, else ISO 8859-1, one character per byte.
fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().copied().map(char::from).collect()),
    }
}
