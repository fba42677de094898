//! What the service counts, and how it tells.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use flow::SessionEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Counters by name, shared by whoever has a clone.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Metrics {
    pub(crate) fn count<K, M>(&self, event: &SessionEvent<K, M>) {
        self.change(|counters| {
            let name = match event {
                SessionEvent::Started { .. } => "flows_started",
                SessionEvent::Application { .. } => "messages",
                SessionEvent::Closed { .. } => "flows_closed",
                _ => "anomalies",
            };
            *counters.entry(name).or_default() += 1;
        });
    }

    pub(crate) fn set(&self, name: &'static str, value: u64) {
        self.change(|counters| _ = counters.insert(name, value));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<&'static str, u64>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// In the text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.change(|counters| {
            for (name, value) in counters {
                let _ = writeln!(text, "flow_{name}_total {value}");
            }
        });
        text
    }

    /// Answers every HTTP request at this address with the counters.
    pub(crate) async fn serve(self, address: String) -> io::Result<()> {
        let listener = TcpListener::bind(address).await?;
        loop {
            let (mut client, _) = listener.accept().await?;
            let mut request = [0; 1024];
            // Whatever is asked; a client that has gone is none of our business.
            let _ = client.read(&mut request).await;
            let body = self.text();
            let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n";
            let _ = client.write_all(format!("{head}{body}").as_bytes()).await;
        }
    }
}
