//! The pages of a column, one at a time, checked and unpacked: what is handed on claims no more than is there.

use bytes::Bytes;
use flate2::Crc;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError as Undecoded, Result as Decoded};
use parquet::file::metadata::ColumnChunkMetaData;

use super::budget::{Budget, Share};
use super::differences::Differences;
use super::error::{ParquetError, Part};
use super::header::{PageHeader, PageKind};
use super::inflate::Codec;
use super::rest::Rest;
use crate::source::random_access::RandomAccess;

/// What is kept of each value of a page whose lengths stand before its texts.
const LENGTHS: usize = 8;

/// A header may tell the least and the most of its page, which are texts; mostly it has a few dozen bytes.
const HEADER: usize = 1 << 10;
const MAX_HEADER: usize = 4 << 20;

/// The pages of one column in one row group.
pub(super) struct Pages {
    rest: Rest,
    codec: Option<Codec>,
    kind: Type,
    /// Bytes of a value of fixed length.
    width: usize,
    /// Which level a value has that is not absent; without any pages have no levels.
    present: i16,
    /// Texts may continue the one before.
    continues: bool,
    budget: Budget,
    /// What a dictionary takes once it is decoded.
    dictionary: Option<Share>,
    /// What is kept of the last page beside its bytes.
    lengths: Option<Share>,
    part: Part,
}

impl Pages {
    /// `columns`: how many are read at a time. `part`: what a message calls this one.
    pub(super) fn of(
        file: &RandomAccess,
        chunk: &ColumnChunkMetaData,
        columns: usize,
        budget: &Budget,
        part: Part,
    ) -> Result<Self, ParquetError> {
        if chunk.file_path().is_some() {
            return Err(ParquetError::Elsewhere);
        }
        // Where a dictionary is said to be, unless that is nowhere: some write zero.
        let start = chunk
            .dictionary_page_offset()
            .filter(|start| *start > 0)
            .map_or(chunk.data_page_offset(), |start| start.min(chunk.data_page_offset()));
        let range = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
        let range = range.and_then(|(start, length)| Some(start..start.checked_add(length)?)).ok_or_else(|| part.clone().damaged())?;
        let rest = Rest::of(file, range, columns, budget, part.clone())?;
        let descriptor = chunk.column_descr();
        Ok(Self {
            rest,
            codec: Codec::of(chunk.compression())?,
            kind: descriptor.physical_type(),
            width: usize::try_from(descriptor.type_length()).unwrap_or(0),
            present: descriptor.max_def_level(),
            continues: continues(chunk),
            budget: budget.clone(),
            dictionary: None,
            lengths: None,
            part,
        })
    }

