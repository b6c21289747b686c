//! JSON lines on standard error, one per event, with the fields of the spans around it.

use tracing_subscriber::EnvFilter;

/// Level and targets from `RUST_LOG`; absent: `info`. Safe to call twice (tests).
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .try_init();
}
