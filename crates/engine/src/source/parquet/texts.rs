//! Texts of a column, taken from where they stand in a page or in the dictionary. The crate that decodes counts who shows each value, with
//! every one of them; nobody has to here.

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError as Undecoded, Result as Decoded};
use parquet::schema::types::ColumnDescPtr;

use super::cells::{Cells, decoded};
use super::decoder::safely;
use super::error::{ParquetError, Part};
use super::numbers::Numbers;
use super::pages::Pages;
use super::shape::Shape;
use super::value::{self, Wrong};

/// A column of texts, or of other bytes of any length.
pub(super) struct Texts {
    column: ColumnDescPtr,
    part: Part,
    shape: Shape,
    ahead: usize,
    /// A value that is no text, as it is told.
    told: String,
    /// Which level a value has that is not absent.
    present: u32,
    state: State,
}

enum State {
    Here(Box<Reading>),
    /// By the crate, from the first page on that is written as no other.
    There(Box<dyn Cells>),
}

struct Reading {
    pages: Option<Pages>,
    dictionary: Dictionary,
    /// Values of the page, absent ones among them, that were not read.
    left: u32,
    /// None if no value is absent.
    levels: Option<Numbers>,
    values: Values,
}

enum Values {
    /// Each behind its length.
    Plain {
        bytes: Bytes,
        at: usize,
    },
    OfDictionary(Numbers, Gathered),
}

#[derive(Default)]
struct Dictionary {
    /// As it came, for the crate.
    page: Option<Page>,
    /// Its texts, and where each begins and ends.
    texts: Bytes,
    places: Vec<(u32, u32)>,
}

/// The next values, beside one another. Texts of a dictionary are all over it, and mostly not in the processor's cache: to fetch one takes longer
/// than all else, unless many are fetched at once. It takes little, as no budget knows of it and a file may have a thousand columns: long texts
/// stay where they are.
#[derive(Default)]
struct Gathered {
    texts: Vec<u8>,
    ends: Vec<usize>,
    /// Which of them comes next, and where it begins.
    next: usize,
    from: usize,
    /// The one behind them, which is too long.
    long: Option<(u32, u32)>,
    /// The one behind them is none of the dictionary.
    wrong: bool,
}

impl Texts {
    pub(super) fn new(column: ColumnDescPtr, pages: Pages, part: Part, shape: Shape, ahead: usize) -> Self {
        let present = u32::from(column.max_def_level().cast_unsigned());
        let reading = Reading {
            pages: Some(pages),
            dictionary: Dictionary::default(),
            left: 0,
            levels: None,
            values: Values::Plain { bytes: Bytes::new(), at: 0 },
        };
        Self { column, part, shape, ahead, told: String::new(), present, state: State::Here(Box::new(reading)) }
    }
}

impl Cells for Texts {
    fn next(&mut self, text: &mut Vec<u8>) -> Result<Result<(), Wrong>, ParquetError> {
        loop {
            let reading = match &mut self.state {
                State::There(cells) => return cells.next(text),
                State::Here(reading) => reading,
            };
            if reading.left > 0 {
                let value = reading.value(self.present).ok_or_else(|| self.part.clone().damaged())?;
                let Some(value) = value else { return Ok(Ok(())) };
                if self.shape == Shape::Text {
                    value.append_to(text);
                    return Ok(Ok(()));
                }
                self.told.clear();
                let told = value::bytes(value.bytes(), self.shape, &mut self.told);
                text.extend_from_slice(self.told.as_bytes());
                return Ok(told);
            }
            if let Some(behind) = reading.open(self.present, &self.part)? {
                let (column, part) = (&self.column, self.part.clone());
                self.state = State::There(decoded(column, Box::new(behind), part, self.shape, self.ahead));
            }
        }
    }
}

/// So many bytes are copied in one move.
const SHORT: usize = 32;

/// Bytes of a page, and how many of them are a value.
struct Value<'p>(&'p [u8], usize);

