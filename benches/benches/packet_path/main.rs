//! What each layer takes per packet, in processor time.

#![allow(missing_docs, reason = "criterion's macros make functions without documentation")]

mod dns;
mod extract;
mod floods;
mod streams;
mod table;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = benches;
    // Setting up a million flows takes longer than measuring them.
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = dns::decode, extract::extract, table::track, table::new_flow, table::sweep,
        streams::reassemble, floods::floods, streams::session
}
criterion_main!(benches);
