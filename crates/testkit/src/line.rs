//! The line between one process under test and the API server: it notes every call, and goes dead after the one that a test
//! chooses, as it would if the process were killed there. A single call can be held, so that a test has time to act.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Method;
use tokio::sync::watch;
use tower::{Layer, Service};

/// One request as it left the process.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// HTTP method.
    pub method: Method,
    /// Path without the query.
    pub path: String,
    /// The query; empty when there is none.
    pub query: String,
}

impl Call {
    fn of<B>(request: &http::Request<B>) -> Self {
        let uri = request.uri();
        let query = uri.query().unwrap_or_default().to_owned();
        Self { method: request.method().clone(), path: uri.path().to_owned(), query }
    }

    /// Whether it may change something.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET
    }

    /// Whether its answer goes on until somebody ends it.
    pub fn is_watch(&self) -> bool {
        self.query.contains("watch=true")
    }
}

type Matches = Arc<dyn Fn(&Call) -> bool + Send + Sync>;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LineState {
    Alive,
    /// The last call was carried out; its answer never arrives, and nothing is sent any more.
    Dead,
}

struct Fuse {
    left: usize,
    counts: Matches,
}

struct Hold {
    matches: Matches,
    skip: usize,
    side: Side,
    reached: watch::Sender<bool>,
    released: watch::Receiver<bool>,
}

/// Where a call is held.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// Not sent yet.
    Request,
    /// Carried out; the answer waits.
    Answer,
}

/// The test's end of a hold. Dropping it lets the call go on.
pub struct Held {
    reached: watch::Receiver<bool>,
    _release: watch::Sender<bool>,
}

impl Held {
    /// Waits until a call is held.
    pub async fn reached(&mut self) {
        // A line that is gone holds nothing any more.
        let _ = self.reached.wait_for(|reached| *reached).await;
    }
}

/// The line between a process and its API server: it keeps what was called, and can be held or cut.
#[derive(Clone)]
pub struct Line(Arc<Inner>);

struct Inner {
    made: Mutex<Vec<Call>>,
    fuse: Mutex<Option<Fuse>>,
    holds: Mutex<Vec<Hold>>,
    state: watch::Sender<LineState>,
}

impl Default for Line {
    fn default() -> Self {
        let inner =
            Inner { made: Mutex::default(), fuse: Mutex::default(), holds: Mutex::default(), state: watch::Sender::new(LineState::Alive) };
        Self(Arc::new(inner))
    }
}

impl Line {
    /// Goes dead after so many more of the calls that count.
    pub fn cut_after(&self, calls: usize, counts: impl Fn(&Call) -> bool + Send + Sync + 'static) {
        *lock(&self.0.fuse) = Some(Fuse { left: calls, counts: Arc::new(counts) });
    }

    /// Takes the fuse out again. False: it is blown, and the line is dead once the last call is carried out if it is not yet.
    pub fn mend(&self) -> bool {
        let mut fuse = lock(&self.0.fuse);
        let blown = fuse.take().is_some_and(|fuse| fuse.left == 0);
        !blown && *self.0.state.borrow() == LineState::Alive
    }

    /// Resolves when the line is dead.
    pub async fn dead(&self) {
        let mut state = self.0.state.subscribe();
        let _ = state.wait_for(|state| *state == LineState::Dead).await;
    }

    /// Holds one matching call after so many others.
    pub fn hold(&self, side: Side, skip: usize, matches: impl Fn(&Call) -> bool + Send + Sync + 'static) -> Held {
        let ((reached, seen), (release, released)) = (watch::channel(false), watch::channel(false));
        lock(&self.0.holds).push(Hold { matches: Arc::new(matches), skip, side, reached, released });
        Held { reached: seen, _release: release }
    }

    /// Every call so far, in the order in which they were made.
    pub fn made(&self) -> Vec<Call> {
        lock(&self.0.made).clone()
    }

    /// Those after the first so many.
    pub fn made_after(&self, calls: usize) -> Vec<Call> {
        lock(&self.0.made).get(calls..).unwrap_or_default().to_vec()
    }

    /// Waits until nothing was asked for so long.
    pub async fn quiet(&self, pause: Duration) {
        loop {
            let before = self.count();
            tokio::time::sleep(pause).await;
            if self.count() == before {
                return;
            }
        }
    }

    fn count(&self) -> usize {
        lock(&self.0.made).len()
    }

