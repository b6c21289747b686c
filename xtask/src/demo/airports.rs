//! The file that the demo uploads: the real airports, with a few rows made wrong on purpose, and what must become of
//! each row, counted here from the file and not from what the product says.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What a correct import of the file must report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Expected {
    pub(crate) read: i64,
    pub(crate) filtered: i64,
    pub(crate) failed: i64,
}

impl Expected {
    pub(crate) fn succeeded(self) -> i64 {
        self.read - self.filtered - self.failed
    }
}

/// A wrong row goes behind every so many real ones.
const EVERY: usize = 2_300;

/// Writes the file and says what to expect of it.
pub(crate) fn write(source: &Path, target: &Path) -> Result<Expected> {
    let text = std::fs::read_to_string(source).with_context(|| format!("cannot read {}", source.display()))?;
    let (file, expected) = with_wrong_rows(&text)?;
    std::fs::write(target, file).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(expected)
}

fn with_wrong_rows(text: &str) -> Result<(String, Expected)> {
    let mut lines = text.lines();
    let header = lines.next().context("the airports have no header")?;
    ensure!(
        header.starts_with("\"icao\",\"iata\",\"name\",\"city\",\"subd\",\"country\""),
        "the airports have other columns than expected"
    );
    let mut file = format!("{header}\n");
    let mut expected = Expected { read: 0, filtered: 0, failed: 0 };
    for (index, line) in lines.filter(|l| !l.is_empty()).enumerate() {
        file.push_str(line);
        file.push('\n');
        expected.read += 1;
        expected.filtered += i64::from(line.contains(",\"AQ\","));
        if index % EVERY == EVERY - 1 {
            file.push_str(&wrong_row(index / EVERY));
            expected.read += 1;
            expected.failed += 1;
        }
    }
    Ok((file, expected))
}

/// Of the wrong rows, those that an import sends: that a required field is left out only Salesforce says.
pub(crate) fn refused_by_salesforce(expected: Expected) -> i64 {
    expected.failed / 3
}

/// In turn: without the id that decides which Account it is, a name longer than the field, a required name left out.
fn wrong_row(number: usize) -> String {
    let icao = format!("#{number:03}");
    let (icao, name) = match number % 3 {
        0 => (String::new(), "Airport without its id".to_owned()),
        1 => (icao, "Airport with a very long name ".repeat(12)),
        _ => (icao, String::new()),
    };
    format!("\"{icao}\",\"\",\"{name}\",\"Nowhere\",\"\",\"ZZ\",0,0,0,\"UTC\",\"\"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_rows_are_added_and_counted() {
        let header = r#""icao","iata","name","city","subd","country","elevation","lat","lon","tz","lid""#;
        let row = |country: &str| format!("\"AAAA\",\"\",\"N\",\"C\",\"\",\"{country}\",1,1,1,\"UTC\",\"\"\n");
        let text = format!("{header}\n{}{}", row("AQ"), row("DE").repeat(2 * EVERY - 1));
        let (file, expected) = with_wrong_rows(&text).unwrap();
        assert_eq!(expected, Expected { read: 2 * EVERY as i64 + 2, filtered: 1, failed: 2 });
        assert_eq!(expected.succeeded(), 2 * EVERY as i64 - 1);
        assert_eq!(file.lines().count(), 1 + expected.read as usize);
        assert!(file.contains("without its id") && file.contains("very long name"));
        assert_eq!(refused_by_salesforce(expected), 0);
        let text = format!("{header}\n{}", row("DE").repeat(6 * EVERY));
        let (file, expected) = with_wrong_rows(&text).unwrap();
        assert_eq!(file.matches("\"\",\"Nowhere\"").count() as i64, refused_by_salesforce(expected));
        assert_eq!(refused_by_salesforce(expected), 2);
    }
}
