//! The runner: libFuzzer feeds the target that `FUZZ_TARGET` names. `cargo xtask fuzz` starts it.
#![no_main]

use std::sync::OnceLock;

static FEED: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let feed = fuzz::target(&name).unwrap_or_else(|| panic!("FUZZ_TARGET={name} names no target"));
        FEED.set(feed).expect("libFuzzer begins once");
    },
    |input: &[u8]| FEED.get().expect("libFuzzer begins before it feeds")(input)
);
