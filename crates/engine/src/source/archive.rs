//! The list at the end of a ZIP archive: what is in it, and where. The list is read by `zip`; what it lists is read elsewhere, where every byte
//! is counted.

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;
use zip::CompressionMethod;
use zip::read::{Config, ZipFileEntry};
use zip::result::ZipResult;
use zip::unstable::read::ZipIterable;

use super::random_access::RandomAccess;

/// With which an entry of the list begins.
const ENTRY: &[u8] = b"PK\x01\x02";

/// What stands before the bytes of a file in the archive: so much, a name and more, whose lengths are the last four bytes of it.
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_LENGTH: u64 = 30;

/// Bytes that are read of the list at once.
const BLOCK: u64 = 64 << 10;

/// So many blocks are read of an archive before its list is too long.
const MOST_BLOCKS: usize = 256;

/// A file in an archive, as the list has it.
pub(super) struct Entry {
    /// Its name, with marks in place of what is no text.
    pub(super) name: String,
    pub(super) method: CompressionMethod,
    pub(super) encrypted: bool,
    /// Bytes of it in the archive, and once it is unpacked.
    pub(super) packed: u64,
    pub(super) unpacked: u64,
    pub(super) crc: u32,
    header: u64,
}

/// Why there is no list.
pub(super) enum Unlisted {
    /// In the words of the library.
    Damaged(String),
    /// There are more files than that may be.
    TooMany,
}

/// What is in the archive.
pub(super) fn list(archive: &RandomAccess, most: usize) -> Result<Vec<Entry>, Unlisted> {
    let mut list = List { archive: archive.clone(), at: 0, blocks: BTreeMap::new(), entries: 0, most };
    match read(&mut list, most) {
        Ok(Some(entries)) => Ok(entries),
        Ok(None) => Err(Unlisted::TooMany),
        // The library does not know why reading ended.
        Err(_) if list.is_too_long() => Err(Unlisted::TooMany),
        Err(error) => Err(Unlisted::Damaged(error.to_string())),
    }
}

/// One entry after the other: `ZipArchive` sets memory aside for as many as the archive says that it has. `None`: it says that of too many.
fn read(list: &mut List, most: usize) -> ZipResult<Option<Vec<Entry>>> {
    let mut archive = ZipIterable::try_new(list, Config::default())?;
    if archive.len() > most {
        return Ok(None);
    }
    let (mut entries, mut known) = (Vec::new(), HashMap::new());
    for entry in archive.files()? {
        let entry = Entry::of(&entry?);
        match known.entry(entry.name.clone()) {
            Vacant(place) => {
                place.insert(entries.len());
                entries.push(entry);
            }
            // Of two with one name the last is meant.
            Occupied(place) => entries[*place.get()] = entry,
        }
    }
    Ok(Some(entries))
}

impl Entry {
    fn of(entry: &ZipFileEntry<'_>) -> Self {
        Self {
            name: entry.name().unwrap_or_else(|_| String::from_utf8_lossy(entry.name_raw())).into_owned(),
            method: entry.compression(),
            encrypted: entry.encrypted(),
            packed: entry.compressed_size(),
            unpacked: entry.size(),
            crc: entry.crc32(),
            header: entry.header_start(),
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with(['/', '\\'])
    }

    /// Where its bytes stand, packed. `None`: not in this archive.
    pub(super) fn place(&self, archive: &RandomAccess) -> Option<Range<u64>> {
        let header = archive.part(self.header..self.header.checked_add(LOCAL_LENGTH)?).ok()?;
        let lengths: [u8; 4] = header.strip_prefix(LOCAL)?.last_chunk().copied()?;
        let [name, more] = [[lengths[0], lengths[1]], [lengths[2], lengths[3]]].map(|bytes| u64::from(u16::from_le_bytes(bytes)));
        let start = self.header + LOCAL_LENGTH + name + more;
        let end = start.checked_add(self.packed)?;
        (end <= archive.len()).then_some(start..end)
    }
}

/// An archive as the library reads its list: in blocks, each of which is read once, and its entries counted. The archive may say that it has fewer.
struct List {
    archive: RandomAccess,
    at: u64,
    blocks: BTreeMap<u64, Bytes>,
    entries: usize,
    most: usize,
}

impl List {
    fn is_too_long(&self) -> bool {
        self.entries > self.most || self.blocks.len() > MOST_BLOCKS
    }

    /// What there is from here on, up to the end of its block.
    fn rest(&mut self) -> io::Result<Bytes> {
        let start = self.at / BLOCK * BLOCK;
        if !self.blocks.contains_key(&start) {
            let block = self.archive.part(start..(start + BLOCK).min(self.archive.len()))?;
            self.entries += memmem::find_iter(&block, ENTRY).count();
            self.blocks.insert(start, block);
        }
        if self.is_too_long() {
            return Err(io::Error::other("the list is too long"));
        }
        Ok(self.blocks[&start].slice((self.at - start) as usize..))
    }
}

impl Read for List {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.archive.len() {
            return Ok(0);
        }
        let read = self.rest()?.as_ref().read(into)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for List {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.archive.len().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
