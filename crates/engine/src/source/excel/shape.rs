//! What a cell's number is, by its number format: Excel knows no dates, only numbers that are shown as dates.

/// What the number of a cell stands for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Shape {
    /// Itself: money, percent and scientific notation are only how it is shown.
    #[default]
    Number,
    /// A day.
    Date,
    /// A time of a day.
    Time,
    /// Both.
    DateTime,
    /// Hours, minutes or seconds, as many as there are: `[h]:mm`.
    Duration,
    /// A day or a time of a day, by the language of who made the workbook: only the number can tell.
    DateOrTime,
}

impl Shape {
    /// Of a format that Excel has built in, by its number.
    pub(super) fn built_in(id: u32) -> Self {
        match id {
            14..=17 | 27..=31 | 36 | 50..=54 | 57 | 58 => Self::Date,
            18..=21 | 45 | 47 => Self::Time,
            22 => Self::DateTime,
            46 => Self::Duration,
            32..=35 | 55 | 56 => Self::DateOrTime,
            _ => Self::Number,
        }
    }

    /// Of a format as it is written, such as `dd/mm/yyyy hh:mm`. Its first section counts, which is that of positive numbers.
    pub(super) fn of_code(code: &str) -> Self {
        let Some(letters) = letters(code) else { return Self::Duration };
        let (mut date, mut time) = (false, false);
        for (at, (letter, count)) in letters.iter().enumerate() {
            match letter {
                'y' | 'd' | 'e' | 'g' | 'b' => date = true,
                'h' | 's' | 'a' => time = true,
                // Minutes stand behind hours or before seconds, all others are months.
                _ => {
                    let behind_hours = at > 0 && letters[at - 1].0 == 'h';
                    let before_seconds = letters.get(at + 1).is_some_and(|(next, _)| *next == 's');
                    if *count <= 2 && (behind_hours || before_seconds) { time = true } else { date = true }
                }
            }
        }
        match (date, time) {
            (true, true) => Self::DateTime,
            (true, false) => Self::Date,
            (false, true) => Self::Time,
            (false, false) => Self::Number,
        }
    }
}

/// The letters of dates and times in small, and how often each stands there. `None`: hours, minutes or seconds without an end.
fn letters(code: &str) -> Option<Vec<(char, usize)>> {
    let mut found: Vec<(char, usize)> = Vec::new();
    let mut last = ' ';
    let mut rest = code.chars().peekable();
    while let Some(character) = rest.next() {
        let letter = character.to_ascii_lowercase();
        match letter {
            ';' => break,
            // The character behind is text, or a width.
            '\\' | '_' | '*' => _ = rest.next(),
            '"' => rest.by_ref().take_while(|character| *character != '"').for_each(drop),
            '[' => {
                let inside: String = rest.by_ref().take_while(|character| *character != ']').collect();
                let inside = inside.to_ascii_lowercase();
                let first = inside.chars().next().filter(|first| matches!(first, 'h' | 'm' | 's'));
                if first.is_some_and(|first| inside.chars().all(|character| character == first)) {
                    return None;
                }
            }
            // `General`, and the exponent of `0.00E+00`.
            'g' if rest.clone().take(6).collect::<String>().eq_ignore_ascii_case("eneral") => rest.by_ref().take(6).for_each(drop),
            'e' if matches!(rest.peek(), Some('+' | '-')) => {}
            // `AM/PM` and `A/P`.
            'a' if matches!(rest.peek(), Some('m' | 'M' | '/')) => {
                let skipped = if rest.peek() == Some(&'/') { 2 } else { 4 };
                rest.by_ref().take(skipped).for_each(drop);
                found.push(('a', 1));
            }
            'y' | 'd' | 'e' | 'g' | 'b' | 'h' | 's' | 'm' => match found.last_mut() {
                Some((same, count)) if *same == letter && last == letter => *count += 1,
                _ => found.push((letter, 1)),
            },
            _ => {}
        }
        last = letter;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_tells_numbers_from_days_and_times() {
        for (code, expected) in [
            ("General", Shape::Number),
            ("GENERAL", Shape::Number),
            ("0.00E+00", Shape::Number),
            ("##0.0E+0", Shape::Number),
            ("#,##0.00\\ \"€\"", Shape::Number),
            ("0%", Shape::Number),
            ("# ?/?", Shape::Number),
            ("@", Shape::Number),
            ("[Red]#,##0;[Blue]-#,##0", Shape::Number),
            ("0 \"days\"", Shape::Number),
            ("0\\d", Shape::Number),
            ("#,##0*d", Shape::Number),
            ("_d0", Shape::Number),
            ("[$-409]#,##0", Shape::Number),
            ("0;yyyy", Shape::Number),
            ("yyyy-mm-dd", Shape::Date),
            ("DD.MM.YYYY;@", Shape::Date),
            ("mmm-yy", Shape::Date),
            ("mmmm", Shape::Date),
            ("m", Shape::Date),
            ("[$-411]ge.m.d", Shape::Date),
            ("[$-404]e\"年\"m\"月\"d\"日\"", Shape::Date),
            ("d/m/yy h:mm", Shape::DateTime),
            ("yyyy\\-mm\\-dd\\Thh:mm:ss.000", Shape::DateTime),
            ("m/d/yy h:mm AM/PM", Shape::DateTime),
            ("h:mm", Shape::Time),
            ("hh:mm:ss a/p", Shape::Time),
            ("mm:ss", Shape::Time),
            ("mmss.0", Shape::Time),
            ("h \"h\" mm", Shape::Time),
            ("[h]:mm:ss", Shape::Duration),
            ("[mm]:ss", Shape::Duration),
            ("[Blue][s].00", Shape::Duration),
        ] {
            assert_eq!(Shape::of_code(code), expected, "{code}");
        }
    }
}
