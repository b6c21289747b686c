//! Progress for people: one line a step with the time since the command began, and a sign of life in long steps.
//! Everything goes to standard error; standard output belongs to results.

use std::io::{self, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Who has waited for a minute is not kept happier by more lines.
const LATER_SIGN_OF_LIFE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
pub(crate) struct Progress {
    began: Instant,
}

impl Progress {
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn say(&self, text: &str) {
        // Nobody may be listening any more; the work goes on.
        let _ = writeln!(io::stderr(), "[{:6.1} s] {text}", self.began.elapsed().as_secs_f32());
    }

    /// Runs `work`, and while it takes long says every few seconds what is going on; `detail` may add how far it got.
    pub(crate) fn during<T>(&self, what: &str, detail: impl Fn() -> String + Sync, work: impl FnOnce() -> T) -> T {
        self.say(what);
        let (done, is_done) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(|| {
                let began = Instant::now();
                let is_done = is_done;
                let pause = || if began.elapsed() < Duration::from_secs(60) { SIGN_OF_LIFE } else { LATER_SIGN_OF_LIFE };
                while is_done.recv_timeout(pause()) == Err(RecvTimeoutError::Timeout) {
                    self.say(&format!("  … {what}: {} s{}", began.elapsed().as_secs(), detail()));
                }
            });
            let result = work();
            drop(done);
            result
        })
    }
}