impl<'p> Value<'p> {
    fn bytes(&self) -> &'p [u8] {
        &self.0[..self.1]
    }

    /// Most are short, and to copy as many as fit into a register takes a fraction of asking how many there are.
    #[inline]
    fn append_to(&self, text: &mut Vec<u8>) {
        match self.0.first_chunk::<SHORT>() {
            Some(more) if self.1 <= SHORT => {
                let end = text.len() + self.1;
                text.extend_from_slice(more);
                text.truncate(end);
            }
            _ => text.extend_from_slice(self.bytes()),
        }
    }
}

impl Gathered {
    const VALUES: usize = 64;
    const BYTES: usize = 2 << 10;
    const LONG: u32 = 256;

    #[inline]
    fn value<'p>(&'p mut self, numbers: &mut Numbers, dictionary: &'p Dictionary) -> Option<Value<'p>> {
        if self.next == self.ends.len() && self.long.is_none() {
            self.fill(numbers, dictionary);
        }
        let Some(end) = self.ends.get(self.next).copied() else {
            return self.long.take().map(|place| dictionary.text(place));
        };
        let value = Value(&self.texts[self.from..], end - self.from);
        (self.next, self.from) = (self.next + 1, end);
        Some(value)
    }

    /// Stops at a number of no text, and goes no further: it may fill up what is behind the last value, and is damage if it is asked for.
    fn fill(&mut self, numbers: &mut Numbers, dictionary: &Dictionary) {
        (self.next, self.from) = (0, 0);
        self.texts.clear();
        self.ends.clear();
        while !self.wrong && self.ends.len() < Self::VALUES && self.texts.len() < Self::BYTES {
            let Some(number) = numbers.next() else { break };
            let Some((from, until)) = dictionary.places.get(number as usize).copied() else {
                self.wrong = true;
                break;
            };
            if until - from > Self::LONG {
                self.long = Some((from, until));
                break;
            }
            dictionary.text((from, until)).append_to(&mut self.texts);
            self.ends.push(self.texts.len());
        }
        // The last one is copied in one move, too.
        self.texts.extend([0; SHORT]);
    }
}

impl Dictionary {
    fn text(&self, (from, until): (u32, u32)) -> Value<'_> {
        Value(&self.texts[from as usize..], (until - from) as usize)
    }
}

impl Reading {
    /// The next value, or none if it is absent. The outer `None`: it is not there.
    #[inline]
    fn value(&mut self, present: u32) -> Option<Option<Value<'_>>> {
        self.left -= 1;
        if let Some(levels) = &mut self.levels
            && levels.next()? != present
        {
            return Some(None);
        }
        match &mut self.values {
            Values::Plain { bytes, at } => {
                let (value, end) = behind_length(bytes, *at)?;
                *at = end;
                Some(Some(value))
            }
            Values::OfDictionary(numbers, gathered) => gathered.value(numbers, &self.dictionary).map(Some),
        }
    }

    /// Opens the next page with values. Answers with all pages that are left when the next one is written as no other here is.
    fn open(&mut self, present: u32, part: &Part) -> Result<Option<Behind>, ParquetError> {
        let damaged = || part.clone().damaged();
        let pages = self.pages.as_mut().ok_or_else(damaged)?;
        // What unpacks them is as little to be trusted as what decodes them.
        let page = safely(|| pages.next_page()).ok_or_else(damaged)??.ok_or_else(damaged)?;
        if let Page::DictionaryPage { buf, num_values, .. } = &page {
            let (texts, places) = (buf.clone(), places(buf, *num_values).ok_or_else(damaged)?);
            self.dictionary = Dictionary { page: Some(page), texts, places };
            return Ok(None);
        }
        let Some((levels, values)) = parts(&page, present).ok_or_else(damaged)? else {
            let first = self.dictionary.page.take().into_iter().chain([page]).collect::<Vec<_>>();
            let rest = self.pages.take().ok_or_else(damaged)?;
            return Ok(Some(Behind { first: first.into_iter(), rest }));
        };
        let width = u32::BITS - present.leading_zeros();
        self.levels = levels.map(|levels| Numbers::new(levels, width).ok_or_else(damaged)).transpose()?;
        self.values = match page.encoding() {
            Encoding::PLAIN => Values::Plain { bytes: values, at: 0 },
            // A page of nothing but absent values may have nothing.
            _ => {
                let width = values.first().copied().unwrap_or_default();
                let numbers = values.slice(values.len().min(1)..);
                Values::OfDictionary(Numbers::new(numbers, width.into()).ok_or_else(damaged)?, Gathered::default())
            }
        };
        self.left = page.num_values();
        Ok(None)
    }
}

