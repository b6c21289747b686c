//! What the compiler asks of a person who adds a system, a source, a format and so on. In a copy of the workspace each union gets one variant
//! more. The compiler refuses every place that has to answer for it; the check writes the compiler's own suggestion there and compiles again,
//! because a crate is only looked at once those below it compile, until all of it does. The places are compared with the table in
//! `docs/developing/unions.md`. A listed place that the compiler does not ask about any more has found a way to say nothing: a wildcard, an
//! `else`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{process, workspace};

/// The table of what is asked.
const LIST: &str = "docs/developing/unions.md";
const HEADING: &str = "## What the compiler asks";

/// A union: where the struct of its optional fields begins, and where its list does. Both are a file and a line of it.
struct Union {
    fields: (&'static str, &'static str),
    list: (&'static str, &'static str),
}

const CONNECTION: &str = "crates/api/src/connection/mod.rs";
const SYSTEM: &str = "crates/api/src/connection/system.rs";
const SOURCE: &str = "crates/api/src/import_job/source.rs";
const AFTER_SUCCESS: &str = "crates/api/src/import_job/after_success.rs";
const CREDENTIALS: &str = "crates/api/src/connection/credentials.rs";
const TARGET: &str = "crates/api/src/import_job/target.rs";
const TRIGGER: &str = "crates/api/src/import_job/trigger.rs";
const REGION: &str = "crates/api/src/region.rs";

const UNIONS: [Union; 9] = [
    Union {
        fields: (CONNECTION, "pub struct ConnectionSpec {"),
        list: (SYSTEM, "pub enum System<'a> = ConnectionSpec::system kinds SystemKind {"),
    },
    Union { fields: (SOURCE, "pub struct Source {"), list: (SOURCE, "pub enum SourceKind<'a> = Source::kind {") },
    Union { fields: (SOURCE, "pub struct Format {"), list: (SOURCE, "pub enum FormatKind<'a> = Format::kind {") },
    Union {
        fields: (AFTER_SUCCESS, "pub struct AfterSuccess {"),
        list: (AFTER_SUCCESS, "pub enum AfterSuccessKind<'a> = AfterSuccess::kind {"),
    },
    Union {
        fields: (CREDENTIALS, "pub struct Credentials {"),
        list: (CREDENTIALS, "pub enum CredentialOrigin<'a> = Credentials::origin kinds CredentialKind {"),
    },
    Union { fields: (TARGET, "pub struct Target {"), list: (TARGET, "pub enum TargetKind<'a> = Target::kind {") },
    Union { fields: (TRIGGER, "pub struct Trigger {"), list: (TRIGGER, "pub enum TriggerKind<'a> = Trigger::kind {") },
    Union { fields: (REGION, "pub struct Storage {"), list: (REGION, "pub enum StorageKind<'a> = Storage::kind {") },
    Union { fields: (REGION, "pub struct RootKey {"), list: (REGION, "pub enum RootKeyKind<'a> = RootKey::kind {") },
];

const FIELD: &str = "\n    #[serde(default)]\n    newcomer: Option<crate::newcomer::Newcomer>,";
const VARIANT: &str = "\n        \"newcomer\" newcomer => Newcomer(&'a crate::newcomer::Newcomer),";
/// What every new variant holds.
const HELD: &str = "
#[derive(Clone, Debug, serde::Deserialize, Eq, schemars::JsonSchema, PartialEq, serde::Serialize)]
pub struct Newcomer {}
";
/// Stands beside the trait. The compiler's suggestion names types of its methods by the module `system`.
const SYSTEM_HELD: &str = "\nuse super::system;\nimpl ExternalSystem for crate::newcomer::Newcomer {}\n";

/// The enums that get a variant, with the module that callers import each from: the compiler's suggestion shortens the path in its own way.
const ENUMS: [(&str, &str); 11] = [
    ("System", "connection"),
    ("SystemKind", "connection"),
    ("CredentialOrigin", "connection"),
    ("CredentialKind", "connection"),
    ("SourceKind", "import_job"),
    ("FormatKind", "import_job"),
    ("AfterSuccessKind", "import_job"),
    ("TargetKind", "import_job"),
    ("TriggerKind", "import_job"),
    ("StorageKind", "region"),
    ("RootKeyKind", "region"),
];

/// More rounds than there are crates on top of one another, times the stages in which the compiler finds such places.
const ROUNDS: usize = 16;

/// What is asked where: the union or trait, the file, the function that has to answer or the methods that are missing. With how often.
type Asked = BTreeMap<(String, String, String), usize>;

