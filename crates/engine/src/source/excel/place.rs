//! `C7`: where a cell stands, as people see it.

use std::fmt;

use super::limits::{MAX_COLUMN, MAX_ROW};

/// A cell's place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// 0 is `A`.
    pub(super) column: u32,
    /// The first is 1.
    pub(super) row: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut letters) = (self.column + 1, [0; 7]);
        let mut at = letters.len();
        while rest > 0 {
            at -= 1;
            letters[at] = b'A' + ((rest - 1) % 26) as u8;
            rest = (rest - 1) / 26;
        }
        let letters = letters[at..].iter().copied().map(char::from);
        letters.into_iter().try_for_each(|letter| write!(f, "{letter}"))?;
        write!(f, "{}", self.row)
    }
}

/// `C7`, `C` or nothing: column and row, as far as they are there. `None` for what is no place in a sheet.
pub(super) fn parse(text: &[u8]) -> Option<(Option<u32>, Option<u32>)> {
    let letters = text.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    let (letters, digits) = text.split_at(letters);
    let number = |number: u32, most: u32| (1..=most).contains(&number).then_some(number);
    let column = match letters {
        [] => None,
        _ if letters.len() > 3 => return None,
        _ => {
            let column = letters.iter().fold(0, |column, letter| column * 26 + u32::from(letter - b'A') + 1);
            Some(number(column, MAX_COLUMN)? - 1)
        }
    };
    let row = match digits {
        [] => None,
        _ if digits.len() > 7 || !digits.iter().all(u8::is_ascii_digit) => return None,
        _ => Some(number(digits.iter().fold(0, |row, digit| row * 10 + u32::from(digit - b'0')), MAX_ROW)?),
    };
    Some((column, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for column in 0..MAX_COLUMN {
            let place = Place { column, row: column % 9 + 1 };
            assert_eq!(parse(place.to_string().as_bytes()), Some((Some(column), Some(place.row))), "{place}");
        }
        assert_eq!(Place { column: MAX_COLUMN - 1, row: MAX_ROW }.to_string(), "XFD1048576");
        assert_eq!(parse(b"C"), Some((Some(2), None)));
        assert_eq!(parse(b""), Some((None, None)));
    }

    #[test]
    fn what_is_no_place_in_a_sheet_is_none() {
        for text in ["XFE1", "A1048577", "A0", "AAAA1", "a1", "A1B", "A99999999", "$A$1", "A-1"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
