//! Paths in which `*` stands for any characters, as in a shell: not for a slash, and not for a dot at the beginning of a name, which upload
//! programs give to what they have not finished.

use api::text::matches;

/// A path with at least one `*`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pattern(Vec<String>);

impl Pattern {
    /// `None`: the path names one file.
    pub(super) fn of(path: &str) -> Option<Self> {
        path.contains('*').then(|| Self(path.split('/').map(str::to_owned).collect()))
    }

    /// The folder below which everything lies that matches, and how many parts of the path it takes.
    pub(super) fn start(&self) -> (String, usize) {
        let parts = self.0.iter().take_while(|part| !part.contains('*')).count();
        (self.0[..parts].join("/"), parts)
    }

    /// What the names of a folder so deep are asked for.
    pub(super) fn part(&self, depth: usize) -> Part<'_> {
        Part { pattern: &self.0[depth], is_file: depth + 1 == self.0.len() }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0.join("/"))
    }
}

/// A part of a pattern, between slashes.
#[derive(Clone, Copy)]
pub(super) struct Part<'p> {
    pattern: &'p str,
    /// It is the last one: a file is meant, and before that a folder.
    pub(super) is_file: bool,
}

impl<'p> Part<'p> {
    /// With what every name begins that matches.
    pub(super) fn start(self) -> &'p str {
        self.pattern.split('*').next().unwrap_or_default()
    }

    /// A name that no job could say is none.
    pub(super) fn matches(self, name: &str) -> bool {
        let is_hidden = name.starts_with('.') && self.pattern.starts_with('*');
        !is_hidden && !name.contains(char::is_control) && matches(self.pattern, name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_compared_as_a_shell_does() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", ".csv", false),
            ("*.csv", ".a.csv", false),
            (".*", ".a", true),
            ("*", "a", true),
            ("*", ".a", false),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**c", "abc", true),
            ("é*", "être", false),
            ("ê*", "être", true),
            ("a?c*", "abc", false),
            ("a*", "a\u{1b}[2J", false),
        ] {
            let path = Pattern::of(pattern).unwrap();
            assert_eq!(path.part(0).matches(name), expected, "{pattern} {name}");
        }
        assert_eq!(Pattern::of("in/a.csv"), None);
    }

    #[test]
    fn no_more_of_a_server_is_listed_than_can_match() {
        let told = |path: &str| {
            let pattern = Pattern::of(path).unwrap();
            let (folder, depth) = pattern.start();
            let part = pattern.part(depth);
            (folder, part.start().to_owned(), part.is_file)
        };
        assert_eq!(told("in/2026/accounts-*.csv"), ("in/2026".to_owned(), "accounts-".to_owned(), true));
        assert_eq!(told("*/a.csv"), (String::new(), String::new(), false));
        assert_eq!(told("in/day-*/a*.csv"), ("in".to_owned(), "day-".to_owned(), false));
    }
}
