//! A chain where it lies: the file that it goes on in, and how it is read.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use envelope::AuditKey;
use jiff::Timestamp;

use super::chain::{Broken, Event, Follower, Line, Link};
use super::heads::Head;

/// What is read at once; more than any line.
const PIECE: u64 = 64 << 10;

/// The chain that a replica goes on in. Every call blocks: for steps.
pub(crate) struct Chain {
    pub(crate) name: String,
    file: File,
    length: u64,
    pub(crate) last: Link,
    key: Arc<AuditKey>,
}

/// What was found at the start.
pub(crate) struct Opened {
    pub(crate) chain: Chain,
    /// A chain that is not what was known of it, and so is not gone on with.
    pub(crate) broken: Option<(String, Broken)>,
}

/// `keeper-0`, and `keeper-0.2` after the first was found broken.
pub(crate) fn name(replica: &str, number: u32) -> String {
    if number == 1 { replica.to_owned() } else { format!("{replica}.{number}") }
}

/// Which of a replica's chains a name is.
pub(crate) fn number(replica: &str, name: &str) -> Option<u32> {
    match name.strip_prefix(replica)? {
        "" => Some(1),
        rest => rest.strip_prefix('.')?.parse().ok().filter(|number| *number > 1),
    }
}

pub(crate) fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.jsonl"))
}

/// Names of the chains in a folder.
pub(crate) fn names(folder: &Path) -> io::Result<Vec<String>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let stem = |entry: &std::fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".jsonl").map(str::to_owned);
            entries.filter_map(|entry| entry.map(|e| stem(&e)).transpose()).collect()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Chain {
    /// Goes on behind the last line. One that is not what is known of it is left as it lies, and a next one is begun whose first line
    /// says so.
    pub(crate) fn open(
        folder: &Path,
        replica: &str,
        key: Arc<AuditKey>,
        heads: &BTreeMap<String, Head>,
        now: Timestamp,
    ) -> io::Result<Opened> {
        std::fs::create_dir_all(folder)?;
        let there = names(folder)?;
        let latest = there.iter().chain(heads.keys()).filter_map(|name| number(replica, name)).max().unwrap_or(1);
        let current = name(replica, latest);
        let head = heads.get(&current);
        let broken = match head.and_then(|head| head.broken.clone()) {
            // Known since before.
            Some(_) => None,
            None => match Self::go_on(folder, &current, key.clone(), head.map(|head| head.link.clone()))? {
                Ok(chain) => return Ok(Opened { chain, broken: None }),
                Err(broken) => Some((current.clone(), broken)),
            },
        };
        let mut chain = Self::begin(folder, &name(replica, latest + 1), key)?;
        let event = Event::new("ChainBegun").with("after", current);
        chain.append(broken.iter().fold(event, |event, (_, broken)| event.with("because", broken.to_string())), now)?;
        Ok(Opened { chain, broken })
    }

    fn begin(folder: &Path, name: &str, key: Arc<AuditKey>) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path(folder, name))?;
        File::open(folder)?.sync_all()?;
        Ok(Self { name: name.to_owned(), file, length: 0, last: Link::default(), key })
    }

    /// A line cut off by a crash was never answered and is cut away.
    fn go_on(folder: &Path, name: &str, key: Arc<AuditKey>, head: Option<Link>) -> io::Result<Result<Self, Broken>> {
        let mut file = match OpenOptions::new().read(true).write(true).open(path(folder, name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match head {
                    Some(head) => Ok(Err(Broken::Short { found: 0, known: head.seq })),
                    None => Self::begin(folder, name, key).map(Ok),
                };
            }
            Err(error) => return Err(error),
        };
        let (last, whole) = match Self::behind(&mut file, name, &key, head)? {
            Ok(end) => end,
            Err(broken) => return Ok(Err(broken)),
        };
        file.set_len(whole)?;
        file.seek(SeekFrom::Start(whole))?;
        Ok(Ok(Self { name: name.to_owned(), file, length: whole, last, key }))
    }

    /// Follows the lines from the head on: the end, and its place. Reads no more than it must.
    fn behind(file: &mut File, name: &str, key: &AuditKey, head: Option<Link>) -> io::Result<Result<(Link, u64), Broken>> {
        let length = file.metadata()?.len();
        let mut size = PIECE;
        loop {
            let start = length.saturating_sub(size);
            file.seek(SeekFrom::Start(start))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let mut lines = tail[..whole].split_inclusive(|byte| *byte == b'\n');
            if start > 0 {
                // The rest of a line.
                lines.next();
            }
            let mut follower = Follower::new(name, Some(key), head.clone().into_iter().collect());
            let mut lines = lines.map(|line| line.trim_ascii_end()).peekable();
            if start > 0 {
                let first = lines.next().map(|line| Line::parse(line, 0));
                match (&head, first) {
                    (Some(head), Some(Ok(line))) if line.link.seq <= head.seq => {
                        if let Err(broken) = follower.begin_at(&line) {
                            return Ok(Err(broken));
                        }
                    }
                    _ => {
                        size *= 4;
                        continue;
                    }
                }
            }
            for line in lines {
                if let Err(broken) = follower.take(line) {
                    return Ok(Err(broken));
                }
            }
            return Ok(follower.end().map(|_| (follower.last.clone(), start + whole as u64)));
        }
    }

    pub(crate) fn append(&mut self, event: Event, now: Timestamp) -> io::Result<()> {
        let there = self.file.metadata()?;
        if there.len() != self.length || there.nlink() == 0 {
            return Err(io::Error::other("somebody else changed the chain"));
        }
        let (line, link) = self.last.next(&self.name, event, now, &self.key);
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a line must not stay in front of the next one.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return written;
        }
        self.length += line.len() as u64;
        self.last = link;
        Ok(())
    }
}

