//! What every place that keeps objects must do, whatever is behind it: the same cases against the mounted volume, a store in memory and a
//! bucket of a real MinIO (`cargo xtask test s3`), each whole and with faults. A next place is one more line in `PLACES`.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::TryStreamExt;
use object_store::memory::InMemory;
use object_store::{MultipartUpload, ObjectStore};

pub(crate) use super::tests::Fault;
use super::tests::{Faulty, Shut, region, storages};
use super::*;

/// A place, as two replicas of the keeper see it, and what keeps it alive.
struct Place {
    ours: Storage,
    theirs: Storage,
    _folder: tempfile::TempDir,
}

type Make = fn() -> Place;

const PLACES: [(&str, Make); 2] = [("volume", on_a_volume), ("memory", in_memory)];

fn on_a_volume() -> Place {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("files")).unwrap();
    let replica = |name| storages(folder.path(), name).of(&region()).unwrap();
    Place { ours: replica("keeper-0"), theirs: replica("keeper-1"), _folder: folder }
}

fn in_memory() -> Place {
    let Place { ours, theirs, _folder } = on_a_volume();
    let medium: Arc<dyn Medium> = Arc::new(Memory { objects: Arc::new(InMemory::new()), full: AtomicBool::new(false) });
    let readers = ours.readers.clone();
    Place {
        ours: Storage { medium: medium.clone(), readers: readers.clone(), ..ours },
        theirs: Storage { medium, readers, ..theirs },
        _folder,
    }
}

/// An object store without folders, whose parts are nothing until the last one is there.
struct Memory {
    objects: Arc<InMemory>,
    full: AtomicBool,
}

#[async_trait]
impl Medium for Memory {
    fn failed(&self, doing: &'static str, source: object_store::Error) -> Error {
        failed("eu", doing)(source)
    }

    async fn objects(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(self.objects.clone())
    }

    fn has_room(&self) -> Result<()> {
        match self.full.load(Ordering::Relaxed) {
            true => Err(Error::Full { region: "eu".into(), free: 0, reserve: 1 }),
            false => Ok(()),
        }
    }

    fn part(&self) -> usize {
        1 << 20
    }

    async fn begin(&self, objects: &dyn ObjectStore, begun: &ObjectPath, _: &ObjectPath) -> Result<Box<dyn MultipartUpload>> {
        objects.put_multipart(begun).await.map_err(failed("eu", "begin a file"))
    }

    async fn place(&self, objects: &dyn ObjectStore, begun: &ObjectPath, path: &ObjectPath) -> object_store::Result<()> {
        objects.rename(begun, path).await
    }

    async fn discard(&self, _: &dyn ObjectStore, _: &ObjectPath) -> Result<()> {
        Ok(())
    }

    async fn put(&self, objects: &dyn ObjectStore, path: &ObjectPath, content: PutPayload) -> object_store::Result<()> {
        objects.put(path, content).await.map(drop)
    }

    async fn delete(&self, objects: &dyn ObjectStore, path: &ObjectPath) -> object_store::Result<()> {
        objects.delete(path).await
    }

    /// What was begun and not finished is nothing there.
    async fn clear(&self, _: &ObjectPath) -> Result<usize> {
        Ok(0)
    }

    async fn prove(&self, _: &dyn ObjectStore, _: &ObjectPath) -> object_store::Result<()> {
        Ok(())
    }

    async fn tidy(&self, _: &ObjectPath) {}

    async fn create_log(&self, objects: Arc<dyn ObjectStore>, path: &ObjectPath, content: Bytes) -> io::Result<Box<dyn Log>> {
        Ok(Box::new(rewritten::create(objects, path, content).await?))
    }

    async fn go_on_with_log(&self, objects: Arc<dyn ObjectStore>, log: &LogObject, whole: u64) -> io::Result<Box<dyn Log>> {
        Ok(Box::new(rewritten::go_on(objects, log, whole).await?))
    }
}