pub(super) fn check() -> Result<()> {
    let copy = workspace::target().join("newcomers");
    copy_workspace(&copy)?;
    add_newcomers(&copy)?;
    let mut asked = Asked::new();
    for round in 1..=ROUNDS {
        let questions = questions(&copy)?;
        println!("newcomers: round {round}, {} questions", questions.len());
        if questions.is_empty() {
            let listed = listed(&fs::read_to_string(workspace::root().join(LIST))?)?;
            return compare(&listed, &asked);
        }
        for question in &questions {
            println!("  {question}");
            *asked.entry((question.union.clone(), question.file.clone(), question.place.clone())).or_default() += 1;
        }
        answer(&copy, &questions)?;
    }
    bail!("after {ROUNDS} rounds of the compiler's own suggestions there still are questions")
}

/// The members of the workspace under another version, so that cargo does not take what it built of them for what it builds of the originals.
/// Everything else is shared with other levels: the copy lies inside the checkout, whose `.cargo/config.toml` is its own too. A file that is
/// the same as before keeps its time, and a crate without a question is not compiled again.
fn copy_workspace(copy: &Path) -> Result<()> {
    let root = workspace::root();
    for part in ["charts", "crates", "docs", "examples", "src", "xtask"] {
        copy_all(&root.join(part), &copy.join(part))?;
    }
    write_changed(&copy.join("Cargo.lock"), &fs::read(root.join("Cargo.lock"))?)?;
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let version = "version = \"0.1.0\"\nedition";
    ensure!(manifest.matches(version).count() == 1, "Cargo.toml has no line for the version of all members");
    write_changed(&copy.join("Cargo.toml"), manifest.replace(version, "version = \"0.1.0-newcomers\"\nedition").as_bytes())
}

/// Makes `to` what `from` is; what lies in `to` alone goes.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        return write_changed(to, &content);
    }
    fs::create_dir_all(to)?;
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        copy_all(&from.join(&name), &to.join(&name))?;
        names.insert(name);
    }
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if !names.contains(&entry.file_name()) {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
        }
    }
    Ok(())
}

fn write_changed(file: &Path, content: &[u8]) -> Result<()> {
    if fs::read(file).is_ok_and(|before| before == content) {
        return Ok(());
    }
    fs::write(file, content).with_context(|| format!("cannot write {}", file.display()))
}

fn add_newcomers(copy: &Path) -> Result<()> {
    fs::write(copy.join("crates/api/src/newcomer.rs"), HELD)?;
    change(&copy.join("crates/api/src/lib.rs"), |text| Ok(format!("{text}\npub mod newcomer;\n")))?;
    change(&copy.join(SYSTEM), |text| Ok(format!("{text}{SYSTEM_HELD}")))?;
    for Union { fields, list } in UNIONS {
        for ((file, line), added) in [(fields, FIELD), (list, VARIANT)] {
            change(&copy.join(file), |text| behind(&text, line, added))?;
        }
    }
    Ok(())
}

fn change(file: &Path, changed: impl FnOnce(String) -> Result<String>) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    fs::write(file, changed(text).with_context(|| file.display().to_string())?)?;
    Ok(())
}

fn behind(text: &str, line: &str, added: &str) -> Result<String> {
    ensure!(text.matches(line).count() == 1, "{line:?} does not stand there once");
    Ok(text.replace(line, &format!("{line}{added}")))
}

/// A place that does not compile.
struct Question {
    union: String,
    file: String,
    line: usize,
    place: String,
    message: String,
    edits: Vec<Edit>,
}

/// The compiler's suggestion: what to write where, in bytes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Edit {
    file: PathBuf,
    start: usize,
    end: usize,
    text: String,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} ({}): {}", self.file, self.line, self.place, self.message)
    }
}

/// What the compiler asks of the copy, in as many crates as it gets to. The crates of tests and tools answer for nothing.
fn questions(copy: &Path) -> Result<Vec<Question>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(workspace::target, PathBuf::from);
    let mut cargo = process::cargo();
    // The programs of the workspace and not of a package, which would check dependencies with other features than the lints do.
    cargo.args(["check", "--quiet", "--keep-going", "--workspace", "--bin", "dataimporter", "--bin", "kubectl-import"]);
    cargo.args(["--message-format", "json"]).env("CARGO_TARGET_DIR", target).current_dir(copy).stdin(Stdio::null());
    let output = cargo.output().context("cannot start cargo")?;
    let mut found = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(report) = serde_json::from_str::<Value>(line) else { continue };
        let message = &report["message"];
        if message["level"] == "error" && message["code"].is_object() {
            let question = question(copy, message)?;
            found.insert((question.file.clone(), question.line, question.union.clone()), question);
        }
    }
    ensure!(
        output.status.success() == found.is_empty(),
        "cargo check failed for another reason: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(found.into_values().collect())
}

