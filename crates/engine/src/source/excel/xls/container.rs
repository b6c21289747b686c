//! The container of an old workbook: sectors in chains, as on a disk of its time ([MS-CFB]). Nothing of it is larger than the file.

use super::damaged;
use crate::source::excel::binary::{u16_at, u32_at};
use crate::source::excel::error::{Part, WorkbookError};
use crate::source::excel::kind;

/// No further sector.
const END: u32 = 0xFFFF_FFFE;

/// Shorter streams stand in the stream of the root, in smaller sectors.
const SMALL: u64 = 4096;

/// Places in the header where the table's own sectors are told; the others are told by a chain.
const IN_HEADER: usize = 109;

struct Container<'b> {
    bytes: &'b [u8],
    /// The size of a sector is two to the power of it.
    shift: u32,
    /// Which sector follows which.
    table: Vec<u32>,
}

/// The stream of the workbook.
pub(super) fn stream(bytes: &[u8]) -> Result<Vec<u8>, WorkbookError> {
    let container = Container::open(bytes).ok_or(damaged(Part::Archive))?;
    let directory = container.chain(u32_at(bytes, 48).unwrap_or(END)).ok_or(damaged(Part::Archive))?;
    let entry = |name: &str| directory.chunks_exact(128).find(|entry| is_named(entry, name));
    if entry("EncryptedPackage").is_some() {
        return Err(WorkbookError::Protected);
    }
    let Some(workbook) = entry("Workbook") else {
        let what = if entry("Book").is_some() { kind::OLDER } else { "no workbook, but another document of its time" };
        return Err(WorkbookError::NotAWorkbook { what, remedy: kind::SAVE });
    };
    container.content(&directory, workbook).ok_or(damaged(Part::Archive))
}

fn is_named(entry: &[u8], name: &str) -> bool {
    let units = entry[..64].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    units.take_while(|unit| *unit != 0).eq(name.encode_utf16())
}

impl<'b> Container<'b> {
    fn open(bytes: &'b [u8]) -> Option<Self> {
        let shift = u32::from(u16_at(bytes, 30)?);
        if shift != 9 && shift != 12 {
            return None;
        }
        let mut container = Self { bytes, shift, table: Vec::new() };
        let mut sectors: Vec<u32> = (0..IN_HEADER).filter_map(|place| u32_at(bytes, 76 + place * 4)).collect();
        let mut left = container.sectors();
        let mut next = u32_at(bytes, 68)?;
        while next < END {
            left = left.checked_sub(1)?;
            let places: Vec<u32> = container.sector(next)?.chunks_exact(4).filter_map(|place| u32_at(place, 0)).collect();
            let (last, places) = places.split_last()?;
            sectors.extend(places);
            next = *last;
        }
        for sector in sectors.into_iter().filter(|sector| *sector < END).take(container.sectors()) {
            let entries = container.sector(sector)?.chunks_exact(4).filter_map(|entry| u32_at(entry, 0)).collect::<Vec<_>>();
            container.table.extend(entries);
        }
        Some(container)
    }

    /// How many sectors there are at most, the one that is cut included.
    fn sectors(&self) -> usize {
        (self.bytes.len() >> self.shift) + 1
    }

    /// The bytes of a sector; the last of a file may be cut where nothing is left.
    fn sector(&self, number: u32) -> Option<&'b [u8]> {
        let start = (number as usize).checked_add(1)?.checked_shl(self.shift)?;
        let end = start.checked_add(1 << self.shift)?.min(self.bytes.len());
        self.bytes.get(start..end).filter(|sector| !sector.is_empty())
    }

    fn chain(&self, first: u32) -> Option<Vec<u8>> {
        // A chain goes through no sector twice.
        let (mut found, mut next, mut left) = (Vec::new(), first, self.sectors());
        while next != END {
            left = left.checked_sub(1)?;
            found.extend_from_slice(self.sector(next)?);
            next = *self.table.get(next as usize)?;
        }
        Some(found)
    }

    fn content(&self, directory: &[u8], entry: &[u8]) -> Option<Vec<u8>> {
        let (first, length) = (u32_at(entry, 116)?, u64::from(u32_at(entry, 120)?));
        if length >= SMALL {
            let mut found = self.chain(first)?;
            let length = usize::try_from(length).ok().filter(|length| *length <= found.len())?;
            found.truncate(length);
            return Some(found);
        }
        let root = self.chain(u32_at(directory, 116)?)?;
        let table = self.chain(u32_at(self.bytes, 60)?)?;
        let (mut found, mut next, mut left) = (Vec::new(), first, SMALL as usize / 64);
        while next != END {
            left = left.checked_sub(1)?;
            let start = (next as usize).checked_mul(64)?;
            found.extend_from_slice(root.get(start..start.checked_add(64)?)?);
            next = u32_at(&table, (next as usize).checked_mul(4)?)?;
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= found.len())?;
        found.truncate(length);
        Some(found)
    }
}
