//! `cargo xtask fuzz [TARGET …]`: feeds made-up input to what reads bytes of strangers, each target for a while. Not a level of the tests:
//! how much it finds depends on how long it runs (docs/developing/fuzz.md).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::progress::Progress;
use crate::{process, workspace};

#[derive(clap::Args)]
#[command(after_help = "What was found lies in target/fuzz/found/TARGET; `--input FILE` feeds it again. Exit code 1 when a target failed.")]
pub(crate) struct Arguments {
    /// Targets to feed; all of them when none is named
    #[arg(value_enum)]
    targets: Vec<FuzzTarget>,
    /// How long each target is fed
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Feed this one input instead, as it lay when a target failed
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// Named as in `fuzz/src/lib.rs`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum FuzzTarget {
    /// The CSV reader: any bytes, read in any way and in any pieces
    Csv,
    /// The JSON reader: any bytes, in any pieces
    Json,
    /// A file as a job opens it: any bytes, packed or not
    File,
    /// The reader of workbooks: any bytes as one of a workbook's parts, or as the whole
    Excel,
    /// The reader of Parquet files: any bytes as one
    Parquet,
    /// The formula language: any text, compiled and evaluated
    Formula,
    /// Sealed records and files: any change of one that is sealed
    Record,
    /// The emulator's SOQL: any text as a query
    Soql,
    /// The reader of Salesforce's result sets: any bytes in any pieces
    Results,
}

/// libFuzzer is told by these what is reached: LLVM's own pass, which a stable compiler has, too. Tests of the project need neither.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// Memory that one target may take, and how long one input: beyond them it has failed.
const MEMORY_MIB: u32 = 1024;
const SECONDS_EACH: u32 = 10;

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let targets = if arguments.targets.is_empty() { FuzzTarget::value_variants().to_vec() } else { arguments.targets };
    let progress = Progress::begin();
    let program = build(&progress)?;
    if let Some(input) = arguments.input {
        let [target] = targets[..] else { bail!("--input needs the one target that is to be fed with it") };
        return again(&program, target, &input);
    }
    let mut failed = Vec::new();
    for target in targets {
        if !feed(&progress, &program, target, arguments.seconds)? {
            failed.push(target.name());
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Everything that belongs to fuzzing and not to the checkout.
fn folder() -> PathBuf {
    workspace::target().join("fuzz")
}

fn build(progress: &Progress) -> Result<PathBuf> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    let log = folder.join("build.log");
    progress.during("building the targets (several minutes the first time)", String::new, || {
        let mut cargo = process::cargo();
        cargo.args(["build", "--locked", "--release", "--features", "libfuzzer", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"]);
        process::logged(cargo.arg(&folder).env("RUSTFLAGS", COVERAGE).env_remove("CARGO_TARGET_DIR").current_dir(workspace::root()), &log)
    })?;
    Ok(folder.join("x86_64-unknown-linux-gnu/release/fuzz"))
}

impl FuzzTarget {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Feeds one target; false when it failed.
fn feed(progress: &Progress, program: &Path, target: FuzzTarget, seconds: u32) -> Result<bool> {
    let name = target.name();
    let (seeds, corpus, found) =
        (folder().join("seeds").join(&name), folder().join("corpus").join(&name), folder().join("found").join(&name));
    for folder in [&seeds, &corpus, &found] {
        fs::create_dir_all(folder)?;
    }
    let count = lay_out(&workspace::root().join("fuzz/seeds").join(&name), &seeds)?;
    let log = folder().join(format!("{name}.log"));
    let mut command = Command::new(program);
    command.env("FUZZ_TARGET", &name).args([&corpus, &seeds]).arg(format!("-artifact_prefix={}/", found.display()));
    command.args([format!("-max_total_time={seconds}"), format!("-rss_limit_mb={MEMORY_MIB}"), format!("-timeout={SECONDS_EACH}")]);
    command.args(["-print_final_stats=1", "-max_len=4096", "-verbosity=1"]);
    let words = workspace::root().join("fuzz/words").join(format!("{name}.txt"));
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    let began = Instant::now();
    let outcome =
        progress.during(&format!("{name}: {count} seeds, {seconds} s"), || last_line(&log), || process::logged(&mut command, &log));
    let said = fs::read(&log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    println!("{}", summary(&name, &said, began.elapsed(), outcome.is_ok()));
    if let Err(error) = &outcome {
        eprintln!("{error:#}\n{name} failed; the input lies in {}", found.display());
        return Ok(false);
    }
    // A target that is never fed, or whose code is not seen, fails no more.
    let executed = figure(&said, "stat::number_of_executed_units:").unwrap_or_default();
    ensure!(executed > count as u64, "{name}: only {executed} inputs were fed");
    ensure!(said.contains("NEW") || said.contains("INITED cov:"), "{name}: libFuzzer saw no coverage, see {}", log.display());
    Ok(true)
}

fn again(program: &Path, target: FuzzTarget, input: &Path) -> Result<ExitCode> {
    let mut command = Command::new(program);
    let status =
        command.env("FUZZ_TARGET", target.name()).arg(input).stdin(Stdio::null()).status().context("the targets cannot be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes every seed into a folder of its own: a file is one, and so is each line of `lines.txt`.
fn lay_out(from: &Path, to: &Path) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(from).with_context(|| format!("{} has no seeds", from.display()))? {
        let path = entry?.path();
        let content = fs::read(&path)?;
        let seeds: Vec<&[u8]> = if path.ends_with("lines.txt") {
            content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
        } else {
            vec![&content]
        };
        for seed in seeds {
            fs::write(to.join(format!("{count:04}")), seed)?;
            count += 1;
        }
    }
    ensure!(count > 0, "{} has no seeds", from.display());
    Ok(count)
}

fn last_line(log: &Path) -> String {
    let text = fs::read(log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    text.lines()
        .rev()
        .find(|line| line.starts_with('#'))
        .map(|line| format!(", {}", line.split_whitespace().collect::<Vec<_>>().join(" ")))
        .unwrap_or_default()
}

fn summary(name: &str, said: &str, took: Duration, passed: bool) -> String {
    let executed = figure(said, "stat::number_of_executed_units:").unwrap_or_default();
    let cover = said.lines().rev().find_map(|line| figure(line, "cov: ")).unwrap_or_default();
    let word = if passed { "passed" } else { "FAILED" };
    format!("  {name:<10}{word}  {executed:>10} inputs, {cover:>6} places reached, {:6.1} s", took.as_secs_f32())
}

/// The number behind a label.
fn figure(text: &str, label: &str) -> Option<u64> {
    text.split_once(label)?.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_known_to_both_sides_and_has_seeds() {
        let library = fs::read_to_string(workspace::root().join("fuzz/src/lib.rs")).unwrap();
        for target in FuzzTarget::value_variants() {
            let name = target.name();
            assert!(library.contains(&format!("(\"{name}\", {name}::feed)")), "fuzz/src/lib.rs has no target {name}");
            assert!(workspace::root().join("fuzz/seeds").join(&name).is_dir(), "{name} has no seeds");
        }
        assert_eq!(library.matches("::feed)").count(), FuzzTarget::value_variants().len());
    }

    #[test]
    fn what_libfuzzer_says_is_read() {
        let said = "#2 INITED cov: 12 ft: 13\n#99\tNEW    cov: 345 ft: 400 corp: 3/9b\n#100\tDONE   cov: 346 ft: 400\nstat::number_of_executed_units: 100\n";
        assert_eq!(
            summary("csv", said, Duration::from_secs(2), true),
            "  csv       passed         100 inputs,    346 places reached,    2.0 s"
        );
    }
}