    /// Notes a call and says what becomes of it.
    fn admit(&self, call: &Call) -> Fate {
        // One after the other, so that the count is that of the list.
        let mut fuse = lock(&self.0.fuse);
        if *self.0.state.borrow() == LineState::Dead {
            return Fate::Unsent;
        }
        let last = match fuse.as_mut().filter(|fuse| (fuse.counts)(call)) {
            Some(fuse) if fuse.left == 0 => return Fate::Unsent,
            Some(fuse) => {
                fuse.left -= 1;
                fuse.left == 0
            }
            None => false,
        };
        lock(&self.0.made).push(call.clone());
        if last { Fate::Last } else { Fate::Sent }
    }

    fn take_hold(&self, call: &Call) -> Option<Hold> {
        let mut holds = lock(&self.0.holds);
        let at = holds.iter().position(|hold| (hold.matches)(call))?;
        if holds[at].skip > 0 {
            holds[at].skip -= 1;
            return None;
        }
        Some(holds.remove(at))
    }
}

enum Fate {
    Sent,
    /// Carried out, but nobody hears of it.
    Last,
    /// A dead process sends nothing.
    Unsent,
}

impl Hold {
    async fn wait(&mut self) {
        self.reached.send_replace(true);
        // Ends when the test's end is dropped, too.
        let _ = self.released.wait_for(|released| *released).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Layer<S> for Line {
    type Service = OnLine<S>;

    fn layer(&self, inner: S) -> OnLine<S> {
        OnLine { inner, line: self.clone() }
    }
}

/// A client whose calls go over a line.
#[derive(Clone)]
pub struct OnLine<S> {
    inner: S,
    line: Line,
}

impl<S, B> Service<http::Request<B>> for OnLine<S>
where
    S: Service<http::Request<B>>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let call = Call::of(&request);
        let line = self.line.clone();
        // Nothing leaves before it is awaited.
        let sending = self.inner.call(request);
        Box::pin(async move {
            let mut hold = line.take_hold(&call);
            if let Some(hold) = hold.as_mut().filter(|hold| hold.side == Side::Request) {
                hold.wait().await;
            }
            let answer = match line.admit(&call) {
                Fate::Sent => sending.await,
                Fate::Last => {
                    let _carried_out = sending.await;
                    line.0.state.send_replace(LineState::Dead);
                    std::future::pending().await
                }
                Fate::Unsent => std::future::pending().await,
            };
            if let Some(hold) = hold.as_mut().filter(|hold| hold.side == Side::Answer) {
                hold.wait().await;
            }
            // What was under way when the process died is not heard any more.
            if *line.0.state.borrow() == LineState::Dead { std::future::pending().await } else { answer }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn send(line: &Line, path: &'static str) -> bool {
        let server = tower::service_fn(|_: http::Request<()>| async { Ok::<_, std::convert::Infallible>(()) });
        let answer = line.layer(server).call(http::Request::get(path).body(()).unwrap());
        tokio::time::timeout(Duration::from_millis(20), answer).await.is_ok()
    }

    fn paths(line: &Line) -> Vec<String> {
        line.made().into_iter().map(|call| call.path).collect()
    }

    #[tokio::test]
    async fn a_line_goes_dead_after_the_chosen_call_whose_answer_is_lost() {
        let line = Line::default();
        line.cut_after(2, |call| call.path.starts_with("/ours"));
        assert!(send(&line, "/ours/1").await && send(&line, "/others/1").await);
        assert!(!send(&line, "/ours/2").await, "carried out, but not answered");
        line.dead().await;
        assert!(!send(&line, "/ours/3").await && !send(&line, "/others/2").await);
        assert_eq!(paths(&line), ["/ours/1", "/others/1", "/ours/2"]);
    }

    #[tokio::test]
    async fn a_line_whose_last_call_is_under_way_is_not_mended() {
        let line = Line::default();
        line.cut_after(2, |_| true);
        assert!(send(&line, "/first").await);
        let never = tower::service_fn(|_: http::Request<()>| std::future::pending::<Result<(), std::convert::Infallible>>());
        let last = line.layer(never).call(http::Request::get("/last").body(()).unwrap());
        assert!(tokio::time::timeout(Duration::from_millis(20), last).await.is_err());
        assert!(!line.mend(), "it goes dead behind a test that believes it alive");

        let line = Line::default();
        line.cut_after(2, |_| true);
        assert!(send(&line, "/first").await && line.mend() && send(&line, "/second").await);
    }

    #[tokio::test]
    async fn a_call_is_held_before_it_is_sent_or_before_its_answer() {
        let line = Line::default();
        for (side, sent) in [(Side::Request, 2), (Side::Answer, 5)] {
            let mut held = line.hold(side, 1, |call| call.path == "/b");
            assert!(send(&line, "/b").await, "one passes");
            assert!(!send(&line, "/b").await, "{side:?}: held");
            held.reached().await;
            drop(held);
            assert!(send(&line, "/b").await);
            assert_eq!(line.made().len(), sent, "{side:?}");
        }
    }
}
