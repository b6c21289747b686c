//! Steps on a volume: in threads that are this region's alone, only so many at once, and nobody waits for one longer than its deadline.
//! A step on a volume that hangs cannot be ended; it keeps its place until the volume lets go, and costs no other step its place.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A volume that answers at all answers a single step sooner.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// Steps under way at once.
const PLACES: usize = 32;
/// Threads that a volume can hold up.
const THREADS: usize = 8;

/// Nobody knows what came of the step.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", DEADLINE.as_secs())]
pub(crate) struct NotResponding;

#[derive(Clone)]
pub(crate) struct Lane(Arc<Threads>);

struct Threads {
    /// Absent only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
    places: Arc<Semaphore>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Not waited for: one of them may hang.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Lane {
    fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(THREADS)
            .thread_name("volume")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(Self(Arc::new(Threads { runtime: Some(runtime), handle, places: Arc::new(Semaphore::new(PLACES)) })))
    }

    /// Where tasks run that do many steps; the call that waits for them sets the deadline.
    pub(crate) fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// A step that comes to its end whether or not anybody waits so long.
    pub(crate) async fn step<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, NotResponding> {
        let step = async {
            let place = self.0.places.clone().acquire_owned().await.ok()?;
            let task = self.0.handle.spawn(async move {
                let done = work.await;
                drop(place);
                done
            });
            match task.await {
                Ok(done) => Some(done),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => None,
            }
        };
        timeout(within, step).await.ok().flatten().ok_or(NotResponding)
    }

    pub(crate) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotResponding> {
        let step = async move { tokio::task::spawn_blocking(work).await };
        match self.step(DEADLINE, step).await? {
            Ok(done) => Ok(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(NotResponding),
        }
    }
}

/// One lane for each folder that something of ours is mounted at or lies in.
#[derive(Clone, Default)]
pub(crate) struct Lanes(Arc<Mutex<HashMap<PathBuf, Lane>>>);

impl Lanes {
    pub(crate) fn of(&self, path: &Path) -> std::io::Result<Lane> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lanes.get(path) {
            Some(lane) => Ok(lane.clone()),
            None => Ok(lanes.entry(path.to_owned()).or_insert(Lane::new()?).clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A lane full of steps that hang costs the one beside it nothing, and is whole again once they are let go.
    #[tokio::test(flavor = "multi_thread")]
    async fn steps_that_hang_hold_up_their_own_lane_only() {
        let lanes = Lanes::default();
        let (hung, other) = (lanes.of(Path::new("hung")).unwrap(), lanes.of(Path::new("other")).unwrap());
        let (let_go, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let short = Duration::from_millis(50);
        for _ in 0..PLACES * 2 {
            let wait = wait.clone();
            let step = async move { tokio::task::spawn_blocking(move || wait.lock().unwrap().recv().is_err()).await };
            assert!(hung.step(short, step).await.is_err());
        }
        assert_eq!(other.blocking(|| 7).await.unwrap(), 7);
        drop(let_go);
        assert_eq!(hung.blocking(|| 7).await.unwrap(), 7);
    }
}
