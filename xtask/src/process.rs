//! Running other programs to their end: what failed is named with the command, and with the last lines of what it said.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const LINES_SHOWN: usize = 15;
/// How often it is asked whether a command has ended.
const LOOK: Duration = Duration::from_millis(20);

/// Cargo, for building the workspace. What a cargo that started this program told it of its own package is left out: the build script of `ring`
/// looks at it, and everything above would be compiled again whenever a developer builds without us.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs the command and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let result = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !result.status.success() {
        let said = String::from_utf8_lossy(&result.stderr);
        bail!("{} failed ({}):\n{}", shown(command), result.status, last_lines(&said));
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Runs the command with everything it says going to a log file.
pub(crate) fn logged(command: &mut Command, log: &Path) -> Result<()> {
    logged_unless(command, log, &AtomicBool::new(false))
}

/// The same, until somebody else sets `stopped`.
pub(crate) fn logged_unless(command: &mut Command, log: &Path, stopped: &AtomicBool) -> Result<()> {
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", shown(command)))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if stopped.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            bail!("{} was stopped", shown(command));
        }
        thread::sleep(LOOK);
    };
    if !status.success() {
        bail!("{} failed ({status}); {}", shown(command), tail(log));
    }
    Ok(())
}

/// Asks again and again until the answer is yes. Running out of time is an error that carries the last reason for no.
pub(crate) fn wait_until(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    loop {
        match ask() {
            Ok(()) => return Ok(()),
            Err(reason) if began.elapsed() > limit => {
                return Err(reason.context(format!("{what}: still not so after {} s", limit.as_secs())));
            }
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The end of a log as part of an error message.
pub(crate) fn tail(log: &Path) -> String {
    match std::fs::read(log) {
        Ok(bytes) => format!("last lines of {}:\n{}", log.display(), last_lines(&String::from_utf8_lossy(&bytes))),
        Err(error) => format!("its log {} cannot be read: {error}", log.display()),
    }
}

/// A port of the loopback that nobody has.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Whether a program of that name can be started.
pub(crate) fn is_installed(program: &str) -> bool {
    let administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(Into::into);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(administrators).any(|directory| directory.join(program).is_file())
}

/// A path as a word of a shell's command line.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].iter().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_command_and_its_last_words() {
        let error =
            output(Command::new("sh").args(["-c", "for i in $(seq 40); do echo line $i >&2; done; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c") && error.contains("exit status: 3"), "{error}");
        assert!(error.contains("line 40") && !error.contains("line 25\n"), "{error}");
    }

    #[test]
    fn a_shell_reads_quoted_paths_as_they_are() {
        assert_eq!(quoted(Path::new("/home/me/data-importer_1.0")), "/home/me/data-importer_1.0");
        for path in ["/home/two words", "/it's $HOME", "*"] {
            assert_eq!(output(Command::new("sh").args(["-c", &format!("printf %s {}", quoted(Path::new(path)))])).unwrap(), path);
        }
    }

    #[test]
    fn a_logged_command_ends_early_when_it_is_stopped() {
        let log = std::env::temp_dir().join(format!("stopped-{}", std::process::id()));
        let (stopped, began) = (AtomicBool::new(false), Instant::now());
        let error = thread::scope(|scope| {
            let running = scope.spawn(|| logged_unless(Command::new("sleep").arg("60"), &log, &stopped));
            thread::sleep(Duration::from_millis(100));
            assert!(!running.is_finished());
            stopped.store(true, Ordering::Relaxed);
            running.join().unwrap().unwrap_err().to_string()
        });
        assert_eq!(error, "sleep 60 was stopped");
        assert!(began.elapsed() < Duration::from_secs(30));
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn running_out_of_time_is_a_failure_with_the_last_reason() {
        let error = wait_until("the thing", Duration::ZERO, || bail!("not yet")).unwrap_err();
        assert_eq!(format!("{error:#}"), "the thing: still not so after 0 s: not yet");
    }
}
