//! Erases what has had its time. Level-triggered: every round looks at everything there is, so whatever a crash or an outage left
//! undone is done at the next. Order for each file: destroy the key, delete the object, prove it absent, audit, tell the owner, forget.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use api::identity::has_uid;
use api::import_run::{ImportRunStatus, ResultFile};
use api::{ImportRun, Region, Tenant, Uid, Upload};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt};
use runtime::store::ObjectKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::FileStore;
use super::records::{FileRecord, IMPORT_RUN, State, UPLOAD};
use crate::keeper::audit::Event;
use crate::keeper::base::error::{Error, Result, kube};
use crate::keeper::base::run_status::Ours;
use crate::keeper::storage::Storage;

const INTERVAL: Duration = Duration::from_secs(15);
/// Until the first round succeeds.
const FIRST_AGAIN: Duration = Duration::from_secs(5);
/// Between two rounds, however much is due.
const SHORTEST: Duration = Duration::from_secs(1);
/// Every so many rounds: files whose Upload or run is gone.
const OWNERS_EVERY: u64 = 4;
/// Every so many rounds: objects without a record.
const OBJECTS_EVERY: u64 = 40;
/// Files of a region erased at once.
const AT_ONCE: usize = 8;
/// The API server's times have whole seconds.
const SAME_MOMENT: SignedDuration = SignedDuration::from_secs(2);

/// Sweeps until told to stop. The first round is a full one: whoever led before may have left anything undone.
pub(crate) async fn run(store: &FileStore, swept: &Notify, stop: CancellationToken) {
    let mut pause = loop {
        match sweep(store, true, true).await {
            Ok(next) => break pause_until(next, store.cluster.now().ok()),
            Err(error) => tracing::warn!(error = error.chain(), reason = error.reason(), "the first sweep failed; tried again in 5 s"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(FIRST_AGAIN)).await.is_none() {
            return;
        }
    };
    swept.notify_one();
    let (mut round, mut full) = (0_u64, Instant::now());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = store.due.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
        // Rounds in between, for what has had its time or changed, are neither counted nor full.
        let due = full.elapsed() >= INTERVAL;
        if due {
            (round, full) = (round + 1, Instant::now());
        }
        let every = |rounds| due && round.is_multiple_of(rounds);
        pause = match sweep(store, every(OWNERS_EVERY), every(OBJECTS_EVERY)).await {
            Ok(next) => pause_until(next, store.cluster.now().ok()),
            Err(error) => {
                tracing::error!(error = error.chain(), reason = error.reason(), "sweep failed; tried again in 15 s");
                INTERVAL
            }
        };
    }
}

/// Ends who reads a file here that another keeper has erased.
pub(crate) async fn end_readers(store: Arc<FileStore>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        for (path, file_uid) in store.storages.read_now() {
            match store.records.find(&file_uid).await {
                Ok(found) if found.as_ref().is_some_and(|(file, _)| file.state != State::Destroyed) => {}
                Ok(_) => store.storages.end_readers(&path),
                Err(error) => {
                    tracing::warn!(file = file_uid, error = error.chain(), "whether a file that is read is still there is not known")
                }
            }
        }
    }
}