    pub(super) fn next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let damaged = self.part.clone().damaged();
        while !self.rest.is_empty() {
            let (header, length) = self.header()?.ok_or_else(|| damaged.clone())?;
            let end = length.checked_add(header.packed).ok_or_else(|| damaged.clone())?;
            if self.rest.at_least(end)?.len() < end {
                return Err(damaged);
            }
            let packed = self.rest.split_to(end).slice(length..);
            // A page without values is none for the decoder, which would take it for the end.
            if matches!(header.kind, PageKind::Other | PageKind::Data { values: 0, .. } | PageKind::Data2 { values: 0, .. }) {
                continue;
            }
            if header.checksum.is_some_and(|checksum| checksum != crc32(&packed)) {
                return Err(damaged);
            }
            let page = self.unpack(&header, packed)?.ok_or_else(|| damaged.clone())?;
            return self.page(header.kind, page)?.ok_or(damaged).map(Some);
        }
        Ok(None)
    }

    /// The header of the next page, and its length. `None`: it is none.
    fn header(&mut self) -> Result<Option<(PageHeader, usize)>, ParquetError> {
        let mut count = HEADER;
        loop {
            let bytes = self.rest.at_least(count)?;
            match PageHeader::read(bytes) {
                // There is more, and it may be in there.
                None if bytes.len() >= count && count < MAX_HEADER => count *= 8,
                header => return Ok(header),
            }
        }
    }

    /// `None`: it is damaged.
    fn unpack(&self, header: &PageHeader, packed: Bytes) -> Result<Option<Bytes>, ParquetError> {
        let (levels, is_packed) = match header.kind {
            PageKind::Data2 { levels: [definition, repetition], packed, .. } => (definition.saturating_add(repetition), packed),
            _ => (0, true),
        };
        if levels > packed.len() || levels > header.unpacked {
            return Ok(None);
        }
        let Some(codec) = self.codec.filter(|_| is_packed) else {
            return Ok((packed.len() == header.unpacked).then_some(packed));
        };
        let share = self.budget.take(header.unpacked)?;
        let mut page = Vec::with_capacity(header.unpacked);
        page.extend_from_slice(&packed[..levels]);
        // Nothing at all need not be packed.
        let values = header.unpacked - levels;
        let whole = values == 0 || codec.inflate(&packed[levels..], values, &mut page).is_some();
        Ok(whole.then(|| share.hold(page)))
    }

    /// `None`: it claims what is not there.
    fn page(&mut self, kind: PageKind, buf: Bytes) -> Result<Option<Page>, ParquetError> {
        let (statistics, is_sorted) = (None, false);
        Ok(Some(match kind {
            PageKind::Dictionary { values: num_values, encoding } => {
                if !self.fits_dictionary(num_values as usize, &buf) || self.dictionary.is_some() {
                    return Ok(None);
                }
                // Texts are kept beside the page, each with a place of its own.
                let each = if matches!(self.kind, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY) { 40 } else { 12 };
                self.dictionary = Some(self.budget.take(num_values as usize * each)?);
                Page::DictionaryPage { buf, num_values, encoding, is_sorted }
            }
            PageKind::Data { values: num_values, encoding, levels } => {
                let Some(values) = self.behind_levels(levels, num_values, &buf) else { return Ok(None) };
                if self.check(encoding, num_values, values)?.is_none() {
                    return Ok(None);
                }
                let (def_level_encoding, rep_level_encoding) = (levels, levels);
                Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, statistics }
            }
            PageKind::Data2 {
                values: num_values,
                nulls: num_nulls,
                rows: num_rows,
                encoding,
                levels: [definition, repetition],
                packed,
            } => {
                if num_nulls > num_values || self.check(encoding, num_values, &buf[definition + repetition..])?.is_none() {
                    return Ok(None);
                }
                let (def_levels_byte_len, rep_levels_byte_len, is_compressed) = (definition as u32, repetition as u32, packed);
                Page::DataPageV2 {
                    buf,
                    num_values,
                    encoding,
                    num_nulls,
                    num_rows,
                    def_levels_byte_len,
                    rep_levels_byte_len,
                    is_compressed,
                    statistics,
                }
            }
            PageKind::Other => return Ok(None),
        }))
    }

    /// Each value takes as many bytes as it has to.
    fn fits_dictionary(&self, values: usize, page: &[u8]) -> bool {
        let each = match self.kind {
            Type::BOOLEAN => return false,
            Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
            Type::INT64 | Type::DOUBLE => 8,
            Type::INT96 => 12,
            Type::FIXED_LEN_BYTE_ARRAY => self.width.max(1),
        };
        values.checked_mul(each).is_some_and(|bytes| bytes <= page.len())
    }

    /// The values of a page of the first version, behind its levels.
    fn behind_levels<'p>(&self, encoding: Encoding, values: u32, page: &'p [u8]) -> Option<&'p [u8]> {
        if self.present == 0 {
            return Some(page);
        }
        match encoding {
            Encoding::RLE => {
                let (length, rest) = page.split_first_chunk::<4>()?;
                rest.get(u32::from_le_bytes(*length) as usize..)
            }
            // As old files have them: as many bits for each as the highest level takes.
            _ => page.get((u64::from(values) * u64::from(i16::BITS - self.present.leading_zeros())).div_ceil(8) as usize..),
        }
    }

    /// What the decoder sets aside for a page by what stands in it. `None`: it claims more values than the page has, or is not written so.
    fn check(&mut self, encoding: Encoding, values: u32, page: &[u8]) -> Result<Option<()>, ParquetError> {
        self.lengths = None;
        let is_text = matches!(self.kind, Type::BYTE_ARRAY);
        match encoding {
            Encoding::DELTA_BYTE_ARRAY if !self.continues => return Ok(None),
            Encoding::DELTA_LENGTH_BYTE_ARRAY if !is_text => return Ok(None),
            Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY if self.dictionary.is_none() => return Ok(None),
            Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY | Encoding::DELTA_BINARY_PACKED => {
                let fits = |numbers: &Differences| numbers.count <= u64::from(values);
                let Some(first) = Differences::read(page).filter(fits) else { return Ok(None) };
                let mut texts = 0;
                if encoding == Encoding::DELTA_BYTE_ARRAY {
                    // How much of the one before is followed by the lengths of the rest.
                    let rest = first.end(page).and_then(|end| page.get(end..));
                    if rest.and_then(Differences::read).filter(fits).is_none() {
                        return Ok(None);
                    }
                    // A text is made anew, and remembered for the next.
                    texts = 2 * page.len();
                }
                self.lengths = Some(self.budget.take(values as usize * LENGTHS + texts)?);
            }
            _ => {}
        }
        Ok(Some(()))
    }
}

/// Whether texts of the column may continue the one before, so that each is made anew.
pub(super) fn continues(chunk: &ColumnChunkMetaData) -> bool {
    chunk.encodings().any(|encoding| encoding == Encoding::DELTA_BYTE_ARRAY)
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Decoded<Option<Page>> {
        self.next_page().map_err(|error| Undecoded::External(Box::new(error)))
    }

    fn peek_next_page(&mut self) -> Decoded<Option<PageMetadata>> {
        Err(Undecoded::NYI("pages are only read".to_owned()))
    }

    fn skip_next_page(&mut self) -> Decoded<()> {
        Err(Undecoded::NYI("pages are only read".to_owned()))
    }
}

impl Iterator for Pages {
    type Item = Decoded<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
