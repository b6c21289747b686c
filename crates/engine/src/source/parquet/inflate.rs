//! Packed pages → pages. A page says how large it is unpacked, and no byte more is made of it: the crate's own unpackers of gzip and Brotli go
//! on for as long as there is something.

use std::io::Read;

use brotli_decompressor::Decompressor;
use flate2::bufread::MultiGzDecoder;
use parquet::basic::Compression;

use super::error::ParquetError;

/// How pages are packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Codec {
    Snappy,
    Gzip,
    Brotli,
    Zstd,
    Lz4,
}

/// What is held of a Brotli stream at a time.
const BUFFER: usize = 4 << 10;

impl Codec {
    /// Nothing for pages that are not packed.
    pub(super) fn of(compression: Compression) -> Result<Option<Self>, ParquetError> {
        Ok(Some(match compression {
            Compression::UNCOMPRESSED => return Ok(None),
            Compression::SNAPPY => Self::Snappy,
            Compression::GZIP(_) => Self::Gzip,
            Compression::BROTLI(_) => Self::Brotli,
            Compression::ZSTD(_) => Self::Zstd,
            Compression::LZ4_RAW => Self::Lz4,
            Compression::LZ4 => return Err(ParquetError::Codec { codec: "LZ4 in the frames of Hadoop" }),
            Compression::LZO => return Err(ParquetError::Codec { codec: "LZO" }),
        }))
    }

    /// Appends exactly so many bytes. `None`: there are fewer or more in it, or it is damaged.
    pub(super) fn inflate(self, packed: &[u8], size: usize, page: &mut Vec<u8>) -> Option<()> {
        let start = page.len();
        match self {
            Self::Snappy => {
                if snap::raw::decompress_len(packed).ok()? != size {
                    return None;
                }
                page.resize(start + size, 0);
                snap::raw::Decoder::new().decompress(packed, &mut page[start..]).ok()?;
            }
            Self::Lz4 => {
                page.resize(start + size, 0);
                let found = lz4_flex::block::decompress_into(packed, &mut page[start..]).ok()?;
                page.truncate(start + found);
            }
            Self::Zstd => {
                page.resize(start + size, 0);
                let found = zstd::bulk::decompress_to_buffer(packed, &mut page[start..]).ok()?;
                page.truncate(start + found);
            }
            Self::Gzip => _ = MultiGzDecoder::new(packed).take(size as u64 + 1).read_to_end(page).ok()?,
            Self::Brotli => _ = Decompressor::new(packed, BUFFER).take(size as u64 + 1).read_to_end(page).ok()?,
        }
        (page.len() == start + size).then_some(())
    }
}
