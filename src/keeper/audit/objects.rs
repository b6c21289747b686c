//! Where the chains lie: a chain is one object, or several one behind the other where objects stay small.
//!
//! ```text
//! audit/keeper-0.jsonl                          from the first line on
//! audit/keeper-0/00000000000000000213.jsonl     from line 213 on
//! audit/keeper-0.2.jsonl                        the next chain, after the first was found broken
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::io;

use object_store::path::Path as ObjectPath;

use crate::keeper::storage::{LogObject, Logs};

/// Folder of the audit beside the files.
const FOLDER: &str = "audit";

/// What is read at once; more than any line, and than an object that stays small.
const PIECE: u64 = 128 << 10;

/// What has no end of a line for so many bytes is no chain.
const LONGEST_LINE: usize = 1 << 20;

const SUFFIX: &str = ".jsonl";

/// `keeper-0`, and `keeper-0.2` after the first was found broken.
pub(super) fn name(replica: &str, number: u32) -> String {
    if number == 1 { replica.to_owned() } else { format!("{replica}.{number}") }
}

/// Which of a replica's chains a name is.
pub(super) fn number(replica: &str, name: &str) -> Option<u32> {
    match name.strip_prefix(replica)? {
        "" => Some(1),
        rest => rest.strip_prefix('.')?.parse().ok().filter(|number| *number > 1),
    }
}

/// Path of the object of a chain that begins with a line.
pub(super) fn path(chain: &str, first_line: u64) -> ObjectPath {
    match first_line {
        1 => ObjectPath::from_iter([FOLDER.to_owned(), format!("{chain}{SUFFIX}")]),
        line => ObjectPath::from_iter([FOLDER.to_owned(), chain.to_owned(), format!("{line:020}{SUFFIX}")]),
    }
}

/// The chain of an object, and the number of its first line.
fn place(path: &ObjectPath) -> Option<(String, u64)> {
    let parts: Vec<_> = path.parts().collect();
    match parts.iter().map(|part| part.as_ref()).collect::<Vec<_>>()[..] {
        [FOLDER, file] => Some((file.strip_suffix(SUFFIX)?.to_owned(), 1)),
        [FOLDER, chain, file] => {
            let digits = file.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?;
            Some((chain.to_owned(), digits.parse().ok().filter(|line| *line > 1)?))
        }
        _ => None,
    }
}

/// The objects of a chain as they were listed, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct ChainObjects(Vec<LogObject>);

/// All chains that lie there, by name.
pub(super) async fn list(logs: &Logs) -> io::Result<BTreeMap<String, ChainObjects>> {
    let mut found: Vec<_> = logs.list(FOLDER).await?.into_iter().filter_map(|object| Some((place(&object.path)?, object))).collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut chains: BTreeMap<String, ChainObjects> = BTreeMap::new();
    for ((chain, _), object) in found {
        chains.entry(chain).or_default().0.push(object);
    }
    Ok(chains)
}

impl ChainObjects {
    /// Of all objects, in bytes.
    pub(super) fn length(&self) -> u64 {
        self.0.iter().map(|object| object.size).sum()
    }

    /// The one that a chain is gone on with, and where in the chain it begins.
    pub(super) fn last(&self) -> Option<(&LogObject, u64)> {
        let last = self.0.last()?;
        Some((last, self.length() - last.size))
    }

    /// The bytes of the chain from a place on.
    pub(super) async fn read_from(&self, logs: &Logs, start: u64) -> io::Result<Vec<u8>> {
        let (mut read, mut begin) = (Vec::new(), 0);
        for object in &self.0 {
            let skipped = start.saturating_sub(begin);
            if skipped < object.size {
                read.extend_from_slice(&logs.read(&object.path, skipped, object.size - skipped).await?);
            }
            begin += object.size;
        }
        Ok(read)
    }

    pub(super) fn pieces(self) -> Pieces {
        Pieces { objects: self.0.into(), read: 0, rest: Vec::new() }
    }
}

/// Reads the whole lines of a chain, a piece at a time.
pub(super) struct Pieces {
    objects: VecDeque<LogObject>,
    /// Bytes of the first object that were read.
    read: u64,
    rest: Vec<u8>,
}

impl Pieces {
    /// Some whole lines; none at the end. A last line that is not whole is being written, or was never answered.
    pub(super) async fn next(&mut self, logs: &Logs) -> io::Result<Option<Vec<u8>>> {
        while let Some(object) = self.objects.front() {
            let wanted = PIECE.min(object.size - self.read);
            let more = match logs.read(&object.path, self.read, wanted).await {
                Ok(more) => more,
                // Removed since it was listed: what is known of the chain tells whether that is its end.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Default::default(),
                Err(error) => return Err(error),
            };
            self.read += more.len() as u64;
            if self.read == object.size || (more.len() as u64) < wanted {
                self.objects.pop_front();
                self.read = 0;
            }
            let before = self.rest.len();
            self.rest.extend_from_slice(&more);
            if let Some(end) = more.iter().rposition(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(before + end + 1);
                return Ok(Some(std::mem::replace(&mut self.rest, rest)));
            }
            if self.rest.len() > LONGEST_LINE {
                return Ok(Some(std::mem::take(&mut self.rest)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_after_its_chain_and_its_first_line() {
        for (chain, line, named) in [
            ("keeper-0", 1, "audit/keeper-0.jsonl"),
            ("keeper-0.2", 1, "audit/keeper-0.2.jsonl"),
            ("keeper-0", 213, "audit/keeper-0/00000000000000000213.jsonl"),
            ("keeper-0.2", u64::MAX, "audit/keeper-0.2/18446744073709551615.jsonl"),
        ] {
            assert_eq!(path(chain, line).as_ref(), named);
            assert_eq!(place(&path(chain, line)), Some((chain.to_owned(), line)));
        }
        for strange in [
            "audit/keeper-0",
            "files/keeper-0.jsonl",
            "audit/k/1.jsonl",
            "audit/k/00000000000000000001.jsonl",
            "audit/k/a/00000000000000000002.jsonl",
        ] {
            assert_eq!(place(&ObjectPath::from(strange)), None, "{strange}");
        }
    }
}
