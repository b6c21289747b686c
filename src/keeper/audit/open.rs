//! The chain that a replica goes on in: found at the start, followed to its end, and added to.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use envelope::AuditKey;
use jiff::Timestamp;

use super::chain::{Broken, Event, Follower, Line, Link};
use super::heads::Head;
use super::objects::{self, ChainObjects, name, number};
use crate::keeper::storage::{Log, Logs};

/// What is read of the end of a chain at first; more than any line.
const TAIL: u64 = 64 << 10;

/// What is read of it at most: some two hundred thousand lines, and no keeper writes so many between two looks at its head. An attacker who
/// may write the storage must not fill the memory that all regions share.
const MOST: u64 = 64 << 20;

pub(super) struct Chain {
    pub(super) name: String,
    /// Absent: the first line makes its object.
    log: Option<Box<dyn Log>>,
    pub(super) last: Link,
    key: Arc<AuditKey>,
}

/// What was found at the start.
pub(super) struct Opened {
    pub(super) chain: Chain,
    /// A chain that is not what was known of it, and so is not gone on with.
    pub(super) broken: Option<(String, Broken)>,
    /// How many of the lines that were asked for are there, from the first on.
    pub(super) there: usize,
}

/// What is asked of a chain before it is gone on with.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) replica: String,
    pub(super) key: Arc<AuditKey>,
    /// What is known of the replica's chains apart from their storage.
    pub(super) heads: BTreeMap<String, Head>,
    /// Lines that may be there, since nobody knows what came of them.
    pub(super) unsure: Vec<Link>,
}

/// Lines that may be there or not, and why nobody knows.
pub(super) struct Unsure {
    pub(super) lines: Vec<Link>,
    pub(super) source: io::Error,
}

/// The end of a chain as it lies there.
struct End {
    last: Link,
    /// Bytes up to the end of the last whole line.
    whole: u64,
    /// How many of the lines that were asked for are there.
    there: usize,
}

impl Chain {
    /// Goes on behind the last line. A chain that is not what is known of it is left as it lies, and a next one is begun whose first line
    /// says so.
    pub(super) async fn open(logs: &Logs, wanted: Wanted, now: Timestamp) -> io::Result<Opened> {
        let found = objects::list(logs).await?;
        let Wanted { replica, key, heads, unsure } = wanted;
        let latest = found.keys().chain(heads.keys()).filter_map(|name| number(&replica, name)).max().unwrap_or(1);
        let current = name(&replica, latest);
        let head = heads.get(&current);
        let broken = match head.and_then(|head| head.broken.clone()) {
            // Known since before.
            Some(_) => None,
            None => {
                let objects = found.get(&current).cloned().unwrap_or_default();
                let head = head.map(|head| head.link.clone());
                match Self::end(logs, &objects, &current, &key, head, &unsure).await? {
                    Ok(End { last, whole, there }) => {
                        let log = Self::log(logs, &objects, whole).await?;
                        return Ok(Opened { chain: Self { name: current, log, last, key }, broken: None, there });
                    }
                    Err(broken) => Some((current.clone(), broken)),
                }
            }
        };
        let mut chain = Self { name: name(&replica, latest + 1), log: None, last: Link::default(), key };
        let event = Event::new("ChainBegun").with("after", current);
        let event = broken.iter().fold(event, |event, (_, broken)| event.with("because", broken.to_string()));
        chain.append(logs, &[(event, now)]).await.map_err(|unsure| unsure.source)?;
        Ok(Opened { chain, broken, there: 0 })
    }

    /// A line cut off by a crash was never answered and is cut away.
    async fn log(logs: &Logs, objects: &ChainObjects, whole: u64) -> io::Result<Option<Box<dyn Log>>> {
        match objects.last() {
            Some((object, begin)) => Ok(Some(logs.go_on(object, whole.saturating_sub(begin)).await?)),
            None => Ok(None),
        }
    }

