//! Keys to reconcile. A key is worked on by one task at a time; whatever happens to it meanwhile makes it due once more
//! afterwards. A key that fails comes back after 1 s, 2 s, 4 s … up to five minutes, each key for itself, and starts over at
//! one second after a success. The table is plain state over a given time; the loop around it does the waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backoff::Backoff;
use futures::FutureExt;
use rand::Rng;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::metrics::Metrics;

/// 1 s, 2 s, 4 s … five minutes.
const BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), 2.0, Duration::from_secs(300));
/// The loop turns at least this often, to show that it is alive.
const TURN: Duration = Duration::from_secs(5);

/// What a reconcile asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Only an event makes it due again.
    Idle,
    /// Due again after this time, or at an event.
    After(Duration),
}

#[derive(Debug)]
struct Entry {
    due: Option<Instant>,
    running: bool,
    /// Woken while running.
    again: bool,
    failures: u32,
}

/// The table itself: no tasks, no clock.
#[derive(Debug)]
struct Table<K> {
    entries: BTreeMap<K, Entry>,
    queue: BTreeSet<(Instant, K)>,
}

impl<K: Clone + Ord> Table<K> {
    fn new() -> Self {
        Self { entries: BTreeMap::new(), queue: BTreeSet::new() }
    }

    /// Something happened: due now, or right after the reconcile that runs.
    fn wake(&mut self, key: K, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_insert(Entry { due: None, running: false, again: false, failures: 0 });
        if entry.running {
            entry.again = true;
            return;
        }
        match entry.due.replace(now.min(entry.due.unwrap_or(now))) {
            Some(before) if before <= now => {
                entry.due = Some(before);
            }
            Some(before) => {
                self.queue.remove(&(before, key.clone()));
                self.queue.insert((now, key));
            }
            None => {
                self.queue.insert((now, key));
            }
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<K> {
        let (at, key) = self.queue.first().filter(|(at, _)| *at <= now).cloned()?;
        self.queue.remove(&(at, key.clone()));
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.due = None;
            entry.running = true;
        }
        Some(key)
    }

    fn next_due(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    fn depth(&self, now: Instant) -> usize {
        self.queue.iter().take_while(|(at, _)| *at <= now).count()
    }

    /// `jitter` is between 0 and 1.
    fn finished(&mut self, key: &K, outcome: Result<Next, ()>, jitter: f64, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.running = false;
        let after = match outcome {
            Ok(next) => {
                entry.failures = 0;
                match next {
                    Next::Idle => None,
                    Next::After(after) => Some(after),
                }
            }
            Err(()) => {
                entry.failures = entry.failures.saturating_add(1);
                Some(BACKOFF.spread(entry.failures, jitter))
            }
        };
        let due = if std::mem::take(&mut entry.again) && outcome.is_ok() { Some(now) } else { after.map(|after| now + after) };
        entry.due = due;
        match due {
            Some(at) => {
                self.queue.insert((at, key.clone()));
            }
            None => {
                self.entries.remove(key);
            }
        }
    }
}

/// The handle by which watches wake keys.
pub struct Queue<K> {
    table: Arc<Mutex<Table<K>>>,
    changed: Arc<Notify>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), changed: self.changed.clone() }
    }
}

impl<K: Clone + Ord> Default for Queue<K> {
    fn default() -> Self {
        Self { table: Arc::new(Mutex::new(Table::new())), changed: Arc::new(Notify::new()) }
    }
}

