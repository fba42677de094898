//! One test, so that nothing else of its process takes time or memory meanwhile.

use std::hint::black_box;
use std::thread::sleep;
use std::time::Duration;

use flow_benches::{Stopwatch, anonymous_kib, processor_time};

#[test]
fn only_what_is_on_the_clock_and_of_this_process_counts() {
    const NAP: Duration = Duration::from_millis(50);
    let mut clock = Stopwatch::default();
    sleep(NAP);
    clock.time(|| ());
    assert!(clock.wall < NAP, "{clock:?}");

    clock.time(|| sleep(NAP));
    assert!(clock.wall >= NAP, "{clock:?}");
    assert!(clock.processor < NAP / 2, "{clock:?}");

    let before = clock.processor;
    let work = Duration::from_millis(5);
    clock.time(|| {
        let begin = processor_time();
        while processor_time() - begin < work {}
    });
    assert!(clock.processor - before >= work, "{clock:?}");

    if cfg!(not(target_os = "linux")) {
        return;
    }
    let before = anonymous_kib();
    let block = black_box(vec![1_u8; 64 << 20]);
    let growth = anonymous_kib() - before;
    assert!((64 << 10..66 << 10).contains(&growth), "{growth} KiB");
    drop(block);
}