/// Reads the whole lines of a chain, a piece at a time. Every call blocks: for steps.
pub(crate) struct Pieces {
    file: Option<File>,
    rest: Vec<u8>,
}

impl Pieces {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => Ok(Self { file: Some(file), rest: Vec::new() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { file: None, rest: Vec::new() }),
            Err(error) => Err(error),
        }
    }

    /// Some whole lines; none at the end. A last line that is not whole is being written, or was never answered.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        loop {
            let before = self.rest.len();
            if file.take(PIECE).read_to_end(&mut self.rest)? == 0 {
                return Ok(None);
            }
            if let Some(end) = self.rest[before..].iter().rposition(|byte| *byte == b'\n') {
                let rest = self.rest.split_off(before + end + 1);
                return Ok(Some(std::mem::replace(&mut self.rest, rest)));
            }
            if self.rest.len() as u64 > 16 * PIECE {
                return Ok(Some(std::mem::take(&mut self.rest)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::audit::chain::tests::key;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    struct Place(tempfile::TempDir, Arc<AuditKey>);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap(), Arc::new(key()))
        }

        fn open(&self, heads: &BTreeMap<String, Head>) -> Opened {
            Chain::open(self.0.path(), "k", self.1.clone(), heads, NOW).unwrap()
        }

        fn file(&self) -> PathBuf {
            path(self.0.path(), "k")
        }
    }

    fn event() -> Event {
        Event::new("FileBorn").with("file", "f1")
    }

    fn known(chain: &Chain) -> BTreeMap<String, Head> {
        BTreeMap::from([(chain.name.clone(), Head { link: chain.last.clone(), broken: None })])
    }

    fn grown(place: &Place, lines: usize) -> BTreeMap<String, Head> {
        let mut chain = place.open(&BTreeMap::new()).chain;
        for _ in 0..lines {
            chain.append(event(), NOW).unwrap();
        }
        known(&chain)
    }

    #[test]
    fn a_chain_goes_on_after_a_restart_a_line_cut_off_and_lines_behind_its_head() {
        for (before, after) in [(0, 1), (1, 0), (2, 3), (700, 900)] {
            let place = Place::new();
            let head = grown(&place, before);
            let mut chain = place.open(&head).chain;
            for _ in 0..after {
                chain.append(event(), NOW).unwrap();
            }
            drop(chain);
            let mut file = OpenOptions::new().append(true).open(place.file()).unwrap();
            file.write_all(b"{\"seq\":3,\"half").unwrap();
            // The crash came before the head was written.
            let Opened { mut chain, broken } = place.open(&head);
            assert_eq!((broken, chain.name.as_str()), (None, "k"), "{before} {after}");
            chain.append(event(), NOW).unwrap();
            let text = std::fs::read_to_string(place.file()).unwrap();
            assert_eq!(crate::keeper::audit::verify(&text).unwrap()["k"].0 as usize, before + after + 1);
        }
    }

    #[test]
    fn a_chain_that_was_cut_short_swapped_or_removed_is_not_gone_on_with_and_the_next_one_says_so() {
        for left in [0, 1, 2, 700] {
            let place = Place::new();
            let head = grown(&place, 800);
            let text = std::fs::read_to_string(place.file()).unwrap();
            let lines: String = text.split_inclusive('\n').take(left).collect();
            if left == 0 {
                std::fs::remove_file(place.file()).unwrap()
            } else {
                std::fs::write(place.file(), lines).unwrap()
            }
            let Opened { chain, broken } = place.open(&head);
            assert_eq!(broken, Some(("k".into(), Broken::Short { found: left as u64, known: 800 })));
            assert_eq!((chain.name.as_str(), chain.last.seq), ("k.2", 1));
            let first = std::fs::read_to_string(path(place.0.path(), "k.2")).unwrap();
            assert!(first.contains("ChainBegun") && first.contains(r#""after":"k""#), "{first}");
        }
    }

    #[test]
    fn lines_of_somebody_without_the_key_are_not_gone_on_with() {
        let (place, stranger) = (Place::new(), Place::new());
        let head = grown(&place, 3);
        grown(&stranger, 5);
        std::fs::copy(stranger.file(), place.file()).unwrap();
        assert_eq!(place.open(&head).broken.unwrap().1, Broken::Mac(1));
        // One that nobody knew of is another Region's of that name.
        let fresh = Place::new();
        std::fs::copy(stranger.file(), fresh.file()).unwrap();
        assert_eq!(fresh.open(&BTreeMap::new()).chain.name, "k.2");
    }

    #[test]
    fn a_chain_that_is_changed_while_it_is_open_takes_no_line() {
        let place = Place::new();
        let mut chain = place.open(&BTreeMap::new()).chain;
        chain.append(event(), NOW).unwrap();
        std::fs::write(place.file(), "").unwrap();
        assert!(chain.append(event(), NOW).is_err());
        let mut chain = place.open(&BTreeMap::new()).chain;
        chain.append(event(), NOW).unwrap();
        std::fs::remove_file(place.file()).unwrap();
        assert!(chain.append(event(), NOW).is_err());
    }
}
