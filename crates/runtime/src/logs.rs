//! JSON lines on standard error, one per event, with the fields of the spans around it.
//!
//! Our own crates keep to "never rows or secrets" at every level. Crates of others do not: tokio-postgres prints queries with the last key
//! value from `debug` on and, at `info`, what the server says in a NOTICE; HTTP crates print headers. So what they say is cut at `warn`,
//! whatever the user's filter asks for. tiberius says a server's words as an error, and those may hold a value: it is not heard at all.

use std::io::Write;

use tracing::{Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Our crates, as their events name them.
const OURS: [&str; 9] = ["api", "connect", "dataimporter", "domain", "engine", "envelope", "formula", "runtime", "salesforce"];

/// Says nothing that the errors it returns do not say, and says more.
const UNHEARD: &str = "tiberius";

/// Level and targets from `RUST_LOG`; absent: `info`. Safe to call twice (tests).
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = subscriber(filter, std::io::stderr).try_init();
    // Says which filter is in force, at the most talkative level there is.
    tracing::trace!("everything of ours is said, of others' crates only warnings and errors");
}

/// What `init` installs, with another place to write to.
pub fn subscriber<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a, Writer: Write> + Send + Sync + 'static,
{
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false).with_writer(writer);
    let theirs_capped = filter_fn(|event| is_ours(event.target()) || (*event.level() <= Level::WARN && krate(event.target()) != UNHEARD));
    tracing_subscriber::registry().with(filter).with(theirs_capped).with(lines)
}

fn is_ours(target: &str) -> bool {
    OURS.contains(&krate(target))
}

fn krate(target: &str) -> &str {
    target.split("::").next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Which of our and of others' levels come through a filter.
    fn said(filter: &str) -> String {
        let memory = Memory::default();
        let writer = memory.clone();
        let _here = subscriber(EnvFilter::new(filter), move || writer.clone()).set_default();
        tracing::trace!(target: "engine::load", "our trace");
        tracing::info!(target: "dataimporter", "our info");
        tracing::trace!(target: "h2::codec", "their trace");
        tracing::debug!(target: "tokio_postgres::query", "their debug");
        tracing::info!(target: "tokio_postgres::connection", "their info");
        tracing::warn!(target: "hyper", "their warn");
        tracing::error!(target: "tiberius::tds::stream::token", "a server's words");
        // Not ours by a beginning in common.
        tracing::info!(target: "connected_crate::x", "their info");
        String::from_utf8(memory.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn crates_of_others_say_warnings_only_whatever_is_asked_for() {
        for filter in ["trace", "info,tokio_postgres=trace,h2=trace,engine=trace"] {
            let said = said(filter);
            for expected in ["our trace", "our info", "their warn"] {
                assert!(said.contains(expected), "{filter}: {expected} is missing in {said}");
            }
            for hidden in ["their trace", "their debug", "their info", "a server's words"] {
                assert!(!said.contains(hidden), "{filter}: {said}");
            }
        }
    }

    #[test]
    fn a_users_filter_still_says_less() {
        let said = said("error");
        assert!(said.is_empty(), "{said}");
    }
}
