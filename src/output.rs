//! Printing: text for people, JSON for programs. What `dataimporter run` and the plugin print alike.

use api::import_run::Rows;
use clap::ValueEnum;

use crate::terminal;

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Output {
    Text,
    Json,
}

/// Prints `value` as JSON, or `text` for people.
pub(crate) fn either(output: Output, value: &impl serde::Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    match output {
        Output::Json => terminal::print(serde_json::to_string_pretty(value).expect("our own types are JSON")),
        Output::Text => terminal::print(text()),
    }
}

/// 28298 → 28,298
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The rows that are anything but zero, in the order in which a row meets them.
pub(crate) fn rows(rows: &Rows) -> String {
    let parts = [
        ("read", rows.read, true),
        ("filtered", rows.filtered, false),
        ("deduplicated", rows.deduplicated, false),
        ("not sampled", rows.not_sampled, false),
        ("skipped", rows.skipped, false),
        ("succeeded", rows.succeeded, true),
        ("failed", rows.failed, true),
        ("unprocessed", rows.unprocessed, false),
    ];
    parts
        .iter()
        .filter(|(_, count, always)| *always || *count != 0)
        .map(|(name, count, _)| format!("{} {name}", grouped(*count)))
        .collect::<Vec<_>>()
        .join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 28_298, -1_234_567].map(grouped), ["0", "999", "1,000", "28,298", "-1,234,567"]);
    }

    #[test]
    fn zero_counts_that_say_nothing_are_left_out() {
        let counted = Rows { read: 10, succeeded: 9, filtered: 1, ..Rows::default() };
        assert_eq!(rows(&counted), "10 read · 1 filtered · 9 succeeded · 0 failed");
    }
}