/// Until the next file has had its time, and never longer than usual.
fn pause_until(next: Option<Timestamp>, now: Option<Timestamp>) -> Duration {
    let left = next.zip(now).map(|(next, now)| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    left.map_or(INTERVAL, |left| left.clamp(SHORTEST, INTERVAL))
}

/// At a start: whatever this replica had begun is dead. What other replicas have begun is left to them.
pub(crate) async fn clear_own(store: &FileStore) -> Result<()> {
    // A region without its volume says so in its condition; the others go on.
    futures::future::join_all(store.cluster.regions.all().iter().map(|region| clear_begun(store, region))).await;
    let mut unfinished = Vec::new();
    for file in store.records.list(None).await? {
        if is_unfinished(store, &file).await? {
            unfinished.push(file);
        }
    }
    erase_each(store, unfinished.iter()).await;
    Ok(())
}

async fn clear_begun(store: &FileStore, region: &Region) {
    let cleared = match store.storages.of(region) {
        Ok(storage) => storage.clear_begun().await,
        Err(error) => Err(error),
    };
    match cleared {
        Ok(0) => {}
        Ok(removed) => tracing::info!(region = region.name_any(), removed, "unfinished files removed"),
        Err(error) => tracing::error!(region = region.name_any(), error = error.chain(), "unfinished files could not be removed"),
    }
}

/// The sender of this file was never told that it is here: this replica ended in between.
async fn is_unfinished(store: &FileStore, file: &FileRecord) -> Result<bool> {
    if file.claimed_by.as_deref() != Some(store.cluster.identity.as_str()) {
        return Ok(false);
    }
    if file.state != State::Complete {
        return Ok(file.state == State::Pending);
    }
    let uploads: Api<Upload> = Api::namespaced(store.cluster.client.clone(), &file.namespace);
    let upload = uploads.get_opt(&file.owner).await.map_err(kube("read the Upload"))?;
    Ok(upload.is_some_and(|u| has_uid(&u.metadata, &file.owner_uid) && u.status.is_none_or(|s| s.completed_at.is_none())))
}

/// One round. Answers when the next file has had its time.
pub(crate) async fn sweep(store: &FileStore, owners: bool, objects: bool) -> Result<Option<Timestamp>> {
    let now = store.cluster.now()?;
    let files = store.records.list(None).await?;
    let tenants: HashMap<Uid, Arc<Tenant>> =
        store.cluster.tenants.all().into_iter().filter_map(|t| Some((Uid::of_meta(&t.metadata)?, t))).collect();
    let living = if owners { Some(living(store).await?) } else { None };
    let left = if owners { left_by_attempts(store, &files).await? } else { BTreeSet::new() };
    let tenant = |file: &FileRecord| tenants.get(file.tenant_uid.as_str()).map(AsRef::as_ref);
    let (due, alive): (Vec<_>, Vec<_>) = files.iter().partition(|file| {
        let orphaned = living.as_ref().is_some_and(|living| !living.contains(file.owner_uid.as_str()));
        orphaned || left.contains(&file.uid) || is_due(file, tenant(file), now)
    });
    let mut overdue: BTreeMap<String, usize> = store.cluster.regions.all().iter().map(|region| (region.name_any(), 0)).collect();
    overdue.extend(erase_each(store, due.into_iter()).await);
    note_overdue(store, overdue);
    for file in &alive {
        if let Some(tenant) = tenant(file).filter(|tenant| is_shortened(file, tenant))
            && let Err(error) = shorten(store, file, tenant).await
        {
            let (error, reason) = (error.chain(), error.reason());
            tracing::error!(file = %file.uid, error, reason, "a file that ends earlier now could not be sealed so; tried again in 15 s");
        }
    }
    let next = alive.iter().map(|file| file.expiry(tenant(file).map(|tenant| &tenant.spec))).min();
    let regions = store.cluster.regions.all();
    let looked = regions.iter().filter(|_| objects).map(|region| async {
        // One region's broken storage must not keep the others from being swept.
        if let Err(error) = strays(store, region, &files).await {
            tracing::error!(region = region.name_any(), error = error.chain(), reason = error.reason(), "objects could not be listed");
        }
    });
    futures::future::join_all(looked).await;
    Ok(next)
}

/// Erases files, those of each region by themselves. Answers how many of each are still there.
async fn erase_each<'f>(store: &FileStore, files: impl Iterator<Item = &'f FileRecord>) -> BTreeMap<String, usize> {
    let mut by_region: BTreeMap<&str, Vec<&FileRecord>> = BTreeMap::new();
    for file in files {
        by_region.entry(&file.region).or_default().push(file);
    }
    let erasing = by_region.into_iter().map(async |(region, files)| (region.to_owned(), erase_of_region(store, files).await));
    futures::future::join_all(erasing).await.into_iter().collect()
}

/// Once the region's volume was found hanging, only the keys of the others are destroyed: the next round looks at it again.
async fn erase_of_region(store: &FileStore, files: Vec<&FileRecord>) -> usize {
    let hangs = AtomicBool::new(false);
    let left = AtomicUsize::new(0);
    futures::stream::iter(files)
        .for_each_concurrent(AT_ONCE, async |file| {
            let erased = match hangs.load(Ordering::Relaxed) {
                true => store.records.destroy_key(file).await.map(|destroyed| destroyed.is_none()),
                false => erase(store, file).await.map(|()| true),
            };
            match erased {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    hangs.fetch_or(error.reason() == "NotResponding", Ordering::Relaxed);
                    let (error, reason) = (error.chain(), error.reason());
                    tracing::error!(file = %file.uid, error, reason, "a file could not be erased; tried again in 15 s");
                }
            }
            left.fetch_add(1, Ordering::Relaxed);
        })
        .await;
    left.into_inner()
}

/// Whether a file has had its time.
fn is_due(file: &FileRecord, tenant: Option<&Tenant>, now: Timestamp) -> bool {
    if file.state == State::Destroyed {
        return true;
    }
    !domain::retention::readable(now, file.expiry(tenant.map(|tenant| &tenant.spec)))
}

/// Whether the tenant's rule has become shorter since the file's last moment was sealed.
fn is_shortened(file: &FileRecord, tenant: &Tenant) -> bool {
    file.state == State::Complete && file.expiry(Some(&tenant.spec)) < file.not_after
}