impl<K: Clone + Ord + Debug + Send + 'static> Queue<K> {
    /// Makes a key due now or, if it is being worked on, once more right afterwards. Waking it twice before that is the same as once.
    pub fn wake(&self, key: K) {
        self.with(|table| table.wake(key, Instant::now()));
        self.changed.notify_one();
    }

    /// Works keys off until cancelled, then waits for those under way. `reconcile` never fails silently: it logs its own errors.
    pub async fn run<F, Fut, E>(self, concurrency: usize, health: Health, metrics: Metrics, stop: CancellationToken, reconcile: F)
    where
        F: Fn(K) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<Next, E>> + Send + 'static,
        E: Send + 'static,
    {
        let slots = Arc::new(Semaphore::new(concurrency));
        let mut tasks = JoinSet::new();
        while !stop.is_cancelled() {
            health.beat(std::time::Instant::now());
            let now = Instant::now();
            metrics.set_queue_depth(self.with(|table| table.depth(now)));
            while tasks.try_join_next().is_some() {}
            let Some(key) = self.with(|table| if slots.available_permits() > 0 { table.take_due(now) } else { None }) else {
                // A full house is noticed when a task ends, which notifies too.
                let until = self.with(|table| table.next_due()).filter(|at| *at > now).map_or(now + TURN, |at| at.min(now + TURN));
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(until) => {}
                    () = stop.cancelled() => {}
                }
                continue;
            };
            let slot = slots.clone().try_acquire_owned().expect("only this loop takes slots");
            let reconcile = reconcile.clone();
            let mut work = Work { queue: self.clone(), key, outcome: Err(()) };
            tasks.spawn(async move {
                // A bug in one object's reconcile must not stop the others'.
                let outcome = AssertUnwindSafe(reconcile(work.key.clone())).catch_unwind().await;
                work.outcome = match outcome {
                    Ok(outcome) => outcome.map_err(|_| ()),
                    Err(_) => {
                        tracing::error!(key = ?work.key, "reconcile panicked");
                        Err(())
                    }
                };
                drop((slot, work));
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    fn with<T>(&self, f: impl FnOnce(&mut Table<K>) -> T) -> T {
        f(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A key that is worked on. Given up, when the loop is dropped in the middle, it has failed, and the next loop takes it.
struct Work<K: Clone + Ord + Debug + Send + 'static> {
    queue: Queue<K>,
    key: K,
    outcome: Result<Next, ()>,
}

impl<K: Clone + Ord + Debug + Send + 'static> Drop for Work<K> {
    fn drop(&mut self) {
        let jitter = rand::rng().random_range(0.0..1.0);
        self.queue.with(|table| table.finished(&self.key, self.outcome, jitter, Instant::now()));
        self.queue.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_woken_while_it_runs_runs_once_more_afterwards() {
        let now = Instant::now();
        let mut table = Table::new();
        table.wake("a", now);
        assert_eq!(table.take_due(now), Some("a"));
        table.wake("a", now);
        table.wake("a", now);
        assert_eq!(table.take_due(now), None, "never twice at the same time");
        table.finished(&"a", Ok(Next::Idle), 0.0, now);
        assert_eq!(table.take_due(now), Some("a"));
        table.finished(&"a", Ok(Next::Idle), 0.0, now);
        assert_eq!(table.take_due(now), None);
        assert!(table.entries.is_empty(), "an idle key costs nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_double_their_delay_each_key_for_itself_and_success_forgets_them() {
        let mut now = Instant::now();
        let mut table = Table::new();
        for (failures, expected) in [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (40, 300)] {
            assert_eq!(BACKOFF.spread(failures, 1.0), second(expected), "{failures}");
        }
        table.wake("a", now);
        table.take_due(now);
        table.finished(&"a", Err(()), 1.0, now);
        table.wake("b", now);
        assert_eq!(table.take_due(now), Some("b"), "another key does not wait");
        assert_eq!(table.take_due(now), None);
        now += second(1);
        assert_eq!(table.take_due(now), Some("a"));
        table.finished(&"a", Ok(Next::After(second(10))), 1.0, now);
        assert_eq!(table.next_due(), Some(now + second(10)));
        now += second(10);
        table.take_due(now);
        table.finished(&"a", Err(()), 1.0, now);
        assert_eq!(table.next_due(), Some(now + second(1)), "starts over at one second");
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_comes_before_a_planned_return() {
        let now = Instant::now();
        let mut table = Table::new();
        table.wake("a", now);
        table.take_due(now);
        table.finished(&"a", Ok(Next::After(second(60))), 0.0, now);
        table.wake("a", now + second(5));
        assert_eq!(table.take_due(now + second(5)), Some("a"));
        assert_eq!(table.next_due(), None, "the planned return was replaced");
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_bounds_concurrency_survives_panics_and_finishes_what_it_began() {
        let queue = Queue::default();
        let (running, most, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for key in 0..20 {
            queue.wake(key);
        }
        let stop = CancellationToken::new();
        let (r, m, d) = (running.clone(), most.clone(), done.clone());
        let worker = tokio::spawn(queue.clone().run(4, Health::new(std::time::Instant::now()), Metrics::new(), stop.clone(), move |key| {
            let (running, most, done) = (r.clone(), m.clone(), d.clone());
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(second(1)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                done.fetch_add(1, Ordering::SeqCst);
                assert_ne!(key, 7, "one of them always panics");
                Ok::<_, ()>(Next::Idle)
            }
        }));
        tokio::time::sleep(second(30)).await;
        stop.cancel();
        worker.await.expect("the loop itself does not panic");
        assert_eq!(most.load(Ordering::SeqCst), 4);
        assert!(done.load(Ordering::SeqCst) > 20, "the panicking key was tried again");
    }
    #[tokio::test(start_paused = true)]
    async fn what_a_dropped_loop_had_begun_is_taken_by_the_next() {
        let (queue, done) = (Queue::default(), Arc::new(AtomicUsize::new(0)));
        queue.wake("a");
        let work = |take: Duration| {
            let done = done.clone();
            let (health, metrics, stop) = (Health::new(std::time::Instant::now()), Metrics::new(), CancellationToken::new());
            queue.clone().run(4, health, metrics, stop, move |_| {
                let done = done.clone();
                async move {
                    tokio::time::sleep(take).await;
                    done.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, ()>(Next::Idle)
                }
            })
        };
        let _ = tokio::time::timeout(second(10), work(second(60))).await;
        assert_eq!(done.load(Ordering::SeqCst), 0, "it was given up");
        let _ = tokio::time::timeout(second(10), work(second(1))).await;
        assert_eq!(done.load(Ordering::SeqCst), 1);
    }
}
