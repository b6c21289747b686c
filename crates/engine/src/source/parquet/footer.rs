//! The end of a file → what it consists of. The crate that decodes it trusts what it claims: a schema within a schema is followed by a function
//! that calls itself, and a list gets the memory that it says it needs. So everything is counted first.

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy};

use super::decoder::safely;
use super::error::{ParquetError, Part};
use super::kinds;
use super::limits::{MAX_DEPTH, MAX_FIELDS, MAX_FOOTER, MAX_PATHS, MAX_PIECES};
use super::thrift::{Kind, Thrift};
use crate::source::kind::{self, Foreign};
use crate::source::peek::ENOUGH;
use crate::source::random_access::RandomAccess;

/// At both ends of a file.
const MAGIC: &[u8] = b"PAR1";
/// At the end of one whose footer is encrypted.
const ENCRYPTED: &[u8] = b"PARE";

/// Behind the footer: its length, and the same sign as at the start.
const END: u64 = 8;

/// What the file consists of.
pub(super) fn read(file: &RandomAccess) -> Result<ParquetMetaData, ParquetError> {
    let damaged = || Part::Footer.damaged();
    let head = file.head(ENOUGH as u64).map_err(|_| damaged())?;
    if head.starts_with(ENCRYPTED) {
        return Err(ParquetError::Encrypted);
    }
    if !head.starts_with(MAGIC) {
        let text = Foreign { what: "text or data of another kind", remedy: "leave `format` out, or name the one that it is" };
        let Foreign { what, remedy } = kind::of_bytes(&head).or_else(|| kind::of_text(&head)).unwrap_or(text);
        return Err(ParquetError::NotParquet { what, remedy });
    }
    let end = file.len().checked_sub(END).ok_or_else(damaged)?;
    let bytes = file.part(end..file.len()).map_err(|_| damaged())?;
    let (length, magic) = bytes.split_first_chunk::<4>().ok_or_else(damaged)?;
    match magic {
        MAGIC => {}
        ENCRYPTED => return Err(ParquetError::Encrypted),
        _ => return Err(damaged()),
    }
    let length = u32::from_le_bytes(*length);
    let start = end.checked_sub(u64::from(length)).filter(|start| *start >= MAGIC.len() as u64).ok_or_else(damaged)?;
    if length as usize > MAX_FOOTER {
        return Err(ParquetError::FooterTooLarge { limit: MAX_FOOTER });
    }
    let footer = &file.part(start..end).map_err(|_| damaged())?;
    check(footer)?;
    kinds::compare(footer).ok_or_else(damaged)?;
    let options = ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let decoded = safely(|| ParquetMetaDataReader::decode_metadata_with_options(footer, Some(&options)));
    decoded.ok_or_else(damaged)?.map_err(|_| damaged())
}

/// Counts what the footer holds.
fn check(footer: &[u8]) -> Result<(), ParquetError> {
    let (mut refused, mut pieces, mut tree) = (None, 0, Tree::default());
    let read = Thrift::new(footer).fields(|thrift, number, kind| match (number, kind) {
        (2, Kind::List) => structs(thrift, |thrift| tree.field(thrift)),
        (4, Kind::List) => structs(thrift, |thrift| {
            pieces += 1;
            thrift.fields(|thrift, number, kind| match (number, kind) {
                (1, Kind::List) => structs(thrift, |thrift| {
                    pieces += 1;
                    thrift.skip(Kind::Struct).filter(|()| pieces <= MAX_PIECES)
                }),
                _ => thrift.skip(kind),
            })
        }),
        // How the file is encrypted: the footer then is not, but some column is.
        (8, _) => {
            refused = Some(ParquetError::Encrypted);
            None
        }
        _ => thrift.skip(kind),
    });
    if let Some(refused) = refused.or_else(|| tree.refused()) {
        return Err(refused);
    }
    if pieces > MAX_PIECES {
        let remedy = "larger row groups, or fewer columns";
        return Err(ParquetError::TooMuch { what: "too many row groups and columns in them", limit: MAX_PIECES as u64, remedy });
    }
    read.ok_or_else(|| Part::Footer.damaged())
}

/// A list of structs, each of which `each` reads.
fn structs<'b>(thrift: &mut Thrift<'b>, mut each: impl FnMut(&mut Thrift<'b>) -> Option<()>) -> Option<()> {
    let (kind, count) = thrift.list()?;
    if count > 0 && kind != Kind::Struct {
        return None;
    }
    (0..count).try_for_each(|_| each(thrift))
}

/// The schema, a field at a time: groups come before what is in them.
#[derive(Default)]
struct Tree {
    /// The groups that the next field is in: how many fields each still has, and the length of its path.
    groups: Vec<(u64, usize)>,
    fields: usize,
    paths: usize,
}

impl Tree {
    fn field(&mut self, thrift: &mut Thrift<'_>) -> Option<()> {
        let (mut name, mut children) = (0, 0);
        thrift.fields(|thrift, number, kind| {
            match (number, kind) {
                (4, Kind::Bytes) => name = thrift.bytes()?.len(),
                (5, Kind::Number) => children = u64::try_from(thrift.number()?).ok()?,
                _ => thrift.skip(kind)?,
            }
            Some(())
        })?;
        let path = name + self.groups.last().map_or(0, |(_, path)| path + 1);
        self.fields += 1;
        self.paths = self.paths.saturating_add(path);
        if let Some((left, _)) = self.groups.last_mut() {
            *left -= 1;
        }
        if children > 0 {
            self.groups.push((children, path));
        }
        let fits = self.refused().is_none();
        while self.groups.last().is_some_and(|(left, _)| *left == 0) {
            self.groups.pop();
        }
        fits.then_some(())
    }

    fn refused(&self) -> Option<ParquetError> {
        let (what, limit, remedy) = match self {
            _ if self.groups.len() > MAX_DEPTH => ("too deep a schema", MAX_DEPTH, "the fields that are meant further out"),
            _ if self.fields > MAX_FIELDS => ("too many columns", MAX_FIELDS, "fewer of them"),
            _ if self.paths > MAX_PATHS => ("too many bytes in the names of its columns", MAX_PATHS, "shorter ones"),
            _ => return None,
        };
        Some(ParquetError::TooMuch { what, limit: limit as u64, remedy })
    }
}