/// Tells the run when its file dies by now, and then seals that with the key, so that nothing makes it later again.
async fn shorten(store: &FileStore, file: &FileRecord, tenant: &Tenant) -> Result<()> {
    let Some((known, secret)) = store.records.find(&file.uid).await? else { return Ok(()) };
    if !is_shortened(&known, tenant) {
        return Ok(());
    }
    let shorter = FileRecord { not_after: known.expiry(Some(&tenant.spec)), ..known.clone() };
    let end = shorter.not_after;
    update_run(store, file, |result| result.expires_at = Some(Time(result.expires_at.as_ref().map_or(end, |told| told.0.min(end)))))
        .await?;
    let keys = store.vault.keys_of(Arc::new(tenant.clone())).await?;
    store.seal_shorter(&keys, (&known, &secret), &shorter).await
}

/// Files of attempts that ended before they could report: their run is over, and its outcome does not list them.
async fn left_by_attempts(store: &FileStore, files: &[FileRecord]) -> Result<BTreeSet<Uid>> {
    let mut left = BTreeSet::new();
    let mut runs: HashMap<(&str, &str), Option<ImportRun>> = HashMap::new();
    // Those that an outcome lists were told before when they end.
    for file in files.iter().filter(|file| file.kind == IMPORT_RUN && file.ended.is_none()) {
        let name = (file.namespace.as_str(), file.owner.as_str());
        let run = match runs.entry(name) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let api: Api<ImportRun> = Api::namespaced(store.cluster.client.clone(), name.0);
                unknown.insert(api.get_opt(name.1).await.map_err(kube("read the ImportRun"))?)
            }
        };
        let status = run.as_ref().filter(|run| has_uid(&run.metadata, &file.owner_uid)).and_then(|run| run.status.as_ref());
        let over = status.filter(|status| status.outcome.is_some() || status.finished_at.is_some());
        if over.is_some_and(|status| !status.results.iter().any(|result| file.uid == *result.file)) {
            left.insert(file.uid.clone());
        }
    }
    Ok(left)
}

/// UIDs of all Uploads and runs there are.
async fn living(store: &FileStore) -> Result<BTreeSet<Uid>> {
    let mut living = store.cluster.uids::<Upload>().await?;
    living.extend(store.cluster.uids::<ImportRun>().await?);
    Ok(living)
}

/// Objects that no record speaks of: nothing can open them.
async fn strays(store: &FileStore, region: &Region, files: &[FileRecord]) -> Result<()> {
    let storage = store.storages.of(region)?;
    for (tenant_uid, file_uid) in storage.list().await? {
        // Listed before the objects were: one that was claimed since is asked for by name.
        if files.iter().any(|f| f.uid == *file_uid) || store.records.find(&file_uid).await?.is_some() {
            continue;
        }
        storage.erase(&tenant_uid, &file_uid).await?;
        tracing::warn!(region = region.name_any(), file = file_uid, "an object without a record was erased");
        store.audit.line(region, Event::new("StrayErased").with("file", file_uid)).await?;
    }
    Ok(())
}

/// How many files of each region had their time and are still there: for the region's condition, and counted.
fn note_overdue(store: &FileStore, overdue: BTreeMap<String, usize>) {
    for (region, files) in &overdue {
        store.cluster.metrics.set_overdue_files(region, *files);
    }
    *store.overdue.lock().unwrap_or_else(PoisonError::into_inner) = overdue;
}

/// Erases one file for good.
pub(crate) async fn erase(store: &FileStore, file: &FileRecord) -> Result<()> {
    let Some(record_uid) = store.records.destroy_key(file).await? else { return Ok(()) };
    let region = store.cluster.region(&file.region).ok();
    for storage in places(store, file, region.as_deref()).await? {
        storage.erase(&file.tenant_uid, &file.uid).await?;
    }
    let now = store.cluster.now()?;
    match region {
        Some(region) => {
            let event = Event::new("FileErased")
                .with("tenant", file.tenant_uid.as_str())
                .with("file", file.uid.as_str())
                .with("kind", file.kind.as_str());
            store.audit.line(&region, event).await?;
        }
        // Its keys went with it: nobody could prove a line.
        None => tracing::warn!(file = %file.uid, region = file.region, "a file of a region that is gone was erased"),
    }
    match file.kind.as_str() {
        UPLOAD => update_upload(store, file, now).await?,
        _ => {
            update_run(store, file, |result| {
                let erased = result.erased_at.get_or_insert(Time(now)).0;
                result.expires_at = result.expires_at.take().map(|told| Time(told.0.min(erased)));
            })
            .await?;
        }
    }
    store.records.forget(file, &record_uid).await
}