    /// Follows the lines from the head on to their end. Reads no more than it must.
    async fn end(
        logs: &Logs,
        objects: &ChainObjects,
        name: &str,
        key: &AuditKey,
        head: Option<Link>,
        unsure: &[Link],
    ) -> io::Result<Result<End, Broken>> {
        let mut size = TAIL;
        loop {
            let start = objects.length().saturating_sub(size);
            let tail = objects.read_from(logs, start).await?;
            match followed(&tail, start, name, key, head.as_ref(), unsure) {
                Ok(Some(end)) if objects.last().is_some_and(|(_, begin)| end.whole < begin) => {
                    // Only the last line of all can be one that was cut off.
                    return Ok(Err(Broken::Unreadable(end.last.seq + 1)));
                }
                Ok(Some(end)) => return Ok(Ok(end)),
                Ok(None) if size >= MOST => return Ok(Err(Broken::Unreadable(head.map_or(0, |head| head.seq) + 1))),
                Ok(None) => size *= 4,
                Err(broken) => return Ok(Err(broken)),
            }
        }
    }

    /// Adds lines in one piece. After an error the chain is opened anew.
    pub(super) async fn append(&mut self, logs: &Logs, events: &[(Event, Timestamp)]) -> Result<(), Unsure> {
        let (mut text, mut lines) = (String::new(), Vec::<Link>::with_capacity(events.len()));
        for (event, at) in events {
            let (line, link) = lines.last().unwrap_or(&self.last).next(&self.name, event.clone(), *at, &self.key);
            text.push_str(&line);
            lines.push(link);
        }
        let Some(first) = lines.first() else { return Ok(()) };
        let added = match &mut self.log {
            Some(log) if !log.is_full() => log.append(text.into()).await,
            _ => logs.create(&objects::path(&self.name, first.seq), text.into()).await.map(|log| self.log = Some(log)),
        };
        match added {
            Ok(()) => self.last = lines.pop().unwrap_or_default(),
            Err(source) => return Err(Unsure { lines, source }),
        }
        Ok(())
    }
}