/// A place whose objects are not what they should be.
struct Broken {
    place: Arc<dyn Medium>,
    fault: Fault,
}

#[async_trait]
impl Medium for Broken {
    fn failed(&self, doing: &'static str, source: object_store::Error) -> Error {
        self.place.failed(doing, source)
    }

    async fn objects(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(Faulty { objects: self.place.objects().await?, fault: self.fault }))
    }

    fn has_room(&self) -> Result<()> {
        self.place.has_room()
    }

    fn part(&self) -> usize {
        self.place.part()
    }

    async fn begin(&self, objects: &dyn ObjectStore, begun: &ObjectPath, path: &ObjectPath) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.place.begin(objects, begun, path).await?;
        Ok(if self.fault == Fault::TakesNoParts { Box::new(Shut(upload)) } else { upload })
    }

    async fn place(&self, objects: &dyn ObjectStore, begun: &ObjectPath, path: &ObjectPath) -> object_store::Result<()> {
        self.place.place(objects, begun, path).await
    }

    async fn discard(&self, objects: &dyn ObjectStore, begun: &ObjectPath) -> Result<()> {
        self.place.discard(objects, begun).await
    }

    async fn put(&self, objects: &dyn ObjectStore, path: &ObjectPath, content: PutPayload) -> object_store::Result<()> {
        self.place.put(objects, path, content).await
    }

    async fn delete(&self, objects: &dyn ObjectStore, path: &ObjectPath) -> object_store::Result<()> {
        self.place.delete(objects, path).await
    }

    async fn clear(&self, folder: &ObjectPath) -> Result<usize> {
        self.place.clear(folder).await
    }

    async fn prove(&self, objects: &dyn ObjectStore, probe: &ObjectPath) -> object_store::Result<()> {
        self.place.prove(objects, probe).await
    }

    async fn tidy(&self, folder: &ObjectPath) {
        self.place.tidy(folder).await
    }

    async fn create_log(&self, objects: Arc<dyn ObjectStore>, path: &ObjectPath, content: Bytes) -> io::Result<Box<dyn Log>> {
        self.place.create_log(objects, path, content).await
    }

    async fn go_on_with_log(&self, objects: Arc<dyn ObjectStore>, log: &LogObject, whole: u64) -> io::Result<Box<dyn Log>> {
        self.place.go_on_with_log(objects, log, whole).await
    }
}

/// A place of each kind, for the tests of what is kept in them.
pub(crate) fn places() -> Vec<(&'static str, Storage, tempfile::TempDir)> {
    let made = PLACES.map(|(name, make)| (name, make()));
    made.into_iter().map(|(name, place)| (name, place.ours, place._folder)).collect()
}

impl Storage {
    /// The same place, which shows a fault from now on.
    pub(crate) fn with(&self, fault: Fault) -> Self {
        Self { medium: Arc::new(Broken { place: self.medium.clone(), fault }), ..self.clone() }
    }
}

async fn stored(storage: &Storage, tenant: &str, file: &str, content: &[u8]) {
    let mut incoming = storage.begin(tenant, file).await.unwrap();
    incoming.write(Bytes::copy_from_slice(content)).await.unwrap();
    incoming.finish().await.unwrap();
}

async fn content(storage: &Storage, tenant: &str, file: &str) -> Option<Vec<u8>> {
    let parts: Vec<Bytes> = storage.read(tenant, file).await.unwrap()?.try_collect().await.unwrap();
    Some(parts.concat())
}

async fn listed(storage: &Storage) -> Vec<(String, String)> {
    let mut all = storage.list().await.unwrap();
    all.sort();
    all
}

