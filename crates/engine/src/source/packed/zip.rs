//! One file of a ZIP archive. What is in an archive is listed at its end, so its bytes are held in memory, packed, and
//! only then unpacked piece by piece.

use std::io::{self, Cursor};

use ::zip::{CompressionMethod, ZipArchive};
use api::text::matches;
use bytes::Bytes;
use flate2::Crc;
use futures::stream::{self, StreamExt, try_unfold};
use memchr::memmem;

use super::{Bounds, ByteStream, DeflateDecoder, FileError, PIECE, Packing, ReadError, inflate};
use crate::source::whole_file::whole;
use crate::{Memory, taken};

/// Most files in an archive; each takes memory before one is chosen.
const MOST_FILES: usize = 10_000;

/// With which the entry of a file begins in the list.
const ENTRY: &[u8] = b"PK\x01\x02";

/// Most names that an error shows.
const SHOWN: usize = 10;

/// Where a file is in the archive, and what it must be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Member {
    start: usize,
    packed: usize,
    deflated: bool,
    unpacked: u64,
    crc: u32,
}

/// The bytes of the one file whose name `wanted` matches; without it, of the only file.
pub(super) async fn member(bounds: Bounds, bytes: ByteStream, wanted: Option<&str>, memory: Memory) -> Result<ByteStream, ReadError> {
    let archive = whole(bytes, memory.file(), |limit| FileError::ArchiveTooLarge { limit: limit >> 20 }).await?;
    let Member { start, packed, deflated, unpacked, crc } = find(&archive, wanted)?;
    let end = start.checked_add(packed).filter(|end| *end <= archive.len()).ok_or_else(|| broken("a file in it ends behind its end"))?;
    let bytes = stream::iter(pieces(archive.slice(start..end)).map(Ok)).boxed();
    let bytes = if deflated { inflate(bounds, Packing::Zip, bytes, DeflateDecoder::new) } else { bytes };
    Ok(checked(bytes, unpacked, crc))
}

fn find(archive: &Bytes, wanted: Option<&str>) -> Result<Member, FileError> {
    if memmem::find_iter(archive, ENTRY).take(MOST_FILES + 1).count() > MOST_FILES {
        return Err(FileError::TooManyMembers { limit: MOST_FILES });
    }
    let mut archive = ZipArchive::new(Cursor::new(archive.clone())).map_err(broken)?;
    let mut files = Vec::new();
    for number in 0..archive.len() {
        let file = archive.by_index_raw(number).map_err(broken)?;
        let name = file.name().map_err(broken)?.into_owned();
        if !file.is_dir() && !is_of_the_system(&name) {
            files.push((number, name));
        }
    }
    let meant: Vec<&(usize, String)> = files.iter().filter(|(_, name)| wanted.is_none_or(|pattern| matches(pattern, name))).collect();
    let number = match (&meant[..], wanted) {
        ([(number, _)], _) => *number,
        _ if files.is_empty() => return Err(FileError::EmptyArchive),
        ([], _) => return Err(FileError::NoMember { names: list(files.iter()) }),
        (_, None) => return Err(FileError::ManyMembers { count: meant.len(), names: list(meant.into_iter()) }),
        (_, Some(_)) => return Err(FileError::ManyMatch { count: meant.len(), names: list(meant.into_iter()) }),
    };
    let file = archive.by_index_raw(number).map_err(broken)?;
    if file.encrypted() {
        return Err(FileError::EncryptedMember);
    }
    let deflated = match file.compression() {
        CompressionMethod::Stored => false,
        CompressionMethod::Deflated => true,
        other => return Err(FileError::MemberMethod { method: other.to_string() }),
    };
    let start = file.data_start().ok_or_else(|| broken("a file in it begins nowhere"))?;
    let place = |number: u64| usize::try_from(number).map_err(broken);
    Ok(Member { start: place(start)?, packed: place(file.compressed_size())?, deflated, unpacked: file.size(), crc: file.crc32() })
}

/// Names of files are shown as those of columns are.
fn list<'f>(files: impl ExactSizeIterator<Item = &'f (usize, String)>) -> String {
    let more = files.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = files.take(SHOWN).map(|(_, name)| taken::quoted(name, 100)).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

/// What macOS and Windows put beside the files of a person.
fn is_of_the_system(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    name.starts_with("__MACOSX/") || matches!(file, ".DS_Store" | "Thumbs.db" | "desktop.ini")
}

/// The same bytes; an error in place of an end if they are not those that the list tells of.
fn checked(bytes: ByteStream, length: u64, crc: u32) -> ByteStream {
    try_unfold((bytes, Crc::new(), 0), move |(mut bytes, mut sum, found)| async move {
        match bytes.next().await.transpose()? {
            Some(piece) => {
                sum.update(&piece);
                let found = found + piece.len() as u64;
                Ok(Some((piece, (bytes, sum, found))))
            }
            None if found == length && sum.sum() == crc => Ok(None),
            None => Err(io::Error::other(broken("the file in it is not what its list says"))),
        }
    })
    .boxed()
}

fn broken(why: impl ToString) -> FileError {
    FileError::Unpack { what: Packing::Zip.name(), why: why.to_string() }
}

fn pieces(bytes: Bytes) -> impl Iterator<Item = Bytes> + Send {
    let length = bytes.len();
    (0..length).step_by(PIECE).map(move |start| bytes.slice(start..(start + PIECE).min(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, names, others) in [
            ("a.csv", vec!["a.csv"], vec!["b.csv", "a.csv2", "x/a.csv"]),
            ("*.csv", vec!["a.csv", "x/a.csv", ".csv"], vec!["a.csv.txt"]),
            ("2026*accounts*.csv", vec!["2026-11/accounts-1.csv", "2026accounts.csv"], vec!["2026.csv", "accounts.csv"]),
            ("a*a", vec!["aa", "aba"], vec!["a"]),
            ("*", vec!["", "x"], vec![]),
        ] {
            names.iter().for_each(|name| assert!(matches(pattern, name), "{pattern} {name}"));
            others.iter().for_each(|name| assert!(!matches(pattern, name), "{pattern} {name}"));
        }
    }
}
