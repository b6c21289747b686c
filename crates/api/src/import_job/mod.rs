//! `ImportJob`: what to load, how, from where, when.

mod after_success;
mod excel;
mod number;
mod parquet;
mod source;
mod step;
mod target;
mod trigger;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::after_success::{AfterSuccess, AfterSuccessKind, MoveTo};
pub use self::excel::{ExcelFormat, Hidden};
pub use self::number::{Decimal, NumberFormat, Thousands};
pub use self::parquet::ParquetFormat;
pub use self::source::{
    BlanksAround, Choose, CsvFormat, FileSource, Format, FormatKind, JsonFormat, Quote, Source, SourceKind, SqlSource, Unchanged,
    UploadSource, Watermark,
};
pub use self::step::{Dedupe, Step, StepKind};
pub use self::target::{BlankCells, MappingEntry, Operation, SalesforceTarget, Target, TargetKind, ValueSource};
pub use self::trigger::{Once, Schedule, Trigger, TriggerKind};
use crate::meta::Empty;
use crate::schema::{self, rule};
use crate::tenant::ResultRetention;

/// The query, the columns, the steps and the mapping together, in bytes: with it no job takes more than 256 KiB, and its snapshot always fits.
pub const TEXTS_LIMIT: usize = 100 << 10;

/// What the `number` of a mapping's entry counts as, in bytes: half of what it takes, as a text may take twice its bytes.
pub(crate) const NUMBER_SIZE: usize = 16;

/// Each text has a limit of its own, but a list of long ones would be larger than anybody can hold in memory for every job.
fn texts_within_limit() -> serde_json::Value {
    let bytes = |field: &str| format!("(has({field}) ? bytes({field}).size() : 0)");
    let query = "(has(self.source.sql) && has(self.source.sql.query) ? bytes(self.source.sql.query).size() : 0)";
    let columns = |source: &str, format: &str| {
        let path = format!("self.source.{source}.format.{format}.columns");
        let there = format!("has(self.source.{source}) && has(self.source.{source}.format) && has(self.source.{source}.format.{format})");
        format!("({there} && has({path}) ? {path}.map(c, bytes(c).size()).sum() : 0)")
    };
    let columns = ["upload", "file"].map(|source| ["csv", "json"].map(|format| columns(source, format)).join(" + ")).join(" + ");
    let steps = format!(
        "(has(self.steps) ? self.steps.map(s, {} + (has(s.dedupe) ? s.dedupe.by.map(c, bytes(c).size()).sum() : 0)).sum() : 0)",
        bytes("s.filter")
    );
    let texts = ["m.to", "m.from", "m.value", "m.formula"].map(bytes).join(" + ");
    let entry = format!("{texts} + (has(m.number) ? {NUMBER_SIZE} : 0)");
    let mapping = format!("(has(self.target.salesforce) ? self.target.salesforce.mapping.map(m, {entry}).sum() : 0)");
    rule(
        &format!("{query} + {columns} + {steps} + {mapping} <= {TEXTS_LIMIT}"),
        "query, columns, steps and mapping together have at most 100 KiB of text: shorten formulas, or split the job",
    )
}

/// What to load into Salesforce, how, from where and when.
#[derive(Clone, CustomResource, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[kube(
    group = "dataimporter.io",
    version = "v1alpha1",
    kind = "ImportJob",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "ImportJobStatus",
    derive = "PartialEq",
    shortname = "ij",
    category = "dataimporter",
    doc = "What to load into Salesforce, how, from where and when.",
    printcolumn(name = "Object", type_ = "string", json_path = ".spec.target.salesforce.object"),
    printcolumn(name = "Operation", type_ = "string", json_path = ".spec.target.salesforce.operation"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Last Run", type_ = "string", json_path = ".status.lastRun.name"),
    printcolumn(name = "Succeeded", type_ = "string", json_path = r#".status.conditions[?(@.type=="LastRunSucceeded")].status"#),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextRunAt"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.trigger) || !has(self.trigger.schedule) || !has(self.source.upload)", "an upload lives one hour: it cannot be read on a schedule"),
    texts_within_limit(),
]))]
pub struct ImportJobSpec {
    /// Where the rows come from.
    pub source: Source,
    /// What happens to every row before mapping, in this order. Absent: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub steps: Vec<Step>,
    /// Where the rows go.
    pub target: Target,
    /// When runs start. Absent: once, with id "1".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// How result files are written and how long they are kept. Absent: safe to open in a spreadsheet, and kept as the tenant's rule says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<JobResults>,
    /// What stops a run. Absent: only the default deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guards: Option<Guards>,
    /// How many finished runs are kept. Absent: the newest 10 that succeeded and the newest 10 that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// No new run starts by itself while true; a running one goes on. Absent: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// What a job wants of its result files.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "has(self.none) ? !has(self.keepDays) && !has(self.escapeFormulas) : has(self.keepDays) || has(self.escapeFormulas)",
    "none stands alone; otherwise keepDays, escapeFormulas or both must be set",
)]))]
pub struct JobResults {
    /// Days after a run's end, never more than the tenant's rule. 0: one minute. Absent: the tenant's rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 30))]
    pub keep_days: Option<i32>,
    /// Result files are never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none: Option<Empty>,
    /// Whether cells that a spreadsheet would run as a formula are preceded by an apostrophe, which an import takes away again. False: they stand
    /// as they are, for programs that read the files; do not open those in a spreadsheet. Absent: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape_formulas: Option<bool>,
}

