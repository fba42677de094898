//! What each side of every TCP connection said, in files: `0.initiator`, `0.responder`,
//! `1.initiator` and so on.
//!
//! ```console
//! $ cargo run -p flow-examples --example conversations_to_files -- fixtures/http_get.pcap
//! tcp 10.0.0.1:40000 <-> 10.0.0.2:80: 246 and 179 bytes, 0 gaps
//! ```
//!
//! The files are in a folder of the system's for temporary files, or in the one that is given behind
//! the capture.

#![allow(clippy::print_stdout)]

use std::error::Error;
use std::path::{Path, PathBuf};

use flow::FlowSide;
use flow::extract::{FiveTuple, FiveTupleKey};
use flow::tokio::{CaptureFile, Conversation};
use futures_util::StreamExt as _;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: conversations_to_files CAPTURE [FOLDER]")?;
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("flow"), PathBuf::from);
    tokio::fs::create_dir_all(&folder).await?;
    let mut conversations =
        CaptureFile::open(path)?.flow_stream(FiveTuple::bidirectional()).conversations();
    let mut number = 0;
    while let Some(conversation) = conversations.next().await {
        write(conversation, &folder.join(number.to_string())).await?;
        number += 1;
    }
    // What the capture had to say in the end.
    conversations.take_errors().into_iter().next().map_or(Ok(()), |error| Err(error.into()))
}

async fn write(mut said: Conversation<FiveTupleKey>, to: &Path) -> std::io::Result<()> {
    let mut initiator = File::create(to.with_extension("initiator")).await?;
    let mut responder = File::create(to.with_extension("responder")).await?;
    while let Some((side, bytes)) = said.next().await {
        match side {
            FlowSide::Initiator => initiator.write_all(&bytes).await?,
            FlowSide::Responder => responder.write_all(&bytes).await?,
        }
    }
    initiator.flush().await?;
    responder.flush().await?;
    let [sent, received] = FlowSide::BOTH.map(|side| said.offset(side));
    println!("{}: {sent} and {received} bytes, {} gaps", said.key(), said.gaps().len());
    Ok(())
}
