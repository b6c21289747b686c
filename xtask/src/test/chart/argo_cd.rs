//! What Argo CD is told about our kinds, in the form of its own repository: scripts in Lua with tests beside them. Argo CD's interpreter speaks Lua 5.1,
//! and so does the one that runs them here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{process, workspace};

const SCRIPTS: &str = "docs/gitops/argo-cd/resource_customizations/dataimporter.io";
const KINDS: [&str; 6] = ["Connection", "ImportJob", "ImportRun", "Region", "Tenant", "Upload"];
/// Takes away what Argo CD's interpreter does not have, stops the clock, and prints what a script answers, one value a line, each behind its
/// path.
const SHOW: &str = "
local date, time = os.date, os.time
os = {}
os.time = function(table) if table then return time(table) end return 1798000000 end
os.date = function(format, at) return date(format, at or os.time()) end
package.loaded.os = os
string, math, io, debug = nil, nil, nil, nil
getmetatable('').__index = nil
local function show(path, value)
  if type(value) == 'table' then
    for key, inner in pairs(value) do show(path .. '/' .. tostring(key), inner) end
  else
    print(path .. '=' .. type(value) .. ':' .. tostring(value))
  end
end
";

pub(super) fn check() -> Result<()> {
    let root = workspace::root().join(SCRIPTS);
    let (mut ran, mut statuses) = (0, BTreeSet::new());
    for kind in KINDS {
        let folder = root.join(kind);
        let tests = yaml(&folder.join("health_test.yaml"))?;
        for test in list(&tests["tests"])? {
            let wanted = flat(&test["healthStatus"]);
            let input = folder.join(text(&test["inputPath"])?);
            let said = run(&folder.join("health.lua"), &input)?;
            ensure!(said == wanted, "{kind}: {}: it says {said:?}, not {wanted:?}", input.display());
            statuses.insert(text(&test["healthStatus"]["status"])?.to_owned());
            ran += 1;
        }
        ran += actions(&folder.join("actions"))?;
    }
    let words = ["Degraded", "Healthy", "Progressing", "Suspended"].map(str::to_owned);
    ensure!(statuses == words.into() && ran > 40, "only {ran} cases ran, with {statuses:?}");
    println!("chart: {ran} cases of the scripts for Argo CD are as they must be");
    Ok(())
}

/// A kind that nothing can be done about has none.
fn actions(folder: &Path) -> Result<usize> {
    if !folder.exists() {
        return Ok(0);
    }
    let tests = yaml(&folder.join("action_test.yaml"))?;
    let mut offered = BTreeSet::new();
    let discoveries = list(&tests["discoveryTests"])?;
    for test in discoveries {
        let input = folder.join(text(&test["inputPath"])?);
        let mut wanted = BTreeMap::new();
        for action in list(&test["result"])? {
            let name = text(&action["name"])?;
            offered.insert(name.to_owned());
            wanted.insert(format!("/{name}/disabled"), format!("boolean:{}", action["disabled"]));
        }
        let said = run(&folder.join("discovery.lua"), &input)?;
        ensure!(said == wanted, "{}: it offers {said:?}, not {wanted:?}", input.display());
    }
    let does = list(&tests["actionTests"])?;
    for test in does {
        let name = text(&test["action"])?;
        let (input, output) = (folder.join(text(&test["inputPath"])?), folder.join(text(&test["expectedOutputPath"])?));
        let said = run(&folder.join(name).join("action.lua"), &input)?;
        let wanted = flat(&impact(yaml(&output)?));
        ensure!(said == wanted, "{name}: {}: it makes {said:?}, not {wanted:?}", input.display());
        offered.remove(name);
    }
    ensure!(offered.is_empty(), "{}: nothing tries {offered:?}", folder.display());
    Ok(discoveries.len() + does.len())
}

/// What an action answers that has to have this outcome: the object as it is to be, or a list of objects to create.
fn impact(outcome: Value) -> Value {
    match outcome {
        Value::Array(objects) => objects.into_iter().map(|object| json!({"operation": "create", "resource": object})).collect(),
        object => object,
    }
}

fn run(script: &Path, input: &Path) -> Result<BTreeMap<String, String>> {
    let program = format!("obj = {}\n{SHOW}show('', dofile({:?}))", literal(&yaml(input)?), script.display().to_string());
    let said = process::output(Command::new("lua5.1").args(["-e", &program]).env("TZ", "Asia/Kathmandu"))
        .with_context(|| format!("{} with {}", script.display(), input.display()))?;
    let pair = |line: &str| line.split_once('=').map(|(path, value)| (path.to_owned(), value.to_owned()));
    said.lines().map(|line| pair(line).with_context(|| format!("a line without a value: {line}"))).collect()
}

/// A value as Lua writes it.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Array(items) => format!("{{{}}}", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            format!("{{{}}}", fields.iter().map(|(key, value)| format!("[{key:?}] = {}", literal(value))).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A value as [`SHOW`] prints it.
fn flat(value: &Value) -> BTreeMap<String, String> {
    fn add(path: &str, value: &Value, lines: &mut BTreeMap<String, String>) {
        let mut line = |type_: &str, text: String| {
            lines.insert(path.to_owned(), format!("{type_}:{text}"));
        };
        match value {
            Value::Null => {}
            Value::Bool(bool) => line("boolean", bool.to_string()),
            Value::Number(number) => line("number", number.to_string()),
            Value::String(text) => line("string", text.clone()),
            Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| add(&format!("{path}/{}", at + 1), item, lines)),
            Value::Object(fields) => fields.iter().for_each(|(key, value)| add(&format!("{path}/{key}"), value, lines)),
        }
    }
    let mut lines = BTreeMap::new();
    add("", value, &mut lines);
    lines
}

fn yaml(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is not YAML", file.display()))
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().filter(|list| !list.is_empty()).context("a list with something in it")
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("a text")
}
