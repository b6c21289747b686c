//! Findings as people, programs and workflows on GitHub read them.

use std::fmt::Write as _;

use serde::Serialize;

use super::args::Form;
use super::files::Found;
use super::finding::Finding;
use super::inspect::Counted;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'r> {
    findings: &'r [Finding],
    files: usize,
    objects: usize,
    errors: usize,
    warnings: usize,
    passed_over: PassedOver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PassedOver {
    objects: usize,
    kustomizations: usize,
    charts: usize,
}

pub(super) fn text(form: Form, findings: &[Finding], counted: Counted, found: &Found) -> String {
    match form {
        Form::Json => {
            let passed_over = PassedOver { objects: counted.others, kustomizations: found.kustomizations, charts: found.charts };
            let Counted { files, objects, errors, warnings, .. } = counted;
            let report = Report { findings, files, objects, errors, warnings, passed_over };
            serde_json::to_string_pretty(&report).expect("our own types are JSON") + "\n"
        }
        Form::Text => findings.iter().map(line).collect(),
        Form::Github => findings.iter().map(annotation).collect(),
    }
}

/// `12 objects in 5 files: 2 errors, 1 warning`, and what was passed over.
pub(super) fn summary(told: usize, counted: Counted, found: &Found) -> String {
    let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let mut text = format!(
        "{} in {}: {}, {}",
        count(counted.objects, "object"),
        count(counted.files, "file"),
        count(counted.errors, "error"),
        count(counted.warnings, "warning")
    );
    let over = [
        (counted.others, "object of another kind", "objects of other kinds"),
        (found.kustomizations, "kustomization", "kustomizations"),
        (found.charts, "Helm chart", "Helm charts"),
    ];
    let over: Vec<String> = over
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, several)| format!("{count} {}", if count == 1 { one } else { several }))
        .collect();
    if !over.is_empty() {
        let _ = write!(text, "; passed over: {}", over.join(", "));
    }
    let more = (counted.errors + counted.warnings).saturating_sub(told);
    if more > 0 {
        let _ = write!(text, "; {more} of them are not shown");
    }
    text
}

/// What is wrong, behind what it is wrong with.
fn message(finding: &Finding) -> String {
    let parts = [&finding.object, &finding.field].into_iter().filter(|part| !part.is_empty());
    parts.map(|part| format!("{part}: ")).collect::<String>() + &finding.message
}

fn line(finding: &Finding) -> String {
    let Finding { file, line, column, severity, .. } = finding;
    printable(&format!("{file}:{line}:{column}: {}: {}", severity.word(), message(finding))) + "\n"
}

/// A name in a file may have anything in it, a terminal should not obey it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

fn annotation(finding: &Finding) -> String {
    let Finding { file, line, column, severity, .. } = finding;
    let file = escaped(file, true);
    format!(
        "::{} file={file},line={line},col={column},title=dataimporter validate::{}\n",
        severity.word(),
        escaped(&message(finding), false)
    )
}

/// As commands of a workflow want it; in a property, commas and colons separate.
fn escaped(text: &str, property: bool) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let text = if property { text.replace(':', "%3A").replace(',', "%2C") } else { text };
    printable(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::finding::Severity;

    fn finding() -> Finding {
        Finding {
            severity: Severity::Error,
            file: "a,b:c%.yaml".to_owned(),
            line: 3,
            column: 7,
            object: "ImportJob acme/x".to_owned(),
            field: "spec.steps[0].filter".to_owned(),
            message: "100 %:\nno\u{1b}[31m".to_owned(),
        }
    }

    #[test]
    fn a_finding_is_one_line_and_obeys_nobody() {
        assert_eq!(line(&finding()), "a,b:c%.yaml:3:7: error: ImportJob acme/x: spec.steps[0].filter: 100 %:\\u{a}no\\u{1b}[31m\n");
        assert_eq!(
            annotation(&finding()),
            "::error file=a%2Cb%3Ac%25.yaml,line=3,col=7,title=dataimporter validate::ImportJob acme/x: spec.steps[0].filter: 100 %25:%0Ano\\u{1b}[31m\n"
        );
    }

    #[test]
    fn the_summary_counts() {
        let counted = Counted { files: 1, objects: 12, others: 1, errors: 2, warnings: 1 };
        let found = Found { charts: 2, ..Found::default() };
        assert_eq!(
            summary(1, counted, &found),
            "12 objects in 1 file: 2 errors, 1 warning; passed over: 1 object of another kind, 2 Helm charts; 2 of them are not shown"
        );
        assert_eq!(summary(0, Counted::default(), &Found::default()), "0 objects in 0 files: 0 errors, 0 warnings");
    }
}
