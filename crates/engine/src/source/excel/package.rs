//! The archive that a workbook is: its parts by name, and their bytes as they inflate. Every byte is counted.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::CompressionMethod;

use super::error::{Part, WorkbookError};
use super::limits::{FREE_OF_RATIO, MAX_LIST, MAX_PARTS, MAX_PIECE, MAX_RATIO, MAX_SHEET, MAX_TEXTS};
use crate::source::archive::{self, Entry, Unlisted};
use crate::source::random_access::{PartReader, RandomAccess};

/// The parts of a workbook.
pub(super) struct Package {
    file: RandomAccess,
    /// By names in small letters: case does not count.
    parts: HashMap<String, Entry>,
}

impl Package {
    pub(super) fn open(file: RandomAccess) -> Result<Self, WorkbookError> {
        let damaged = || WorkbookError::Damaged { part: Part::Archive };
        let entries = archive::list(&file, MAX_PARTS).map_err(|why| match why {
            Unlisted::TooMany => WorkbookError::TooManyParts { limit: MAX_PARTS },
            Unlisted::Damaged(_) => damaged(),
        })?;
        let mut parts = HashMap::new();
        for entry in entries {
            if entry.encrypted {
                return Err(WorkbookError::Protected);
            }
            if !matches!(entry.method, CompressionMethod::STORE | CompressionMethod::DEFLATE) {
                return Err(damaged());
            }
            let name = entry.name.replace('\\', "/").to_ascii_lowercase();
            parts.entry(name).or_insert(entry);
        }
        Ok(Self { file, parts })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.parts.contains_key(&name.to_ascii_lowercase())
    }

    /// The bytes of a part as they inflate; nothing if there is no such part.
    pub(super) fn part(&self, name: &str, part: Part) -> Result<Option<Guarded>, WorkbookError> {
        let Some(entry) = self.parts.get(&name.to_ascii_lowercase()) else { return Ok(None) };
        let bytes = entry.place(&self.file).and_then(|range| self.file.reader(range).ok()).ok_or(WorkbookError::Damaged { part })?;
        let deflated = entry.method == CompressionMethod::DEFLATE;
        let packed = if deflated { Packed::Deflated(DeflateDecoder::new(bytes)) } else { Packed::Stored(bytes) };
        let most = most(part);
        let by_ratio = FREE_OF_RATIO.max(entry.packed.saturating_mul(MAX_RATIO));
        let counted = Counted { packed, left: most.min(by_ratio), is_ratio: by_ratio < most, crc: Crc::new(), expected: entry.crc, part };
        Ok(Some(Guarded { bytes: BufReader::with_capacity(64 << 10, counted), piece: 0, part }))
    }
}

fn most(part: Part) -> u64 {
    match part {
        Part::Sheet => MAX_SHEET,
        Part::Strings => MAX_TEXTS,
        Part::Archive | Part::Workbook | Part::Relations | Part::Styles => MAX_LIST,
    }
}

enum Packed {
    Deflated(DeflateDecoder<PartReader>),
    Stored(PartReader),
}

/// Ends with an error where there is more than there may be, and where the bytes are not those that were packed.
struct Counted {
    packed: Packed,
    left: u64,
    /// What is left goes by the ratio.
    is_ratio: bool,
    crc: Crc,
    expected: u32,
    part: Part,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.packed {
            Packed::Deflated(packed) => packed.read(into)?,
            Packed::Stored(bytes) => bytes.read(into)?,
        };
        if read == 0 && !into.is_empty() && self.crc.sum() != self.expected {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.crc.update(&into[..read]);
        let part = self.part;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other(if self.is_ratio {
                WorkbookError::Inflates { part, limit: MAX_RATIO }
            } else {
                WorkbookError::PartTooLarge { part, limit: most(part) }
            })
        })?;
        Ok(read)
    }
}

/// Hands out only so much for one piece of XML.
pub(super) struct Guarded {
    bytes: BufReader<Counted>,
    piece: usize,
    part: Part,
}

impl Guarded {
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// Another piece begins.
    pub(super) fn begin(&mut self) {
        self.piece = 0;
    }
}

impl Read for Guarded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(into)
    }
}

impl BufRead for Guarded {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece > MAX_PIECE {
            return Err(io::Error::other(WorkbookError::PieceTooLong { part: self.part, limit: MAX_PIECE }));
        }
        self.bytes.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.piece += amount;
        self.bytes.consume(amount);
    }
}
