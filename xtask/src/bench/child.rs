//! One process from its start to its end: how long it took, how much processor time, how much memory at its peak.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::process;

/// How often the peak is read. The kernel keeps the peak itself, so only what is added in the last moments can be missed.
const LOOK: Duration = Duration::from_millis(10);

/// The kernel's unit of processor time towards programs, the same on every Linux that Rust's standard library runs on.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) processor_seconds: f64,
    /// `VmHWM`: most memory that was resident at a time.
    pub(super) peak_mib: f64,
    pub(super) stdout: String,
}

/// Runs the command to its end; what it says on standard error goes to `log`. An exit code but those in `fine` is an error.
pub(super) fn measured(command: &mut Command, log: &Path, fine: &[i32]) -> Result<Measured> {
    let out = log.with_extension("out");
    let create = |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
    command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(log)?);
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    let (peak_kib, seconds) = watch(&child, began)?;
    // Ended and not yet reaped: what it used can still be read.
    let processor_seconds = processor_seconds(child.id())?;
    let status = child.wait()?;
    if !status.code().is_some_and(|code| fine.contains(&code)) {
        let said = std::fs::read_to_string(&out).unwrap_or_default();
        bail!("{} failed ({status}): {}\n{}", command.get_program().to_string_lossy(), said.trim(), process::tail(log));
    }
    let stdout = std::fs::read_to_string(&out).with_context(|| format!("cannot read {}", out.display()))?;
    Ok(Measured { seconds, processor_seconds, peak_mib: peak_kib as f64 / 1024.0, stdout })
}

/// The peak in KiB and the seconds until the end.
fn watch(child: &Child, began: Instant) -> Result<(u64, f64)> {
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let peak = scope.spawn(|| {
            let status = format!("/proc/{}/status", child.id());
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = std::fs::read_to_string(&status).ok().and_then(|text| peak_kib(&text)).unwrap_or(0).max(peak);
                std::thread::sleep(LOOK);
            }
            peak
        });
        let end = waitid(WaitId::Pid(Pid::from_child(child)), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let seconds = began.elapsed().as_secs_f64();
        ended.store(true, Ordering::Relaxed);
        end.context("a process cannot be waited for")?;
        let peak = peak.join().ok().filter(|peak| *peak > 0).context("a process ended before its memory was seen")?;
        Ok((peak, seconds))
    })
}

/// Processor time of a process so far, its threads included.
pub(super) fn processor_seconds(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let ticks = processor_ticks(&text).with_context(|| format!("{path} is not as expected: {text}"))?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

fn peak_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// User and system time: fields 14 and 15, counted behind the name, which may hold spaces and brackets.
fn processor_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_among_the_other_lines() {
        assert_eq!(peak_kib("Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t   12345 kB\nVmRSS:\t 7 kB\n"), Some(12345));
        assert_eq!(peak_kib("Name:\tx\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "42 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1 0 99 1 2";
        assert_eq!(processor_ticks(stat), Some(300));
        assert_eq!(processor_ticks("42 (a"), None);
    }

    #[test]
    fn a_process_is_measured() {
        let folder = std::env::temp_dir().join(format!("xtask-child-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "x=$(head -c 20000000 /dev/zero | tr '\\0' a); echo ${#x}; sleep 0.1"]);
        let measured = measured(&mut command, &folder.join("log"), &[0]).unwrap();
        assert_eq!(measured.stdout, "20000000\n");
        assert!(measured.seconds >= 0.1 && measured.seconds < 60.0, "{}", measured.seconds);
        assert!(measured.peak_mib > 19.0, "{}", measured.peak_mib);
        assert!(measured.processor_seconds > 0.0);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_unexpected_exit_code_is_an_error_with_its_last_words() {
        let folder = std::env::temp_dir().join(format!("xtask-child-code-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let run = |fine: &[i32]| measured(Command::new("sh").args(["-c", "sleep 0.1; echo why >&2; exit 4"]), &folder.join("log"), fine);
        assert!(run(&[0, 4]).is_ok());
        let error = run(&[0]).err().unwrap().to_string();
        assert!(error.contains("exit status: 4") && error.contains("why"), "{error}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