/// Where the bytes of a file may be. A Region's storage is immutable: what was born in this very one lies there, and no other volume has
/// to answer for it.
async fn places(store: &FileStore, file: &FileRecord, region: Option<&Region>) -> Result<Vec<Storage>> {
    let Some(region) = region else { return store.storages.everywhere(&file.region).await };
    // A region that is here must have its volume: what lies elsewhere proves nothing about it.
    let own = store.storages.of(region)?;
    own.ready().await?;
    let born_here = region.creation_timestamp().is_some_and(|made| file.created > made.0 + SAME_MOMENT);
    if born_here { Ok(vec![own]) } else { store.storages.everywhere(&file.region).await }
}

async fn update_upload(store: &FileStore, file: &FileRecord, now: Timestamp) -> Result<()> {
    let uploads: Api<Upload> = Api::namespaced(store.cluster.client.clone(), &file.namespace);
    let found = uploads.get_opt(&file.owner).await.map_err(kube("read the Upload"))?;
    let Some(upload) = found.filter(|u| has_uid(&u.metadata, &file.owner_uid)) else { return Ok(()) };
    let previous = upload.status.clone().unwrap_or_default();
    // A claim whose file never came: the Upload still waits for it.
    if previous.completed_at.is_none() {
        return Ok(());
    }
    store.cluster.write_upload(&upload, &domain::upload::erased(&previous, upload.metadata.generation, now)).await
}

/// Changes what the file's run says of it.
async fn update_run(store: &FileStore, file: &FileRecord, change: impl Fn(&mut ResultFile)) -> Result<()> {
    let runs: Api<ImportRun> = Api::namespaced(store.cluster.client.clone(), &file.namespace);
    // Somebody else's write in between means: look again.
    for _ in 0..8 {
        let found = runs.get_opt(&file.owner).await.map_err(kube("read the ImportRun"))?;
        let Some(run) = found.filter(|r| has_uid(&r.metadata, &file.owner_uid)) else { return Ok(()) };
        let status: ImportRunStatus = run.status.clone().unwrap_or_default();
        let mut ours = Ours::of(&status);
        ours.results.iter_mut().filter(|r| file.uid == *r.file).for_each(&change);
        if ours == Ours::of(&status) {
            return Ok(());
        }
        match store.cluster.writer.apply_status(&runs, &ObjectKey::of(&run), run.resource_version().as_deref(), &ours).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Record { name: file.uid.to_string(), detail: "its run was written by others eight times in a row" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::files::records::tests::record;

    fn tenant(keep_days: i32) -> Tenant {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
            "spec": {"region": "eu", "namespaces": ["acme"], "plan": "Enterprise", "retention": {"results": {"keepDays": keep_days}},
                     "contact": {"firstName": "A", "lastName": "B", "email": "a@b", "country": "DE"}}
        }))
        .unwrap()
    }

    #[test]
    fn a_file_is_due_at_its_moment_or_when_the_rule_became_shorter() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let upload = record();
        assert!(!is_due(&upload, Some(&tenant(0)), at(3599)), "a tenant's rule is about results only");
        assert!(is_due(&upload, None, at(3600)));
        let result = FileRecord { kind: IMPORT_RUN.into(), ended: Some(at(0)), not_after: at(14 * 86_400), ..record() };
        assert!(!is_due(&result, Some(&tenant(14)), at(86_400)));
        assert!(is_due(&result, Some(&tenant(1)), at(86_400)));
        assert!(is_due(&result, Some(&tenant(30)), at(14 * 86_400)), "lengthening revives nothing");
        assert!(is_due(&FileRecord { state: State::Destroyed, ..record() }, None, at(0)));
    }

    #[test]
    fn a_file_is_sealed_anew_only_when_it_ends_earlier() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let result = FileRecord { kind: IMPORT_RUN.into(), ended: Some(at(0)), not_after: at(14 * 86_400), ..record() };
        assert!(is_shortened(&result, &tenant(1)));
        for same in [tenant(14), tenant(30)] {
            assert!(!is_shortened(&result, &same));
        }
        assert!(!is_shortened(&FileRecord { ended: None, ..result.clone() }, &tenant(1)), "its run goes on");
        assert!(!is_shortened(&record(), &tenant(0)), "an upload");
    }

    #[test]
    fn the_next_round_is_when_a_file_has_had_its_time() {
        let at = |second| Timestamp::from_second(second).ok();
        assert_eq!(pause_until(at(107), at(100)), Duration::from_secs(7));
        assert_eq!(pause_until(at(900), at(100)), INTERVAL);
        assert_eq!(pause_until(None, at(100)), INTERVAL);
        assert_eq!(pause_until(at(90), at(100)), SHORTEST, "one that cannot be erased does not make it spin");
    }
}
