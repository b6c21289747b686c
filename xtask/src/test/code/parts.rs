//! What runs in one process, and what begins first. A suite is one process; those that take minutes are several, so that they run
//! beside one another and nothing long is left for the end.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Result, bail};

use super::suites::Suite;
use crate::{process, workspace};

/// Each test has a process, because each has an API server of its own: it waits for others more than it works.
const BY_TEST: [&str; 1] = ["dataimporter::keeper"];
/// Each module has a process: the tests of some modules share an API server.
const BY_MODULE: [&str; 1] = ["dataimporter::operator_controllers"];

/// What takes longest, longest first. The rest follows in the order of its suites.
const FIRST: [&str; 13] = [
    "dataimporter::operator_controllers crash",
    "dataimporter::states",
    "dataimporter::keeper worker_crash::two_hundred_workers_are_killed_at_random_times_and_no_row_is_doubled_or_lost",
    "dataimporter::keeper crash::the_keeper_may_die_after_any_of_its_calls_in_a_run",
    "dataimporter::keeper worker_crash::a_worker_frozen_at_any_point_is_replaced_and_does_nothing_when_it_wakes",
    "dataimporter::keeper crash::the_keeper_may_die_after_any_of_its_calls_for_a_file",
    "dataimporter::keeper crash::the_keeper_may_die_after_any_of_its_first_calls",
    "dataimporter::keeper flood::thousands_who_say_nothing_or_little_do_not_keep_a_worker_from_its_lease",
    "dataimporter::keeper audit::whoever_may_write_the_volume_takes_nothing_out_of_the_audit_and_puts_nothing_in",
    "dataimporter::operator_controllers two_operators",
    "dataimporter::keeper volumes::files_cannot_starve_the_audit_and_a_region_without_audit_is_closed",
    "engine::whole_runs",
    "engine::exactly_once",
];

/// Of what is one process several tests run at a time, as many as without us on the smallest machine that we know.
const THREADS: usize = 2;

/// What one process runs.
pub(super) struct Part<'a> {
    pub(super) name: String,
    pub(super) runs: Runs<'a>,
    /// How many tests it runs at a time.
    pub(super) threads: usize,
}

pub(super) enum Runs<'a> {
    /// These tests of a suite.
    Tests(&'a Suite, Vec<&'a str>),
    /// A program that is one test by itself.
    Program(&'a Suite),
    /// The examples in the documentation of every crate, which cargo compiles and runs itself.
    Doctests,
}

/// Everything there is, each test once.
pub(super) fn of(suites: &[Suite]) -> Result<Vec<Part<'_>>> {
    let doctests = Part { name: "examples in the documentation".to_owned(), runs: Runs::Doctests, threads: THREADS };
    // Last, because cargo may have to wait: another level compiles for its first minutes.
    let mut parts: Vec<Part<'_>> = suites.iter().flat_map(split).chain([doctests]).collect();
    let gone: Vec<&str> = FIRST.into_iter().filter(|name| !parts.iter().any(|part| part.name == *name)).collect();
    if !gone.is_empty() {
        bail!("{} lists what is not there any more: {}", file!(), gone.join(", "));
    }
    parts.sort_by_key(|part| FIRST.iter().position(|name| part.name == *name).unwrap_or(FIRST.len()));
    Ok(parts)
}

fn split(suite: &Suite) -> Vec<Part<'_>> {
    let name = suite.name.as_str();
    let Some(tests) = &suite.tests else {
        return vec![Part { name: name.to_owned(), runs: Runs::Program(suite), threads: THREADS }];
    };
    let tests = tests.iter().map(String::as_str);
    if BY_TEST.contains(&name) {
        tests.map(|test| Part::of_suite(suite, test, vec![test])).collect()
    } else if BY_MODULE.contains(&name) {
        let mut modules: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for test in tests {
            modules.entry(test.split_once("::").map_or("", |(module, _)| module)).or_default().push(test);
        }
        modules.into_iter().map(|(module, tests)| Part::of_suite(suite, module, tests)).collect()
    } else {
        vec![Part::of_suite(suite, "", tests.collect())]
    }
}

impl<'a> Part<'a> {
    fn of_suite(suite: &'a Suite, which: &str, tests: Vec<&'a str>) -> Self {
        let name = format!("{} {which}", suite.name).trim_end().to_owned();
        Self { name, threads: tests.len().clamp(1, THREADS), runs: Runs::Tests(suite, tests) }
    }

    /// How many tests it has, where that is known before it runs.
    pub(super) fn count(&self) -> Option<usize> {
        match &self.runs {
            Runs::Tests(_, tests) => Some(tests.len()),
            Runs::Program(_) | Runs::Doctests => None,
        }
    }

    pub(super) fn command(&self) -> Command {
        // One test alone may have two threads: with one, its name and what came of it would not be in one line.
        let threads = THREADS.to_string();
        match &self.runs {
            Runs::Tests(suite, tests) => {
                let mut command = suite.command();
                if suite.tests.as_ref().is_some_and(|all| tests.len() < all.len()) {
                    command.arg("--exact").args(tests);
                }
                command.args(["--test-threads", &threads]);
                command
            }
            Runs::Program(suite) => suite.command(),
            Runs::Doctests => {
                let mut command = process::cargo();
                command.args(["test", "--locked", "--workspace", "--no-fail-fast", "--doc", "--", "--test-threads", &threads]);
                command.current_dir(workspace::root());
                command
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_is_in_one_part() {
        let suites = [
            Suite::of_tests("api", &["a", "b::c"]),
            Suite::of_tests(BY_TEST[0], &["x::a", "x::b"]),
            Suite::of_tests(BY_MODULE[0], &["x::a", "y::a", "x::b", "alone"]),
        ];
        let parts: Vec<Part<'_>> = suites.iter().flat_map(split).collect();
        let seen = parts.iter().map(|part| match &part.runs {
            Runs::Tests(suite, tests) => (suite.name.as_str(), part.threads, tests.clone()),
            Runs::Program(_) | Runs::Doctests => unreachable!("these suites have lists of tests"),
        });
        let expected = [
            ("api", 2, vec!["a", "b::c"]),
            (BY_TEST[0], 1, vec!["x::a"]),
            (BY_TEST[0], 1, vec!["x::b"]),
            (BY_MODULE[0], 1, vec!["alone"]),
            (BY_MODULE[0], 2, vec!["x::a", "x::b"]),
            (BY_MODULE[0], 1, vec!["y::a"]),
        ];
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        let words = |part: &Part<'_>| part.command().get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>();
        assert_eq!(words(&parts[0]), ["--test-threads", "2"]);
        assert_eq!(words(&parts[1]), ["--exact", "x::a", "--test-threads", "2"]);
    }
}
