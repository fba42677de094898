//! Messages in a line for people.

use std::io::{self, Write};

use super::fields::{Chain, ClientHello, Dns, Entry, Message, Request, Response, ServerHello};
use crate::output::{Escaped, Line, Rows, duration, moment};

/// Answers of a DNS response that are shown.
const MAX_ANSWERS: usize = 4;

impl Line for Entry<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let arrow = if self.side == "initiator" { "->" } else { "<-" };
        write!(
            out,
            "{} {:>6} {:>24} {arrow} {:24} {:5} ",
            moment(self.ts.0),
            self.flow,
            self.ends.source(),
            self.ends.destination(),
            self.proto,
        )?;
        self.summary(out)
    }

    fn row(&self, row: &mut Rows) -> io::Result<()> {
        row.field(self.ts)?;
        row.field(self.frame)?;
        row.field(self.first_frame)?;
        row.field(self.flow)?;
        self.ends.row(row)?;
        row.field(self.side)?;
        row.field(self.proto)?;
        row.field(self.r#type)?;
        row.written(|out| self.summary(out))
    }
}

impl Entry<'_> {
    /// The message in a few words.
    pub(super) fn to_summary(&self) -> Vec<u8> {
        let mut words = Vec::new();
        // Infallible: memory takes whatever is written.
        let _ = self.summary(&mut words);
        words
    }

    /// What the initiator wants to talk to, or know of.
    pub(super) fn subject(&self) -> Option<&str> {
        match &self.message {
            Message::Request(request) => request.host.as_deref(),
            Message::ClientHello(hello) => hello.sni,
            Message::Dns(message) => message.questions.first().map(|question| question.name),
            _ => None,
        }
    }

    /// Writes the message in a few words.
    fn summary(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.message {
            Message::Request(request) => self::request(request, out),
            Message::Response(response) => self::response(response, out),
            Message::ClientHello(hello) => client_hello(hello, out),
            Message::ServerHello(hello) => server_hello(hello, out),
            Message::Certificate(chain) => certificate(chain, out),
            Message::NewSessionTicket(ticket) => {
                write!(out, "NewSessionTicket {} bytes", ticket.ticket_bytes)
            }
            Message::Alert(alert) => write!(out, "Alert {}", alert.alert),
            Message::Dns(message) => dns(message, out),
        }
    }
}

/// `GET example.org/path`
fn request(request: &Request<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Request { method, uri, host, body, .. } = request;
    write!(out, "{} ", Escaped(method))?;
    if let (Some(host), true) = (host, uri.starts_with('/')) {
        write!(out, "{}", Escaped(host))?;
    }
    write!(out, "{}", Escaped(uri))?;
    if body.body_bytes > 0 {
        write!(out, " {} bytes", body.body_bytes)?;
    }
    incomplete(body.body_complete, out)
}

/// `200 OK text/html 4705 bytes`
fn response(response: &Response<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Response { status, reason, content_type, body, .. } = response;
    write!(out, "{status} {}", Escaped(reason))?;
    if let Some(content_type) = content_type {
        write!(out, " {}", Escaped(content_type))?;
    }
    write!(out, " {} bytes", body.body_bytes)?;
    incomplete(body.body_complete, out)
}

fn incomplete(complete: bool, out: &mut dyn Write) -> io::Result<()> {
    if complete { Ok(()) } else { write!(out, " (incomplete)") }
}

/// `ClientHello example.org h2 t13d1516h2_8daaf6152771_e5627efa2ab1`
fn client_hello(hello: &ClientHello<'_>, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "ClientHello")?;
    if let Some(sni) = hello.sni {
        write!(out, " {}", Escaped(sni))?;
    }
    for (i, protocol) in hello.alpn.iter().enumerate() {
        write!(out, "{}{}", if i == 0 { " " } else { "," }, Escaped(protocol))?;
    }
    write!(out, " {}", Escaped(&hello.ja4))
}

/// `ServerHello TLS 1.3 0x1301 h2`
fn server_hello(hello: &ServerHello<'_>, out: &mut dyn Write) -> io::Result<()> {
    let name = if hello.hello_retry { "HelloRetryRequest" } else { "ServerHello" };
    write!(out, "{name} {} {:#06x}", hello.version, hello.cipher_suite)?;
    match &hello.alpn {
        Some(protocol) => write!(out, " {}", Escaped(protocol)),
        None => Ok(()),
    }
}

/// `Certificate CN=www.example.org and 2 more`
fn certificate(chain: &Chain, out: &mut dyn Write) -> io::Result<()> {
    let Some((first, rest)) = chain.chain.split_first() else {
        return write!(out, "Certificate none");
    };
    match &first.details {
        Some(details) => write!(out, "Certificate {}", Escaped(&details.subject))?,
        None => write!(out, "Certificate {}", first.sha256)?,
    }
    if rest.is_empty() { Ok(()) } else { write!(out, " and {} more", rest.len()) }
}

/// `A? example.org`, `A example.org 93.184.216.34 12.3 ms`
fn dns(message: &Dns<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mark = if message.is_response { "" } else { "?" };
    for (i, question) in message.questions.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let name = if question.name.is_empty() { "." } else { question.name };
        write!(out, "{comma}{}{mark} {}", question.type_name, Escaped(name))?;
    }
    if message.questions.is_empty() {
        write!(out, "{}", if message.is_response { "response" } else { "query" })?;
    }
    if !message.is_response {
        return Ok(());
    }
    if message.rcode_name.0.0 != 0 {
        write!(out, " {}", message.rcode_name)?;
    }
    for (i, answer) in message.answers.iter().take(MAX_ANSWERS).enumerate() {
        let comma = if i == 0 { " " } else { ", " };
        let asked = message.questions.first();
        write!(out, "{comma}")?;
        if asked.is_none_or(|asked| asked.type_name != answer.type_name) {
            write!(out, "{} ", answer.type_name)?;
        }
        write!(out, "{}", Escaped(&answer.data.to_string()))?;
    }
    if let more @ 1.. = message.answers.len().saturating_sub(MAX_ANSWERS) {
        write!(out, " and {more} more")?;
    }
    match message.elapsed {
        Some(elapsed) => write!(out, " {}", duration(elapsed)),
        None => Ok(()),
    }
}