/// Larger than two parts of any place, so that some of it has left us before it is finished.
fn large() -> Vec<u8> {
    (0..(11 << 20) + 7_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

async fn a_file_is_seen_whole_or_not_at_all(place: &Place) {
    let large = large();
    let mut incoming = place.ours.begin("t", "f").await.unwrap();
    incoming.write(Bytes::from(large.clone())).await.unwrap();
    for storage in [&place.ours, &place.theirs] {
        assert_eq!((content(storage, "t", "f").await, listed(storage).await), (None, Vec::new()));
    }
    incoming.finish().await.unwrap();
    for storage in [&place.ours, &place.theirs] {
        assert!(content(storage, "t", "f").await == Some(large.clone()));
        assert_eq!(listed(storage).await, [("t".to_owned(), "f".to_owned())]);
    }
}

async fn a_part_of_a_file_is_read(place: &Place) {
    let large = large();
    stored(&place.ours, "t", "f", &large).await;
    let read = async |part: std::ops::Range<u64>| {
        let bytes = place.theirs.read_part("t", "f", Some(part)).await.unwrap().unwrap();
        bytes.try_collect::<Vec<Bytes>>().await.unwrap().concat()
    };
    let length = large.len() as u64;
    for part in [0..88, 5_000_000..11_000_000, length - 1..length] {
        assert!(read(part.clone()).await == large[part.start as usize..part.end as usize], "{part:?}");
    }
    assert!(read(length - 5..length + 5).await == large[large.len() - 5..], "there is no more");
    assert!(place.ours.read_part("t", "other", Some(0..1)).await.unwrap().is_none());
}

async fn a_file_that_does_not_come_leaves_nothing(place: &Place) {
    let mut incoming = place.ours.begin("t", "aborted").await.unwrap();
    incoming.write(Bytes::from(large())).await.unwrap();
    incoming.abort().await.unwrap();
    let incoming = place.ours.begin("t", "abandoned").await.unwrap();
    drop(incoming);
    assert_eq!((listed(&place.ours).await, content(&place.ours, "t", "aborted").await), (Vec::new(), None));
}

async fn a_start_clears_what_this_replica_began_and_no_other(place: &Place) {
    let mut theirs = place.theirs.begin("t", "f").await.unwrap();
    theirs.write(Bytes::from(large())).await.unwrap();
    assert_eq!(place.ours.clear_begun().await.unwrap(), 0);
    theirs.finish().await.unwrap();
    assert_eq!(listed(&place.ours).await.len(), 1);
    assert_eq!(place.theirs.clear_begun().await.unwrap(), 0, "what is finished is begun no more");
}

async fn what_is_erased_is_proved_absent(place: &Place) {
    stored(&place.ours, "t", "f", b"x").await;
    stored(&place.ours, "t", "g", b"y").await;
    place.theirs.erase("t", "f").await.unwrap();
    place.ours.erase("t", "f").await.unwrap();
    assert_eq!((content(&place.ours, "t", "f").await, content(&place.ours, "t", "g").await), (None, Some(b"y".to_vec())));
    for fault in [Fault::KeepsWhatItDeletes, Fault::IsBlind] {
        let error = place.ours.with(fault).erase("t", "g").await.err().unwrap_or_else(|| panic!("{fault:?} is believed"));
        assert_eq!(error.reason(), "StorageFailed");
    }
}

async fn a_reader_of_what_is_erased_comes_to_no_good_end(place: &Place) {
    stored(&place.ours, "t", "f", &[7; 1000]).await;
    let slow = place.ours.with(Fault::IsSlow);
    let mut reading = slow.read("t", "f").await.unwrap().unwrap();
    assert!(reading.next().await.unwrap().is_ok());
    place.ours.erase("t", "f").await.unwrap();
    let rest: object_store::Result<Vec<Bytes>> = reading.try_collect().await;
    assert!(rest.unwrap_err().to_string().contains("erased while it was read"));
}

async fn a_list_has_every_file_of_every_tenant_and_nothing_else(place: &Place) {
    let mut wanted = Vec::new();
    for (tenant, file) in (0..60).map(|n| (format!("tenant-{}", n % 3), format!("file-{n:02}"))) {
        stored(&place.ours, &tenant, &file, file.as_bytes()).await;
        wanted.push((tenant, file));
    }
    place.ours.probe().await.unwrap();
    wanted.sort();
    assert_eq!(listed(&place.theirs).await, wanted);
    assert_eq!(content(&place.theirs, "tenant-1", "file-01").await, Some(b"file-01".to_vec()));
    assert_eq!(content(&place.theirs, "tenant-2", "file-01").await, None, "a file is its tenant's");
}

async fn a_file_that_comes_again_replaces_the_first_whole(place: &Place) {
    let (mut first, mut second) = (place.ours.begin("t", "f").await.unwrap(), place.theirs.begin("t", "f").await.unwrap());
    first.write(Bytes::from_static(b"first")).await.unwrap();
    second.write(Bytes::from_static(b"second")).await.unwrap();
    first.finish().await.unwrap();
    assert_eq!(content(&place.ours, "t", "f").await, Some(b"first".to_vec()));
    second.finish().await.unwrap();
    assert_eq!(content(&place.ours, "t", "f").await, Some(b"second".to_vec()));
    assert_eq!(listed(&place.ours).await.len(), 1);
}

async fn a_place_that_fails_while_a_file_comes_leaves_nothing_and_says_so(place: &Place) {
    let broken = place.ours.with(Fault::TakesNoParts);
    let mut incoming = broken.begin("t", "f").await.unwrap();
    let written = incoming.write(Bytes::from(large())).await;
    let finished = incoming.finish().await;
    let error = written.and(finished).expect_err("a part that was refused is no file");
    assert_eq!(error.reason(), "StorageFailed");
    assert_eq!((listed(&place.ours).await, content(&place.ours, "t", "f").await), (Vec::new(), None));
}

async fn what_is_added_stands_behind_what_was_there(place: &Place) {
    let logs = Logs::of(&place.ours);
    let path = ObjectPath::from("audit/k.jsonl");
    let mut log = logs.create(&path, Bytes::from_static(b"one\n")).await.unwrap();
    log.append(Bytes::from_static(b"two\n")).await.unwrap();
    let theirs = Logs::of(&place.theirs);
    let listed = theirs.list("audit").await.unwrap();
    assert_eq!(listed, [LogObject { path: path.clone(), size: 8 }]);
    assert_eq!(theirs.read(&path, 0, 8).await.unwrap(), "one\ntwo\n");
    assert_eq!(theirs.read(&path, 4, 3).await.unwrap(), "two");
    theirs.go_on(&listed[0], 4).await.unwrap().append(Bytes::from_static(b"2\n")).await.unwrap();
    assert_eq!(logs.read(&path, 0, 6).await.unwrap(), "one\n2\n", "what was not whole goes");
}

async fn what_is_there_is_not_made_again(place: &Place) {
    let path = ObjectPath::from("audit/k.jsonl");
    let made = (0..20).map(|n| {
        let (logs, path) = (Logs::of(if n % 2 == 0 { &place.ours } else { &place.theirs }), path.clone());
        tokio::spawn(async move { logs.create(&path, Bytes::from(format!("{n:02}"))).await.is_ok().then_some(n) })
    });
    let made: Vec<i32> = futures::future::try_join_all(made).await.unwrap().into_iter().flatten().collect();
    assert_eq!(made.len(), 1, "they believe it: {made:?}");
    assert_eq!(Logs::of(&place.ours).read(&path, 0, 2).await.unwrap(), format!("{:02}", made[0]));
}

/// Each believes that it is alone.
async fn of_those_who_go_on_with_the_same_one_adds(place: &Place) {
    let (logs, path) = (Logs::of(&place.ours), ObjectPath::from("audit/k.jsonl"));
    drop(logs.create(&path, Bytes::from_static(b"-")).await.unwrap());
    for round in 0..20 {
        let listed = logs.list("audit").await.unwrap().remove(0);
        let mut rivals = Vec::new();
        for storage in [&place.ours, &place.theirs, &place.ours, &place.theirs] {
            rivals.push(Logs::of(storage).go_on(&listed, listed.size).await.unwrap());
        }
        let adding = rivals
            .into_iter()
            .zip("abcd".chars())
            .map(|(mut log, who)| tokio::spawn(async move { log.append(Bytes::from(who.to_string())).await.is_ok().then_some(who) }));
        let added: Vec<char> = futures::future::try_join_all(adding).await.unwrap().into_iter().flatten().collect();
        assert_eq!(added.len(), 1, "round {round}: {added:?} were told that theirs is there");
        let there = logs.read(&path, 0, listed.size + 1).await.unwrap();
        assert_eq!(there.last().copied().map(char::from), Some(added[0]), "round {round}");
        assert_eq!(logs.list("audit").await.unwrap()[0].size, listed.size + 1, "round {round}");
    }
}

async fn a_probe_tells_whether_it_works(place: &Place) {
    place.ours.ready().await.unwrap();
    place.ours.probe().await.unwrap();
    assert_eq!(listed(&place.ours).await, Vec::new());
    assert_eq!(place.ours.with(Fault::IsBlind).probe().await.err().unwrap().reason(), "StorageFailed");
}

macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        /// Prints what was tried where; a place that fails a case fails the test with the case's own words.
        #[tokio::test(flavor = "multi_thread")]
        async fn every_place_does_what_a_place_must_do() {
            $(
                for (name, make) in PLACES {
                    let place = make();
                    $case(&place).await;
                    println!("{name:<8}{}", stringify!($case).replace('_', " "));
                }
            )+
        }

        /// The same of a bucket, which is another folder of it for each case.
        #[tokio::test(flavor = "multi_thread")]
        #[ignore = "needs MinIO: cargo xtask test s3"]
        async fn a_bucket_does_what_a_place_must_do() {
            let server = bucket::tests::server().await;
            $(
                let (ours, theirs) = bucket::tests::replicas(&server, &stringify!($case).replace('_', "-")).await;
                $case(&Place { ours, theirs, _folder: tempfile::tempdir().unwrap() }).await;
                println!("{:<8}{}", "bucket", stringify!($case).replace('_', " "));
            )+
        }
    };
}

