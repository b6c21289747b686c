//! The archive that a workbook is: its parts by name, and their bytes as they inflate. The archive's directory is read by `zip`; inflating
//! is done here, where every byte is counted.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use bytes::{Buf, Bytes, buf};
use flate2::Crc;
use flate2::read::DeflateDecoder;
use memchr::memmem;
use zip::{CompressionMethod, ZipArchive};

use super::error::{Part, WorkbookError};
use super::limits::{FREE_OF_RATIO, MAX_LIST, MAX_PARTS, MAX_PIECE, MAX_RATIO, MAX_SHEET, MAX_TEXTS};

/// What each entry of the archive's directory begins with.
const ENTRY: &[u8] = b"PK\x01\x02";

/// The parts of a workbook.
pub(super) struct Package {
    bytes: Bytes,
    /// By names in small letters: case does not count.
    parts: HashMap<String, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    length: usize,
    crc: u32,
    deflated: bool,
}

impl Package {
    pub(super) fn open(bytes: Bytes) -> Result<Self, WorkbookError> {
        // Counted before anything is made of them; the archive may say less than it has.
        if memmem::find_iter(&bytes, ENTRY).nth(MAX_PARTS).is_some() {
            return Err(WorkbookError::TooManyParts { limit: MAX_PARTS });
        }
        let damaged = || WorkbookError::Damaged { part: Part::Archive };
        let mut archive = ZipArchive::new(Cursor::new(bytes.clone())).map_err(|_| damaged())?;
        let mut parts = HashMap::new();
        for index in 0..archive.len() {
            let file = archive.by_index_raw(index).map_err(|_| damaged())?;
            if file.encrypted() {
                return Err(WorkbookError::Protected);
            }
            let name = String::from_utf8_lossy(file.name_raw()).replace('\\', "/").to_ascii_lowercase();
            let start = file.data_start().and_then(|start| usize::try_from(start).ok()).ok_or_else(damaged)?;
            let length = usize::try_from(file.compressed_size()).map_err(|_| damaged())?;
            if start.checked_add(length).is_none_or(|end| end > bytes.len()) {
                return Err(damaged());
            }
            let deflated = match file.compression() {
                CompressionMethod::STORE => false,
                CompressionMethod::DEFLATE => true,
                _ => return Err(damaged()),
            };
            parts.entry(name).or_insert(Entry { start, length, crc: file.crc32(), deflated });
        }
        Ok(Self { bytes, parts })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.parts.contains_key(&name.to_ascii_lowercase())
    }

    /// The bytes of a part as they inflate; nothing if there is no such part.
    pub(super) fn part(&self, name: &str, part: Part) -> Option<Guarded> {
        let entry = self.parts.get(&name.to_ascii_lowercase())?;
        let bytes = self.bytes.slice(entry.start..entry.start + entry.length);
        let packed = if entry.deflated { Packed::Deflated(DeflateDecoder::new(bytes.reader())) } else { Packed::Stored(bytes.reader()) };
        let most = most(part);
        let by_ratio = FREE_OF_RATIO.max((entry.length as u64).saturating_mul(MAX_RATIO));
        let counted = Counted { packed, left: most.min(by_ratio), is_ratio: by_ratio < most, crc: Crc::new(), expected: entry.crc, part };
        Some(Guarded { bytes: BufReader::with_capacity(64 << 10, counted), piece: 0, part })
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
    Deflated(DeflateDecoder<buf::Reader<Bytes>>),
    Stored(buf::Reader<Bytes>),
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
