//! Levels beside one another (docs/decisions/2026-11-27-tests-beside-one-another.md). There are stages, one after the other, and in each
//! two lanes: one of levels that wait more than they work and look at clocks, which are shown while they run, and one of levels that work
//! and look at no clock. Each of the second lane is a process of its own and stands back; its words are shown as one block when it has ended.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::ValueEnum as _;

use super::{Level, Outcome};
use crate::progress::Progress;
use crate::workspace;

struct Stage {
    shown: &'static [Level],
    beside: &'static [Level],
}

/// Levels that compile Rust come after `code` asked for it, which has most to do with it: cargo lets one at a time compile.
const STAGES: [Stage; 3] = [
    Stage { shown: &[Level::Code], beside: &[Level::Go, Level::Chart, Level::Boundaries, Level::Lint, Level::Newcomers] },
    Stage { shown: &[Level::Cluster], beside: &[Level::Clients, Level::Files, Level::Local] },
    // Measures memory, builds a server for minutes, asks a registry.
    Stage { shown: &[Level::Memory, Level::S3, Level::Checkov, Level::Release], beside: &[] },
];
/// How much the second lane stands back.
const NICENESS: i32 = 10;

/// Runs each level once, and answers in the order in which they were asked for.
pub(super) fn run(progress: &Progress, levels: &[Level], attempt: &(impl Fn(Level) -> Outcome + Sync)) -> Vec<Outcome> {
    let wanted = |lane: &[Level]| lane.iter().copied().filter(|level| levels.contains(level)).collect::<Vec<Level>>();
    let mut outcomes = Vec::new();
    for stage in &STAGES {
        let (shown, beside) = (wanted(stage.shown), wanted(stage.beside));
        if shown.is_empty() || beside.is_empty() {
            outcomes.extend(shown.into_iter().chain(beside).map(attempt));
        } else {
            thread::scope(|scope| {
                let beside = scope.spawn(|| apart(progress, &beside));
                outcomes.extend(shown.into_iter().map(attempt));
                outcomes.extend(beside.join().expect("a level that fails is no panic"));
            });
        }
    }
    outcomes.sort_by_key(|outcome| levels.iter().position(|level| *level == outcome.level));
    outcomes
}

/// Runs levels one after the other, each in a process of its own.
fn apart(progress: &Progress, levels: &[Level]) -> Vec<Outcome> {
    // Of this thread and of the processes that it starts. A machine that does not allow it is no reason not to test.
    let _ = rustix::process::nice(NICENESS);
    let one = |level: &Level| {
        progress.say(&format!("level {level:?}, beside"));
        let began = Instant::now();
        let log = workspace::target().join(format!("tests/{level:?}.log").to_lowercase());
        let result = process_of(*level, &log);
        let said = fs::read(&log).map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
        let word = if result.is_ok() { "passed" } else { "FAILED" };
        print!("\n== level {level:?} {word}; what it said:\n{said}== end of level {level:?}\n");
        Outcome { level: *level, took: began.elapsed(), result }
    };
    levels.iter().map(one).collect()
}

fn process_of(level: Level, log: &Path) -> Result<()> {
    fs::create_dir_all(log.parent().context("a log lies in a folder")?)?;
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let name = level.to_possible_value().context("every level has a name")?;
    // The same program, even when a build has put another in its place.
    let mut this = Command::new("/proc/self/exe");
    this.args(["test", "--beside", name.get_name()]).current_dir(workspace::root());
    let status = this.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).status().context("cannot start another level")?;
    if !status.success() {
        bail!("it ended with {status}; what it said is in {}", log.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_level_is_in_one_lane() {
        let all = STAGES.iter().flat_map(|stage| stage.shown.iter().chain(stage.beside));
        for level in Level::value_variants() {
            assert_eq!(all.clone().filter(|other| *other == level).count(), 1, "{level:?}");
        }
    }

    #[test]
    fn levels_run_once_and_are_told_of_as_they_were_asked_for() {
        let ran = Mutex::new(Vec::new());
        let attempt = |level| {
            ran.lock().unwrap().push(level);
            Outcome { level, took: Duration::ZERO, result: Ok(()) }
        };
        let asked = [Level::S3, Level::Cluster, Level::Code];
        let outcomes = run(&Progress::begin(), &asked, &attempt);
        assert_eq!(outcomes.iter().map(|outcome| outcome.level).collect::<Vec<_>>(), asked);
        assert_eq!(ran.into_inner().unwrap(), [Level::Code, Level::Cluster, Level::S3]);
    }
}