/// The end of a chain whose bytes from `start` on are `tail`. `None`: they begin behind the head.
fn followed(tail: &[u8], start: u64, name: &str, key: &AuditKey, head: Option<&Link>, unsure: &[Link]) -> Result<Option<End>, Broken> {
    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = tail[..whole].split_inclusive(|byte| *byte == b'\n').map(|line| line.trim_ascii_end());
    let mut follower = Follower::new(name, Some(key), head.cloned().into_iter().collect());
    if start > 0 {
        // The first is the rest of a line.
        match (head, lines.nth(1).map(|line| Line::parse(line, 0))) {
            (Some(head), Some(Ok(line))) if line.link.seq <= head.seq => follower.begin_at(&line)?,
            _ => return Ok(None),
        }
    }
    let mut there = 0;
    for line in lines {
        follower.take(line)?;
        there += usize::from(unsure.get(there) == Some(&follower.last));
    }
    follower.end()?;
    Ok(Some(End { last: follower.last, whole: start + whole as u64, there }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::audit::chain::tests::{first_import_key, key};
    use crate::keeper::storage::Storage;
    use crate::keeper::storage::conformance::{Fault, places};
    use object_store::ObjectStoreExt;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// The storage of a region, of each kind.
    struct Place {
        kind: &'static str,
        storage: Storage,
        key: Arc<AuditKey>,
        _folder: tempfile::TempDir,
    }

    impl Place {
        fn all() -> impl Iterator<Item = Self> {
            places().into_iter().map(|(kind, storage, _folder)| Self { kind, storage, key: Arc::new(key()), _folder })
        }

        fn logs(&self) -> Logs {
            Logs::of(&self.storage)
        }

        async fn try_open(&self, heads: &BTreeMap<String, Head>, unsure: Vec<Link>) -> io::Result<Opened> {
            let wanted = Wanted { replica: "k".into(), key: self.key.clone(), heads: heads.clone(), unsure };
            Chain::open(&self.logs(), wanted, NOW).await
        }

        async fn open(&self, heads: &BTreeMap<String, Head>) -> Opened {
            self.try_open(heads, Vec::new()).await.unwrap()
        }

        /// A chain with so many lines, and what is known of it.
        async fn grown(&self, lines: usize) -> BTreeMap<String, Head> {
            let mut chain = self.open(&BTreeMap::new()).await.chain;
            add(&mut chain, &self.logs(), lines).await;
            BTreeMap::from([(chain.name.clone(), Head { link: chain.last.clone(), broken: None })])
        }

        async fn objects(&self, chain: &str) -> ChainObjects {
            objects::list(&self.logs()).await.unwrap().remove(chain).unwrap_or_default()
        }

        async fn text(&self, chain: &str) -> String {
            String::from_utf8(self.objects(chain).await.read_from(&self.logs(), 0).await.unwrap()).unwrap()
        }

        /// What an attacker who may write the storage can put in place of a chain.
        async fn replace(&self, chain: &str, text: Option<&str>) {
            let store = self.logs().store().await;
            for object in self.logs().list("audit").await.unwrap() {
                store.delete(&object.path).await.unwrap();
            }
            if let Some(text) = text {
                store.put(&objects::path(chain, 1), text.to_owned().into()).await.unwrap();
            }
        }
    }

    fn event() -> Event {
        Event::new("FileBorn").with("file", "f1")
    }

    async fn add(chain: &mut Chain, logs: &Logs, lines: usize) {
        for _ in 0..lines {
            chain.append(logs, &[(event(), NOW)]).await.map_err(|unsure| unsure.source).unwrap();
        }
    }

    fn whole(text: &str) -> u64 {
        crate::keeper::audit::verify(text).unwrap()["k"].0
    }

    /// What would fill the memory is not read: it is no end of a chain, whatever stands before it.
    #[tokio::test]
    async fn an_end_that_is_larger_than_any_is_broken_and_not_read() {
        for place in Place::all() {
            let heads = place.grown(3).await;
            let last = place.objects("k").await.last().unwrap().0.clone();
            let mut stored = place.logs().read(&last.path, 0, last.size).await.unwrap().to_vec();
            stored.resize(stored.len() + MOST as usize, b'x');
            place.logs().store().await.put(&last.path, stored.into()).await.unwrap();
            for heads in [heads, BTreeMap::new()] {
                let known = heads.values().next().map_or(0, |head| head.link.seq);
                let Opened { chain, broken, .. } = place.open(&heads).await;
                assert_eq!(broken, Some(("k".to_owned(), Broken::Unreadable(known + 1))), "{}", place.kind);
                assert_eq!(chain.name, "k.2", "{}", place.kind);
                place.logs().store().await.delete(&objects::path("k.2", 1)).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_chain_goes_on_after_a_restart_a_line_cut_off_and_lines_behind_its_head() {
        for place in Place::all() {
            for (before, after) in [(0, 1), (1, 0), (2, 3), (700, 900)] {
                place.replace("k", None).await;
                let head = place.grown(before).await;
                add(&mut place.open(&head).await.chain, &place.logs(), after).await;
                let objects = place.objects("k").await;
                if let Some((last, begin)) = objects.last() {
                    let cut_off = place.text("k").await.split_off(begin as usize) + "{\"seq\":3,\"half";
                    place.logs().store().await.put(&last.path, cut_off.into()).await.unwrap();
                }
                // The crash came before the head was written.
                let Opened { mut chain, broken, .. } = place.open(&head).await;
                assert_eq!((broken, chain.name.as_str()), (None, "k"), "{} {before} {after}", place.kind);
                add(&mut chain, &place.logs(), 1).await;
                assert_eq!(whole(&place.text("k").await) as usize, before + after + 1);
            }
        }
    }

    #[tokio::test]
    async fn a_chain_that_was_cut_short_swapped_or_removed_is_not_gone_on_with_and_the_next_one_says_so() {
        for place in Place::all() {
            for left in [0, 1, 2, 700] {
                place.replace("k", None).await;
                let head = place.grown(800).await;
                let lines: String = place.text("k").await.split_inclusive('\n').take(left).collect();
                place.replace("k", (left > 0).then_some(&lines)).await;
                let Opened { chain, broken, .. } = place.open(&head).await;
                assert_eq!(broken, Some(("k".into(), Broken::Short { found: left as u64, known: 800 })), "{}", place.kind);
                assert_eq!((chain.name.as_str(), chain.last.seq), ("k.2", 1));
                let first = place.text("k.2").await;
                assert!(first.contains("ChainBegun") && first.contains(r#""after":"k""#), "{first}");
            }
        }
    }

    #[tokio::test]
    async fn lines_of_somebody_without_the_key_are_not_gone_on_with() {
        for (place, stranger) in Place::all().zip(Place::all()) {
            let head = place.grown(3).await;
            stranger.grown(5).await;
            let theirs = stranger.text("k").await;
            place.replace("k", Some(&theirs)).await;
            assert_eq!(place.open(&head).await.broken.unwrap().1, Broken::Mac(1));
            // One that nobody knew of is another Region's of that name.
            place.replace("k", Some(&theirs)).await;
            assert_eq!(place.open(&BTreeMap::new()).await.chain.name, "k.2");
        }
    }

    #[tokio::test]
    async fn a_chain_that_is_changed_while_it_is_open_takes_no_line() {
        for place in Place::all() {
            let mut chain = place.open(&BTreeMap::new()).await.chain;
            add(&mut chain, &place.logs(), 1).await;
            place.replace("k", Some("")).await;
            assert!(chain.append(&place.logs(), &[(event(), NOW)]).await.is_err(), "{}", place.kind);
            let mut chain = place.open(&BTreeMap::new()).await.chain;
            add(&mut chain, &place.logs(), 1).await;
            place.replace("k", None).await;
            assert!(chain.append(&place.logs(), &[(event(), NOW)]).await.is_err(), "{}", place.kind);
        }
    }

    #[tokio::test]
    async fn lines_that_may_be_there_are_found_or_written_and_never_twice() {
        const TOGETHER: usize = 3;
        for place in Place::all() {
            for before in [0, 1, 199, 500] {
                for reached_it in 0..=TOGETHER {
                    place.replace("k", None).await;
                    let head = place.grown(before).await;
                    let mut chain = place.open(&head).await.chain;
                    let mut lines: Vec<Link> = Vec::new();
                    for _ in 0..TOGETHER {
                        lines.push(lines.last().unwrap_or(&chain.last).next("k", event(), NOW, &place.key).1);
                    }
                    add(&mut chain, &place.logs(), reached_it).await;
                    let Opened { mut chain, there, .. } = place.try_open(&head, lines.clone()).await.unwrap();
                    assert_eq!(there, reached_it, "{} {before}", place.kind);
                    chain.append(&place.logs(), &vec![(event(), NOW); TOGETHER - there]).await.map_err(|unsure| unsure.source).unwrap();
                    assert_eq!((whole(&place.text("k").await) as usize, Some(&chain.last)), (before + TOGETHER, lines.last()));
                }
            }
        }
    }

    #[tokio::test]
    async fn lines_that_are_added_together_lie_there_as_if_they_had_come_one_by_one() {
        for place in Place::all() {
            let event = |number: usize| (Event::new("FileBorn").with("file", number), NOW);
            let mut chain = place.open(&BTreeMap::new()).await.chain;
            for number in 0..400 {
                chain.append(&place.logs(), &[event(number)]).await.map_err(|unsure| unsure.source).unwrap();
            }
            let one_by_one = place.text("k").await;
            place.replace("k", None).await;
            let (mut chain, mut next) = (place.open(&BTreeMap::new()).await.chain, 0..400);
            for together in (1..64).cycle() {
                let events: Vec<_> = next.by_ref().take(together).map(event).collect();
                if events.is_empty() {
                    break;
                }
                chain.append(&place.logs(), &events).await.map_err(|unsure| unsure.source).unwrap();
            }
            assert_eq!(place.text("k").await, one_by_one, "{}", place.kind);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_keepers_that_take_each_other_for_dead_lose_no_line_and_double_none() {
        for place in Place::all() {
            let place = Arc::new(place);
            let keepers = (0..4).map(|keeper| {
                let place = place.clone();
                tokio::spawn(async move {
                    let mut open = None;
                    for line in 0..60 {
                        let event = Event::new("FileBorn").with("file", format!("{keeper}-{line}"));
                        let mut unsure = Vec::new();
                        loop {
                            let mut chain = match open.take() {
                                Some(chain) => chain,
                                None => match place.try_open(&BTreeMap::new(), unsure.clone()).await {
                                    Ok(Opened { broken: Some((_, why)), .. }) => panic!("{why}"),
                                    Ok(Opened { chain, there: 1, .. }) => break open = Some(chain),
                                    Ok(Opened { chain, .. }) => chain,
                                    // Another one was quicker.
                                    Err(_) => continue,
                                },
                            };
                            match chain.append(&place.logs(), &[(event.clone(), NOW)]).await {
                                Ok(()) => break open = Some(chain),
                                Err(failed) => unsure = failed.lines,
                            }
                        }
                    }
                })
            });
            futures::future::try_join_all(keepers).await.unwrap();
            let text = place.text("k").await;
            assert_eq!(whole(&text), 4 * 60, "{}", place.kind);
            for file in (0..4).flat_map(|keeper| (0..60).map(move |line| format!("\"file\":\"{keeper}-{line}\""))) {
                assert_eq!(text.matches(&file).count(), 1, "{file} in {}", place.kind);
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_lost_leaves_a_line_that_is_found() {
        let place = Place::all().find(|place| place.kind == "memory").unwrap();
        let deaf = Logs::of(&place.storage.with(Fault::LosesAnswers));
        let mut known = BTreeMap::new();
        // The first object, one that is written anew, and the next one.
        for lines in 1..400 {
            let wanted = Wanted { replica: "k".into(), key: place.key.clone(), heads: known.clone(), unsure: Vec::new() };
            let mut chain = Chain::open(&deaf, wanted, NOW).await.unwrap().chain;
            let Err(Unsure { lines: asked, .. }) = chain.append(&deaf, &[(event(), NOW)]).await else { panic!("its answer was lost") };
            let Opened { chain, there, .. } = place.try_open(&known, asked).await.unwrap();
            assert_eq!((there, chain.last.seq), (1, lines));
            known.insert("k".to_owned(), Head { link: chain.last, broken: None });
        }
        assert_eq!(whole(&place.text("k").await), 399);
    }

    #[tokio::test]
    async fn a_chain_lies_in_one_file_of_a_volume_and_in_small_objects_elsewhere_and_is_read_alike() {
        for place in Place::all() {
            place.grown(700).await;
            let mut paths: Vec<String> = place.logs().list("audit").await.unwrap().iter().map(|object| object.path.to_string()).collect();
            paths.sort();
            match place.kind {
                "volume" => assert_eq!(paths, ["audit/k.jsonl"]),
                _ => assert!(paths.len() > 2 && paths.contains(&"audit/k.jsonl".to_owned()), "{paths:?}"),
            }
            let (objects, text) = (place.objects("k").await, place.text("k").await);
            let (mut pieces, mut read) = (objects.pieces(), Vec::new());
            while let Some(piece) = pieces.next(&place.logs()).await.unwrap() {
                assert!(piece.ends_with(b"\n"));
                read.extend(piece);
            }
            assert!(read == text.as_bytes() && whole(&text) == 700, "{}", place.kind);
        }
    }

    #[tokio::test]
    async fn an_object_taken_out_of_the_middle_or_the_end_is_missed() {
        let place = Place::all().find(|place| place.kind == "memory").unwrap();
        let head = place.grown(700).await;
        let mut listed = place.logs().list("audit").await.unwrap();
        listed.sort_by(|one, other| one.path.cmp(&other.path));
        for taken in [listed.len() - 2, listed.len() - 1] {
            let path = &listed[taken].path;
            let content = place.logs().store().await.get(path).await.unwrap().bytes().await.unwrap();
            place.logs().store().await.delete(path).await.unwrap();
            assert!(place.open(&head).await.broken.is_some(), "{path}");
            place.logs().store().await.put(path, content.into()).await.unwrap();
            place.logs().store().await.delete(&objects::path("k.2", 1)).await.unwrap();
        }
    }

    /// Written by the version before the audit knew any other place than a volume; never written again.
    #[tokio::test]
    async fn what_the_first_import_wrote_is_whole_and_gone_on_with() {
        let stored = include_str!("first-import/dataimporter-keeper-0.jsonl");
        for place in Place::all() {
            let place = Place { key: Arc::new(first_import_key()), ..place };
            let chain = "dataimporter-keeper-0";
            place.logs().store().await.put(&objects::path(chain, 1), stored.into()).await.unwrap();
            let last = Line::parse(stored.lines().last().unwrap().as_bytes(), 5).ok().unwrap().link;
            let heads = BTreeMap::from([(chain.to_owned(), Head { link: last, broken: None })]);
            let wanted = Wanted { replica: chain.into(), key: place.key.clone(), heads, unsure: Vec::new() };
            let Opened { chain: mut opened, broken, .. } = Chain::open(&place.logs(), wanted, NOW).await.unwrap();
            assert_eq!((broken, opened.last.seq), (None, 5), "{}", place.kind);
            add(&mut opened, &place.logs(), 1).await;
            let text = place.text(chain).await;
            assert!(text.starts_with(stored) && text.lines().count() == 6);
            assert_eq!(crate::keeper::audit::verify(&text).unwrap()[chain].0, 6);
        }
    }
}