fn question(copy: &Path, message: &Value) -> Result<Question> {
    let text = message["message"].as_str().unwrap_or_default().to_owned();
    let primary = spans(message).find(|span| span["is_primary"] == true).context("an error without a place")?;
    let file = primary["file_name"].as_str().context("a place without a file")?.to_owned();
    let line = primary["line_start"].as_u64().and_then(|line| usize::try_from(line).ok()).context("a place without a line")?;
    let mut suggestions = message["children"].as_array().into_iter().flatten().map(|child| edits(copy, child));
    let source = fs::read_to_string(copy.join(&file))?;
    let (union, place, edits) = match message["code"]["code"].as_str() {
        // A trait that is not answered for the newcomer, with a suggestion for each of its methods.
        Some("E0046") => {
            let missing =
                text.rsplit_once("missing: ").with_context(|| format!("{file}:{line}: it does not say what is missing: {text}"))?.1;
            ("ExternalSystem".to_owned(), missing.replace('`', ""), suggestions.flatten().collect())
        }
        // A match, or a pattern, that leaves the variant or the field out. Of several suggestions each is enough.
        code => {
            let labels = spans(message).filter_map(|span| span["label"].as_str());
            let union = if code == Some("E0027") { Some("fields") } else { [text.as_str()].into_iter().chain(labels).find_map(union_of) };
            let union = union.with_context(|| format!("{file}:{line}: the compiler says something else: {text}"))?;
            let edits = suggestions.find(|edits| !edits.is_empty()).unwrap_or_default();
            (union.to_owned(), function_around(&source, line).to_owned(), edits)
        }
    };
    ensure!(!edits.is_empty(), "{file}:{line}: the compiler suggests nothing: {text}");
    Ok(Question { union, file, line, place, message: text, edits })
}

/// `System` of "`Some(System::Newcomer(_))` not covered".
fn union_of(text: &str) -> Option<&str> {
    let before = &text[..text.find("::Newcomer")?];
    before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

/// The function that a line stands in: the nearest one above that is indented less. One tool formats all code.
fn function_around(source: &str, line: usize) -> &str {
    let indent = |text: &str| text.len() - text.trim_start().len();
    let lines: Vec<&str> = source.lines().take(line).collect();
    let Some((last, above)) = lines.split_last() else { return "" };
    above.iter().rev().filter(|text| indent(text) < indent(last)).find_map(|text| function_of(text)).unwrap_or_default()
}

/// `read` of `pub const fn read(&self) -> usize {`.
fn function_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    words.find(|word| !matches!(*word, "const" | "async") && !word.starts_with("pub")).filter(|word| *word == "fn")?;
    words.next()?.split(['(', '<']).next()
}

fn spans(message: &Value) -> impl Iterator<Item = &Value> {
    message["spans"].as_array().into_iter().flatten()
}

fn edits(copy: &Path, child: &Value) -> Vec<Edit> {
    let edit = |span: &Value| {
        let at = |key: &str| usize::try_from(span[key].as_u64()?).ok();
        let root = if span["file_name"].as_str()?.starts_with("crates/api/") { "crate" } else { "::api" };
        let text = with_full_path(span["suggested_replacement"].as_str()?, root);
        Some(Edit { file: copy.join(span["file_name"].as_str()?), start: at("byte_start")?, end: at("byte_end")?, text })
    };
    spans(child).filter_map(edit).collect()
}

/// Names each of our enums by its path from the root of `api`.
fn with_full_path(suggestion: &str, root: &str) -> String {
    let mut parts = suggestion.split("::Newcomer");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let start = text.rfind(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':')).map_or(0, |at| at + 1);
        let name = text[start..].rsplit("::").next().unwrap_or_default().to_owned();
        if let Some((name, module)) = ENUMS.iter().find(|(known, _)| *known == name) {
            text.replace_range(start.., &format!("{root}::{module}::{name}"));
        }
        text.push_str("::Newcomer");
        text.push_str(part);
    }
    text
}

/// Writes every suggestion down, from the end of each file to its beginning.
fn answer(copy: &Path, questions: &[Question]) -> Result<()> {
    let mut edits: Vec<&Edit> = questions.iter().flat_map(|question| &question.edits).collect();
    edits.sort_by(|one, other| other.cmp(one));
    for Edit { file, start, end, text } in edits {
        let mut content = fs::read_to_string(file)?;
        ensure!(file.starts_with(copy) && content.get(*start..*end).is_some(), "the compiler suggests a change of what is not there");
        content.replace_range(*start..*end, text);
        fs::write(file, content)?;
    }
    Ok(())
}

