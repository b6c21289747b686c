//! What the numbers of SQL Server's errors say of a query. They have no names in its documentation, so people are shown the numbers; what has to
//! be known of them is whether the server's words may be shown.

use std::fmt;

/// An error's number, as people look it up.
pub struct ErrorCode<'a>(pub &'a str);

impl fmt::Display for ErrorCode<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}", self.0)
    }
}

impl ErrorCode<'_> {
    /// The server's words speak of the query, as it was written, and of the names in it, and of no value. All others may quote one: 245 has the
    /// text that is no number.
    pub fn is_of_the_query(&self) -> bool {
        OF_THE_QUERY.contains(&self.0)
    }

    /// The words that help where the server's do not know what was done with the query.
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self.0 {
            "1033" => Some("leave ORDER BY out of the query: the job's orderBy says the order"),
            "8155" => Some("with orderBy each column needs a name: write AS behind it"),
            "8156" => Some("with orderBy no two columns may have one name: write AS behind one of them"),
            "156" | "319" | "102" => Some("with orderBy the query must be one SELECT without WITH before it, OPTION or FOR behind it"),
            _ => None,
        }
    }
}

/// Syntax, names, rights, and what cannot be compiled.
const OF_THE_QUERY: [&str; 46] = [
    "102", "103", "104", "105", "107", "109", "116", "130", "134", "137", "141", "144", "145", "147", "156", "164", "170", "174", "189",
    "195", "201", "205", "206", "207", "208", "209", "214", "229", "230", "258", "263", "300", "306", "319", "343", "402", "451", "512",
    "916", "1033", "4104", "4121", "8120", "8121", "8155", "8156",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_may_hold_a_value_are_not_shown() {
        for of_the_query in ["102", "208", "229", "1033"] {
            assert!(ErrorCode(of_the_query).is_of_the_query(), "{of_the_query}");
        }
        // Conversion failed when converting the varchar value '…'; the row that a lock is on; truncated value: '…'; RAISERROR.
        for of_a_value in ["245", "1205", "2628", "50000", "8115", "9420", ""] {
            assert!(!ErrorCode(of_a_value).is_of_the_query(), "{of_a_value}");
        }
        assert_eq!(ErrorCode("208").to_string(), "error 208");
    }
}
