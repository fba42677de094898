//! A parser of one's own, for a protocol of text lines.
//!
//! ```console
//! $ cargo run -p flow-examples --example line_protocol -- fixtures/line_protocol.pcap
//! Initiator: PUT a 1
//! Responder: OK
//! Initiator: PUT b 22
//! Initiator: GET a
//! Responder: OK
//! Initiator: GET b
//! Responder: VALUE 1
//! Responder: VALUE 22
//! Initiator: GET c
//! Responder: ERROR no such key
//! ```

#![allow(clippy::print_stdout)]

use flow::extract::FiveTuple;
use flow::pcap::PcapFlowSource;
use flow::{FlowSessionDriver, SessionEvent, SessionParser};

/// What each side has sent since its last line end.
#[derive(Default, Clone)]
struct LineParser([Vec<u8>; 2]);

impl SessionParser for LineParser {
    type Message = String;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<String> {
        lines(&mut self.0[0], bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<String> {
        lines(&mut self.0[1], bytes)
    }
}

/// The lines that `bytes` complete. Of a line without end, no more than 64 KiB are kept.
fn lines(begun: &mut Vec<u8>, bytes: &[u8]) -> Vec<String> {
    begun.extend_from_slice(bytes);
    let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else {
        begun.truncate(1 << 16);
        return Vec::new();
    };
    let next = begun.split_off(begun.len() - bytes[end + 1..].len());
    let whole = std::mem::replace(begun, next);
    String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: line_protocol CAPTURE")?;
    let mut driver = FlowSessionDriver::<_, LineParser>::new(FiveTuple::bidirectional());
    for view in PcapFlowSource::open(path)?.views() {
        for event in driver.track(view?.as_view()) {
            if let SessionEvent::Application { side, message, .. } = event {
                println!("{side:?}: {message}");
            }
        }
    }
    Ok(())
}