/// The rows of the table: union, file, function, and `× 2` behind it where it is asked twice.
fn listed(document: &str) -> Result<Asked> {
    let (_, section) = document.split_once(HEADING).with_context(|| format!("{LIST} has no heading {HEADING:?}"))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix("` |"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split("` | `").collect();
        let [union, file, place] = cells[..] else { bail!("{LIST}: a row has three cells: {row}") };
        let (place, times) = place.split_once(" × ").unwrap_or((place, "1"));
        Ok(((union.to_owned(), file.to_owned(), place.to_owned()), times.parse()?))
    })
    .collect()
}

fn row(((union, file, place), times): (&(String, String, String), &usize)) -> String {
    let times = if *times == 1 { String::new() } else { format!(" × {times}") };
    format!("\n| `{union}` | `{file}` | `{place}{times}` |")
}

fn compare(listed: &Asked, asked: &Asked) -> Result<()> {
    let missing = |of: &Asked, from: &Asked| of.iter().filter(|(key, times)| from.get(*key) != Some(times)).map(row).collect::<String>();
    let (silent, new) = (missing(listed, asked), missing(asked, listed));
    if !silent.is_empty() {
        bail!("{LIST} lists what the compiler does not ask: is there a wildcard?{silent}\nwhat it asks instead:{new}");
    }
    if !new.is_empty() {
        bail!("the compiler asks what {LIST} does not list:{new}");
    }
    println!("newcomers: the compiler asks in the {} places of {LIST}, and in no other", asked.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "# Unions\n\n## What the compiler asks\n\n| union | file | function |\n|---|---|---|\n\
                            | `System` | `src/a.rs` | `show` |\n| `System` | `src/a.rs` | `tell × 2` |\n\n## More\n\n| `x` | `y` | `z` |\n";

    fn asked(rows: &[(&str, &str, &str, usize)]) -> Asked {
        rows.iter().map(|(union, file, place, times)| (((*union).into(), (*file).into(), (*place).into()), *times)).collect()
    }

    #[test]
    fn the_table_is_read_up_to_the_next_heading() {
        let rows = [("System", "src/a.rs", "show", 1), ("System", "src/a.rs", "tell", 2)];
        assert_eq!(listed(DOCUMENT).unwrap(), asked(&rows));
        assert!(listed("# Unions").is_err());
    }

    #[test]
    fn a_question_that_is_not_asked_any_more_and_a_new_one_are_errors_that_print_their_rows() {
        let listed = listed(DOCUMENT).unwrap();
        compare(&listed, &listed).unwrap();
        let silent = compare(&listed, &asked(&[("System", "src/a.rs", "show", 1), ("System", "src/a.rs", "tell", 1)])).unwrap_err();
        assert!(format!("{silent}").contains("wildcard?\n| `System` | `src/a.rs` | `tell × 2` |"), "{silent}");
        let mut more = listed.clone();
        more.insert(("System".into(), "src/b.rs".into(), "run".into()), 1);
        let new = compare(&listed, &more).unwrap_err();
        assert!(format!("{new}").ends_with("does not list:\n| `System` | `src/b.rs` | `run` |"), "{new}");
    }

    #[test]
    fn the_place_is_the_function_around_the_line() {
        let source =
            "impl A {\n    pub(super) const fn show<T>(self) -> T {\n        let f = 1;\n        match self {\n        }\n    }\n}\n";
        assert_eq!(function_around(source, 4), "show");
        assert_eq!(function_around("fn f() {\n    // fn g()\n    if x {\n        y", 4), "f");
        assert_eq!(function_around("const A: u8 = 1;", 1), "");
    }

    #[test]
    fn a_suggestion_names_enums_by_their_full_path() {
        assert_eq!(
            with_full_path(", Some(system::System::Newcomer(_)) | SystemKind::Newcomer => todo!()", "crate"),
            ", Some(crate::connection::System::Newcomer(_)) | crate::connection::SystemKind::Newcomer => todo!()"
        );
        assert_eq!(with_full_path("let x = 1;", "crate"), "let x = 1;");
        assert_eq!(union_of("`(Some(_), Some(RootKeyKind::Newcomer(_)))` not covered"), Some("RootKeyKind"));
        assert_eq!(union_of("cannot find module `system`"), None);
    }
}