cases![
    a_file_is_seen_whole_or_not_at_all,
    a_part_of_a_file_is_read,
    a_file_that_does_not_come_leaves_nothing,
    a_start_clears_what_this_replica_began_and_no_other,
    what_is_erased_is_proved_absent,
    a_reader_of_what_is_erased_comes_to_no_good_end,
    a_list_has_every_file_of_every_tenant_and_nothing_else,
    a_file_that_comes_again_replaces_the_first_whole,
    a_place_that_fails_while_a_file_comes_leaves_nothing_and_says_so,
    what_is_added_stands_behind_what_was_there,
    what_is_there_is_not_made_again,
    of_those_who_go_on_with_the_same_one_adds,
    a_probe_tells_whether_it_works,
];

#[tokio::test]
async fn a_place_without_room_takes_no_file_and_keeps_those_it_has() {
    let Place { ours, .. } = in_memory();
    let full = Arc::new(Memory { objects: Arc::new(InMemory::new()), full: AtomicBool::new(false) });
    let storage = Storage { medium: full.clone(), ..ours };
    stored(&storage, "t", "before", b"x").await;
    let mut coming = storage.begin("t", "coming").await.unwrap();
    full.full.store(true, Ordering::Relaxed);
    let written = coming.write(Bytes::from_static(b"y")).await;
    let finished = coming.finish().await;
    assert_eq!(written.and(finished).err().unwrap().reason(), "Full");
    assert_eq!(storage.begin("t", "after").await.err().unwrap().reason(), "Full");
    assert_eq!(listed(&storage).await, [("t".to_owned(), "before".to_owned())]);
}