/// The levels of a page, if it has some, and its values. The outer `None`: it has not what it says. The inner one: it is written otherwise.
fn parts(page: &Page, present: u32) -> Option<Option<(Option<Bytes>, Bytes)>> {
    if !matches!(page.encoding(), Encoding::PLAIN | Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY) {
        return Some(None);
    }
    match page {
        Page::DataPage { buf, .. } if present == 0 => Some(Some((None, buf.clone()))),
        Page::DataPage { buf, def_level_encoding: Encoding::RLE, .. } => {
            let end = 4 + u32::from_le_bytes(*buf.first_chunk()?) as usize;
            (end <= buf.len()).then(|| Some((Some(buf.slice(4..end)), buf.slice(end..))))
        }
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
            let from = *rep_levels_byte_len as usize;
            let end = from + *def_levels_byte_len as usize;
            (end <= buf.len()).then(|| Some(((present > 0).then(|| buf.slice(from..end)), buf.slice(end..))))
        }
        _ => Some(None),
    }
}

/// The bytes behind a length, and where they end.
#[inline]
fn behind_length(bytes: &[u8], at: usize) -> Option<(Value<'_>, usize)> {
    let (length, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    (length <= rest.len()).then(|| (Value(rest, length), at + 4 + length))
}

/// Where so many texts begin and end. `None`: they are not there.
fn places(page: &[u8], count: u32) -> Option<Vec<(u32, u32)>> {
    // Pages take less than four gibibytes.
    u32::try_from(page.len()).ok()?;
    let mut at = 0;
    (0..count)
        .map(|_| {
            let (value, end) = behind_length(page, at)?;
            at = end;
            Some(((end - value.1) as u32, end as u32))
        })
        .collect()
}

/// Pages that were looked at already, and those behind them.
struct Behind {
    first: std::vec::IntoIter<Page>,
    rest: Pages,
}

impl PageReader for Behind {
    fn get_next_page(&mut self) -> Decoded<Option<Page>> {
        match self.first.next() {
            Some(page) => Ok(Some(page)),
            None => self.rest.get_next_page(),
        }
    }

    fn peek_next_page(&mut self) -> Decoded<Option<PageMetadata>> {
        Err(Undecoded::NYI("pages are only read".to_owned()))
    }

    fn skip_next_page(&mut self) -> Decoded<()> {
        Err(Undecoded::NYI("pages are only read".to_owned()))
    }
}

impl Iterator for Behind {
    type Item = Decoded<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_not_gathered() {
        let texts = ["a".to_owned(), "b".repeat(256), "c".repeat(257), "d".repeat(1 << 20), "e".repeat(100)];
        let page: Vec<u8> = texts.iter().flat_map(|text| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()).collect();
        let places = places(&page, 5).unwrap();
        let dictionary = Dictionary { page: None, texts: page.into(), places };
        let expected: Vec<usize> = (0..1_000).map(|number| number * 7 % 5).chain([2, 3, 3, 2, 0, 3]).collect();
        // A run of one each.
        let bytes: Vec<u8> = expected.iter().flat_map(|number| [2, *number as u8]).collect();
        let (mut numbers, mut gathered) = (Numbers::new(bytes.into(), 3).unwrap(), Gathered::default());
        for number in expected {
            let value = gathered.value(&mut numbers, &dictionary).unwrap();
            assert_eq!(value.bytes(), texts[number].as_bytes());
            assert!(gathered.texts.capacity() < 8 << 10, "{} bytes are held for texts of a mebibyte", gathered.texts.capacity());
        }
        assert!(gathered.value(&mut numbers, &dictionary).is_none());
    }
}
