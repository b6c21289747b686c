//! What became of each row of a run, as the run tells it, against what was counted from the input and what the Salesforce side holds.

use serde_json::Value;

use super::airports::Expected;

/// Characters of the beginning and of the end of a failed row that are shown.
const SHOWN: [usize; 2] = [50, 90];

pub(crate) struct Accounting {
    /// `rows` of an ImportRun's status, or of the summary of `dataimporter run`.
    pub(crate) rows: Value,
    pub(crate) expected: Expected,
    /// Counted by the Salesforce side itself.
    pub(crate) in_salesforce: i64,
    /// Header and first rows of the file of failed rows.
    pub(crate) failures: Vec<String>,
}

impl Accounting {
    /// Everything that is not as it must be.
    pub(crate) fn findings(&self) -> Vec<String> {
        let rows = |name: &str| number(&self.rows, name);
        let ends =
            ["filtered", "deduplicated", "notSampled", "skipped", "succeeded", "failed", "unprocessed"].map(rows).iter().sum::<i64>();
        different(&[
            ("rows read", rows("read"), self.expected.read),
            ("rows filtered", rows("filtered"), self.expected.filtered),
            ("rows failed", rows("failed"), self.expected.failed),
            ("rows succeeded", rows("succeeded"), self.expected.succeeded()),
            ("rows with an end", ends, rows("read")),
            ("records in Salesforce", self.in_salesforce, self.expected.succeeded()),
        ])
    }

    pub(crate) fn print(&self) {
        let rows = |name: &str| number(&self.rows, name);
        println!(
            "  rows          {} read = {} filtered + {} deduplicated + {} succeeded + {} failed + {} unprocessed",
            rows("read"),
            rows("filtered"),
            rows("deduplicated"),
            rows("succeeded"),
            rows("failed"),
            rows("unprocessed")
        );
        println!("  in Salesforce {} records, counted there", self.in_salesforce);
    }

    pub(crate) fn print_failures(&self) {
        for line in &self.failures {
            println!("  failed.csv    {}", shortened(line));
        }
    }
}

/// A long line without its middle: the reason stands at its end.
fn shortened(line: &str) -> String {
    let characters: Vec<char> = line.chars().collect();
    let [beginning, end] = SHOWN;
    if characters.len() <= beginning + end {
        return line.to_owned();
    }
    let text = |part: &[char]| part.iter().collect::<String>();
    format!("{} … {}", text(&characters[..beginning]), text(&characters[characters.len() - end..]))
}

/// Those figures of (what, found, expected) that differ.
pub(crate) fn different(figures: &[(&str, i64, i64)]) -> Vec<String> {
    let wrong = figures.iter().filter(|(_, found, expected)| found != expected);
    wrong.map(|(what, found, expected)| format!("{what}: {found}, expected {expected}")).collect()
}

pub(crate) fn print_verdict(findings: &[String]) {
    if findings.is_empty() {
        println!("  all true");
    }
    for finding in findings {
        println!("  NOT TRUE      {finding}");
    }
}

/// A figure, 0 when it is not there.
fn number(rows: &Value, name: &str) -> i64 {
    rows[name].as_i64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn accounting(succeeded: i64, in_salesforce: i64) -> Accounting {
        Accounting {
            rows: json!({"read": 10, "filtered": 1, "failed": 2, "succeeded": succeeded}),
            expected: Expected { read: 10, filtered: 1, failed: 2 },
            in_salesforce,
            failures: Vec::new(),
        }
    }

    #[test]
    fn rows_that_add_up_have_no_findings() {
        assert_eq!(accounting(7, 7).findings(), Vec::<String>::new());
    }

    #[test]
    fn a_long_line_is_shown_without_its_middle() {
        assert_eq!(shortened("#001,Name,TOO_LONG"), "#001,Name,TOO_LONG");
        let long = shortened(&format!("#001,{},VALUE_TOO_LONG: ü", "Näme ".repeat(100)));
        assert!(long.starts_with("#001,Näme ") && long.contains(" … ") && long.ends_with("VALUE_TOO_LONG: ü"), "{long}");
        assert_eq!(long.chars().count(), 50 + 3 + 90);
    }

    #[test]
    fn a_lost_row_and_a_doubled_row_are_found() {
        assert_eq!(accounting(6, 7).findings(), ["rows succeeded: 6, expected 7", "rows with an end: 9, expected 10"]);
        assert_eq!(accounting(7, 8).findings(), ["records in Salesforce: 8, expected 7"]);
    }
}