impl JobResults {
    /// How long the files are to be kept, if the job says so.
    pub fn retention(&self) -> Option<ResultRetention> {
        match self.none {
            Some(_) => Some(ResultRetention::none()),
            None => self.keep_days.map(ResultRetention::days),
        }
    }
}

/// A run whose result files are alive is kept until they are gone, up to 100 runs of each outcome; so is the run of a `once` trigger.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// Finished runs that succeeded. Absent: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub successful: Option<i32>,
    /// Finished runs that did not succeed. Absent: 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub failed: Option<i32>,
}

impl History {
    /// How many runs of each outcome are kept where the job says nothing.
    pub const DEFAULT: i32 = 10;
}

/// What stops a run before its rows are all done.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Guards {
    /// Stop when more than this share of the rows with an outcome failed, looked at after each chunk from 1,000 rows on. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_failed_percent: Option<i32>,
    /// Stop when fewer than the rest of the org's daily API requests remain: 80 leaves 20 %. Absent: 80.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub api_budget_percent: Option<i32>,
    /// Seconds after which a run is stopped. Absent: 21600 (6 hours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 604800))]
    pub deadline_seconds: Option<i64>,
}

impl Guards {
    /// Where the job says nothing: 6 hours.
    pub const DEFAULT_DEADLINE_SECONDS: i64 = 21_600;
    /// Where the job says nothing: a fifth of the org's daily API requests is left to others.
    pub const DEFAULT_API_BUDGET_PERCENT: i32 = 80;
}

/// What is known of a job, as the operator writes it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportJobStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready: valid and armed (or done); LastRunSucceeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The newest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<LastRun>,
    /// When the schedule starts the next run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_at: Option<Time>,
    /// What applies where the spec is silent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective: Option<EffectiveJob>,
}

/// The newest run of a job.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastRun {
    /// Name of the ImportRun, in the same namespace.
    #[schemars(length(max = 253))]
    pub name: String,
    /// UID of the ImportRun.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// When the run ended. Absent: it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// What applies to a job, defaults included.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveJob {
    /// When runs start: `once <id>`, `manual` or `schedule`.
    #[schemars(length(max = 64))]
    pub trigger: String,
    /// What an empty cell means where its mapping says nothing else: `Ignore` leaves the field as it is, `Clear` empties it, `Fail` fails
    /// the row.
    pub blank_cells: BlankCells,
    /// How long result files are kept: the job's wish within the tenant's rule.
    pub results: ResultRetention,
    /// Seconds after which a run is stopped.
    pub deadline_seconds: i64,
    /// How many finished runs are kept. One whose result files are alive is kept until they are gone, up to 100 of each outcome; so is the
    /// run of a `once` trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
}

impl ImportJobSpec {
    /// Whether result files are safe to open in a spreadsheet.
    pub fn escapes_formulas(&self) -> bool {
        self.results.as_ref().and_then(|results| results.escape_formulas).unwrap_or(true)
    }

    /// How long the job wants its result files to be kept.
    pub fn retention(&self) -> Option<ResultRetention> {
        self.results.as_ref().and_then(JobResults::retention)
    }

