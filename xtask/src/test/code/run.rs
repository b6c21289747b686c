//! Runs parts beside one another. What a part says goes to a file of its own, and is shown as one block when it has ended.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::parts::{Part, Runs};
use crate::progress::Progress;

/// A part that takes longer hangs: the longest takes a few minutes.
const LIMIT: Duration = Duration::from_secs(20 * 60);
const POLL: Duration = Duration::from_millis(20);

/// Tests, by what came of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) ignored: usize,
}

impl Counts {
    pub(super) fn and(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed, ignored: self.ignored + other.ignored }
    }

    fn all(self) -> usize {
        self.passed + self.failed + self.ignored
    }
}

/// A part that has ended.
pub(super) struct Ran {
    pub(super) name: String,
    pub(super) took: Duration,
    pub(super) counts: Counts,
    /// Why it is no success, in one line.
    pub(super) failure: Option<String>,
}

/// Runs all parts, in this order and `at_once` tests at a time, and shows each when it has ended.
pub(super) fn all(progress: &Progress, parts: Vec<Part<'_>>, at_once: usize, logs: &Path) -> Vec<Ran> {
    let total = parts.len();
    let (now, ended) = (Mutex::new(BTreeSet::new()), Mutex::new(Vec::with_capacity(total)));
    let detail = || {
        let names = now.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect::<Vec<String>>();
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner).len();
        format!(", {ended} of {total} parts have ended; now: {}", names.join(", "))
    };
    let work = || {
        let (mut waiting, mut free) = (VecDeque::from(parts), at_once);
        let (over, is_over) = channel();
        thread::scope(|scope| {
            for _ in 0..total {
                while let Some(part) = waiting.pop_front_if(|part| part.threads <= free || free == at_once) {
                    free = free.saturating_sub(part.threads);
                    now.lock().unwrap_or_else(PoisonError::into_inner).insert(part.name.clone());
                    let (over, log) = (over.clone(), log(logs, &part.name));
                    scope.spawn(move || {
                        let ended = one(&part, &log);
                        over.send((part.threads, ended)).expect("the loop takes as many as there are");
                    });
                }
                let (threads, (ran, shown)) = is_over.recv().expect("one end of the channel is here");
                free = at_once.min(free + threads);
                print!("{shown}");
                now.lock().unwrap_or_else(PoisonError::into_inner).remove(&ran.name);
                ended.lock().unwrap_or_else(PoisonError::into_inner).push(ran);
            }
        });
    };
    progress.during("running the tests", detail, work);
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{}.log", name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-")))
}

/// Runs a part to its end. Answers with what to show of it, too.
fn one(part: &Part<'_>, log: &Path) -> (Ran, String) {
    let began = Instant::now();
    let ended = run(part, log);
    let took = began.elapsed();
    let said = fs::read(log).map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
    let counts = counts(&said, part.count().is_some());
    let results = if matches!(part.runs, Runs::Program(_)) { said.clone() } else { results(&said) };
    let failure = match ended {
        Err(error) => Some(format!("{error:#}")),
        Ok(None) => Some(format!("it did not end within {} minutes", LIMIT.as_secs() / 60)),
        Ok(Some(status)) => failure(status, counts, part.count(), &said),
    };
    let shown = match &failure {
        Some(failure) => format!("\n     Failed {}: {failure}\n{said}\n", part.name),
        None => format!("\n     Ran {}, {:.1} s\n{}", part.name, took.as_secs_f32(), results),
    };
    (Ran { name: part.name.clone(), took, counts, failure }, shown)
}

/// None: it took too long and was ended.
fn run(part: &Part<'_>, log: &Path) -> Result<Option<ExitStatus>> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = part.command();
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", part.name))?;
    let status = within(&mut child, LIMIT)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(status)
}

fn within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let began = Instant::now();
    while began.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL);
    }
    Ok(None)
}

/// What the tests say at their end. A test may show what a process of its own said, which the words of its suite follow.
fn counts(said: &str, of_one_suite: bool) -> Counts {
    let mut all = said.lines().filter_map(|line| line.strip_prefix("test result: ")).map(|line| {
        let number = |what: &str| {
            let before = line.split([';', '.']).find_map(|part| part.trim().strip_suffix(what));
            before.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
        };
        Counts { passed: number("passed"), failed: number("failed"), ignored: number("ignored") }
    });
    if of_one_suite { all.next_back().unwrap_or_default() } else { all.fold(Counts::default(), Counts::and) }
}

fn failure(status: ExitStatus, counts: Counts, expected: Option<usize>, said: &str) -> Option<String> {
    // Its last list of failures; what each of them said stands in one before.
    let list = said.rsplit_once("\nfailures:\n").map_or("", |(_, list)| list);
    let failed: Vec<&str> = list.lines().map_while(|line| line.strip_prefix("    ")).collect();
    if !failed.is_empty() {
        return Some(failed.join(", "));
    }
    if !status.success() {
        return Some(format!("it ended with {status}"));
    }
    let expected = expected?;
    (counts.all() != expected).then(|| format!("it has {expected} tests and says what came of {}", counts.all()))
}

/// The lines that name tests and what came of them.
fn results(said: &str) -> String {
    said.lines().filter(|line| line.starts_with("test ")).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const SAID: &str = "\nrunning 2 tests\ntest a ... ok\nlog line\ntest b::c ... ignored, slow\n\n\
                        test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.10s\n\n";

    #[test]
    fn of_a_suite_its_last_words_count_and_of_doctests_all() {
        let one = Counts { passed: 1, failed: 0, ignored: 1 };
        assert_eq!(counts(SAID, true), one);
        assert_eq!(counts(&SAID.repeat(2), true), one);
        assert_eq!(counts(&SAID.repeat(2), false), one.and(one));
        assert_eq!(counts("test result: FAILED. 114 passed; 2 failed; 1 ignored; 0 measured", true).all(), 117);
        assert_eq!(results(SAID).lines().count(), 3);
    }

    #[test]
    fn what_is_no_success_is_said() {
        let (good, bad) = (ExitStatus::from_raw(0), ExitStatus::from_raw(101 << 8));
        let counts = counts(SAID, true);
        assert_eq!(failure(good, counts, Some(2), SAID), None);
        assert_eq!(failure(good, counts, None, SAID), None);
        assert_eq!(failure(good, counts, Some(3), SAID).unwrap(), "it has 3 tests and says what came of 2");
        assert_eq!(failure(good, Counts::default(), Some(3), "").unwrap(), "it has 3 tests and says what came of 0");
        assert_eq!(failure(bad, counts, Some(2), SAID).unwrap(), "it ended with exit status: 101");
        let failures =
            "\nfailures:\n\n---- x stdout ----\nhe\n\n\nfailures:\n    x\n    y - should panic\n\ntest result: FAILED. 0 passed; 2 failed";
        assert_eq!(failure(bad, counts, Some(2), failures).unwrap(), "x, y - should panic");
    }

    #[test]
    fn what_hangs_is_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(within(&mut child, Duration::from_millis(50)).unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        assert!(within(&mut child, Duration::from_secs(10)).unwrap().unwrap().success());
    }
}
