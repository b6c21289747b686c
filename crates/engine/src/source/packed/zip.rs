//! One file of a ZIP archive. What is in an archive is listed at its end; the file is unpacked piece by piece.

use std::io;
use std::ops::Range;

use ::zip::CompressionMethod;
use api::text::matches;
use flate2::Crc;
use futures::stream::{StreamExt, try_unfold};
use tokio::task::spawn_blocking;

use super::{Bounds, ByteStream, DeflateDecoder, FileError, Packing, ReadError, inflate};
use crate::source::archive::{self, Entry, Unlisted};
use crate::source::random_access::{Content, RandomAccess};
use crate::{Memory, taken};

/// Most files in an archive; each takes memory before one is chosen.
const MOST_FILES: usize = 10_000;

/// Most names that an error shows.
const SHOWN: usize = 10;

/// The bytes of the one file whose name `wanted` matches; without it, of the only file.
pub(super) async fn member(bounds: Bounds, content: Content, wanted: Option<&str>, memory: Memory) -> Result<ByteStream, ReadError> {
    let archive = content.random_access(memory, |limit| FileError::ArchiveTooLarge { limit: limit >> 20 }).await?;
    let (listed, wanted) = (archive.clone(), wanted.map(str::to_owned));
    let _fetches = archive.guard();
    let found = spawn_blocking(move || find(&listed, wanted.as_deref()));
    let found = found.await.map_err(|error| ReadError::Lost(Box::new(error)))?;
    if let Some(failure) = archive.failure() {
        return Err(failure.into());
    }
    let (entry, place) = found?;
    let bytes = archive.stream(place).map_err(broken)?;
    let bytes = if entry.method == CompressionMethod::Deflated { inflate(bounds, Packing::Zip, bytes, DeflateDecoder::new) } else { bytes };
    Ok(checked(bytes, entry.unpacked, entry.crc))
}

/// The file, and where its bytes stand.
fn find(archive: &RandomAccess, wanted: Option<&str>) -> Result<(Entry, Range<u64>), FileError> {
    let mut files = archive::list(archive, MOST_FILES).map_err(|why| match why {
        Unlisted::TooMany => FileError::TooManyMembers { limit: MOST_FILES },
        Unlisted::Damaged(why) => broken(why),
    })?;
    files.retain(|file| !file.is_folder() && !is_of_the_system(&file.name));
    let is_meant = |file: &Entry| wanted.is_none_or(|pattern| matches(pattern, &file.name));
    let meant: Vec<&Entry> = files.iter().filter(|file| is_meant(file)).collect();
    match (meant.len(), wanted) {
        (1, _) => {}
        _ if files.is_empty() => return Err(FileError::EmptyArchive),
        (0, _) => return Err(FileError::NoMember { names: list(&files.iter().collect::<Vec<_>>()) }),
        (count, None) => return Err(FileError::ManyMembers { count, names: list(&meant) }),
        (count, Some(_)) => return Err(FileError::ManyMatch { count, names: list(&meant) }),
    }
    files.retain(is_meant);
    let file = files.remove(0);
    if file.encrypted {
        return Err(FileError::EncryptedMember);
    }
    if !matches!(file.method, CompressionMethod::Stored | CompressionMethod::Deflated) {
        return Err(FileError::MemberMethod { method: file.method.to_string() });
    }
    let place = file.place(archive).ok_or_else(|| broken("a file in it is not where its list says"))?;
    Ok((file, place))
}

/// Names of files are shown as those of columns are.
fn list(files: &[&Entry]) -> String {
    let more = files.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = files.iter().take(SHOWN).map(|file| taken::quoted(&file.name, 100)).collect();
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