    /// Whether no new run starts by itself now.
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// The Connections a run of this job uses, each once, in the order source, target.
    pub fn connection_names(&self) -> Vec<&str> {
        let references = [self.source.connection(), self.target.connection()];
        let mut names: Vec<&str> = Vec::new();
        for name in references.into_iter().flatten().map(|reference| reference.name.as_str()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What is kept of finished runs, with every number told.
    pub fn history(&self) -> History {
        let wish = self.history.clone().unwrap_or_default();
        let kept = |wish: Option<i32>| Some(wish.unwrap_or(History::DEFAULT));
        History { successful: kept(wish.successful), failed: kept(wish.failed) }
    }

    /// Words that make a cell of the source blank.
    pub fn null_words(&self) -> &[String] {
        self.source.null_words()
    }

    /// Leaves out what is done with the rows, which is long, for a caller that only asks when a job runs and what it refers to.
    pub fn forget_rows(&mut self) {
        self.source.forget_query();
        self.steps = Vec::new();
        self.target.forget_mapping();
    }

    /// Seconds after which a run is stopped, the default included.
    pub fn deadline_seconds(&self) -> i64 {
        self.guards.as_ref().and_then(|g| g.deadline_seconds).unwrap_or(Guards::DEFAULT_DEADLINE_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_says_how_results_are_written_says_nothing_of_how_long_they_are_kept() {
        let results = |text: &str| serde_json::from_str::<JobResults>(text).unwrap();
        assert_eq!(results(r#"{"escapeFormulas": false}"#).retention(), None);
        assert_eq!(results(r#"{"escapeFormulas": true, "keepDays": 1}"#).retention(), Some(ResultRetention::days(1)));
        assert_eq!(results(r#"{"none": {}}"#).retention(), Some(ResultRetention::none()));
    }

    fn source(text: &str) -> Source {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_file_in_an_unknown_format_is_never_read_as_csv() {
        for (of, field) in [
            (r#""upload": {"name": "f""#, "source.upload.format"),
            (r#""file": {"connectionRef": {"name": "lake"}, "path": "f""#, "source.file.format"),
        ] {
            let plain = source(&format!("{{{of}}}}}"));
            let (format, said) = plain.format().unwrap();
            assert_eq!((format, said), (None, field));
            for (known, kind) in [
                (r#"{"csv": {}}"#, FormatKind::Csv(&CsvFormat::default())),
                (r#"{"excel": {}}"#, FormatKind::Excel(&ExcelFormat::default())),
                (r#"{"json": {}}"#, FormatKind::Json(&JsonFormat::default())),
                (r#"{"parquet": {}}"#, FormatKind::Parquet(&ParquetFormat::default())),
            ] {
                let source = source(&format!(r#"{{{of}, "format": {known}}}}}"#));
                assert_eq!(source.format().and_then(|(format, _)| format?.kind()), Some(kind));
            }
            for unknown in ["{}", r#"{"avro": {}}"#, r#"{"avro": {"sheet": "A"}}"#] {
                let source = source(&format!(r#"{{{of}, "format": {unknown}}}}}"#));
                assert_eq!(
                    source.format().map(|(format, _)| format.is_some_and(|format| format.kind().is_none())),
                    Some(true),
                    "{unknown}"
                );
                assert!(source.null_words().is_empty());
            }
        }
    }

    #[test]
    fn a_job_refers_to_what_its_source_and_target_say() {
        let job = |source: &str| -> ImportJobSpec {
            let target = r#"{"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert", "mapping": []}}"#;
            serde_json::from_str(&format!(r#"{{"source": {source}, "target": {target}}}"#)).unwrap()
        };
        let query = |name: &str| format!(r#"{{"sql": {{"connectionRef": {{"name": "{name}"}}, "query": "SELECT 1"}}}}"#);
        assert_eq!(job(r#"{"upload": {"name": "f"}}"#).connection_names(), ["crm"]);
        assert_eq!(job(&query("db")).connection_names(), ["db", "crm"]);
        assert_eq!(job(&query("crm")).connection_names(), ["crm"]);
        assert_eq!(job(r#"{"file": {"connectionRef": {"name": "lake"}, "path": "a.csv"}}"#).connection_names(), ["lake", "crm"]);
        assert_eq!(job(r#"{"topic": {"name": "t"}}"#).connection_names(), ["crm"]);
        let mut slim = job(&query("db"));
        slim.forget_rows();
        assert_eq!(slim.connection_names(), ["db", "crm"]);
        assert!(!serde_json::to_string(&slim).unwrap().contains("SELECT"));
    }
}
