//! The README's walk-through with a CSV of one's own, run as it is written there.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Check;
use crate::demo::Demo;
use crate::demo::salesforce_side::SalesforceSide;
use crate::{certificate, workspace};

pub(super) const CHECKS: &[Check] = &[("the README's walk-through works", the_readmes_walk_through_works)];

const SECTION: &str = "## Your own CSV in five minutes";

fn the_readmes_walk_through_works(demo: &Demo) -> Result<()> {
    let readme = std::fs::read_to_string(workspace::root().join("README.md"))?;
    let script = first_script(&readme, SECTION)?;
    let (succeeded, said) = run(&script)?;
    ensure!(succeeded, "the walk-through ended with an error:\n{said}");
    for expected in ["3 read", "2 succeeded", "1 failed", "REQUIRED_FIELD_MISSING", "[LastName]", "sf__Error", "nobody@example.org", "Oslo"]
    {
        ensure!(said.contains(expected), "the walk-through does not show {expected:?}:\n{said}");
    }
    let authority = certificate::authority();
    let loaded = SalesforceSide::open(&demo.kubectl, &authority)?.count("Contact WHERE Email LIKE '%@example.org'")?;
    ensure!(loaded == 2, "Salesforce holds {loaded} of the 2 good rows");
    a_mistake_is_named(&script)
}

/// Control, and what people meet first: a column that the file does not have.
fn a_mistake_is_named(script: &str) -> Result<()> {
    let (succeeded, said) = run(&script.replace("mine", "wrong").replace("from: Last Name", "from: LastName"))?;
    ensure!(!succeeded, "control: a mapping from a column that is not there went through:\n{said}");
    for expected in ["PreflightFailed", "mapping to LastName", "\"Last Name\""] {
        ensure!(said.contains(expected), "the mistake is not explained with {expected:?}:\n{said}");
    }
    Ok(())
}

fn first_script(readme: &str, section: &str) -> Result<String> {
    let (_, rest) = readme.split_once(section).with_context(|| format!("the README has no section {section:?}"))?;
    let (_, rest) = rest.split_once("```sh\n").with_context(|| format!("section {section:?} has no commands"))?;
    let (script, _) = rest.split_once("```").context("the commands do not end")?;
    Ok(script.to_owned())
}

fn run(script: &str) -> Result<(bool, String)> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .output()
        .context("cannot start bash")?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    Ok((output.status.success(), said))
}
