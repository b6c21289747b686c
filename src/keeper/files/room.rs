//! Room for a tenant's files. What is stored and what is on its way are counted together before a byte is taken, so files that come at the
//! same time take no more than one after the other. What a tenant may take is asked anew for every file. Of a file on its way through another
//! keeper its claim is known, and so it counts as a file; its bytes do when it is stored.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use api::{Tenant, Uid};
use domain::limits::{Allowance, Plans};
use kube::ResourceExt;

use super::records::{FileRecord, FileRecords, State, UPLOAD};
use crate::keeper::base::error::Result;

/// Why a file is not taken. The sender has proved its tenant, so it may know the tenant's numbers.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Full {
    #[error("Tenant {tenant} has {has} uploaded files and its limit is {limit} (limits.uploads.files): each goes an hour after it came")]
    Files { tenant: String, has: usize, limit: usize },
    #[error("the file has more than the {limit} bytes that Tenant {tenant} may upload at once (limits.uploads.bytesEach)")]
    Each { tenant: String, limit: u64 },
    #[error(
        "Tenant {tenant} has {has} bytes of uploaded files and its limit is {limit} (limits.uploads.bytesTogether): this one does not fit; each goes an hour after it came"
    )]
    Uploads { tenant: String, has: u64, limit: u64 },
    #[error(
        "the result files of this run have more than the {limit} bytes that a run of Tenant {tenant} may keep (limits.results.bytesPerRun)"
    )]
    Run { tenant: String, limit: u64 },
    #[error(
        "Tenant {tenant} has {has} bytes of result files and its limit is {limit} (limits.results.bytesTogether): those of this run do not fit; keep them for a shorter time"
    )]
    Results { tenant: String, has: u64, limit: u64 },
}

impl Full {
    /// Whether the same file will never do, whatever goes.
    pub(crate) fn is_for_good(&self) -> bool {
        matches!(self, Self::Each { .. } | Self::Run { .. })
    }
}

pub(crate) struct Room {
    files: FileRecords,
    plans: Plans,
    /// Name of this keeper among the others.
    replica: String,
    taken: Arc<Mutex<HashMap<Shelf, Taken>>>,
}

/// Files that are counted together: uploads or results of one tenant, by its UID.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Shelf {
    tenant: Uid,
    uploads: bool,
}

#[derive(Default)]
struct Taken {
    /// By id.
    stored: BTreeMap<Uid, Stored>,
    passing: BTreeMap<u64, Passing>,
}

struct Stored {
    owner: Uid,
    bytes: u64,
    /// When it was counted: a list that began before may lack it.
    at: Instant,
}

struct Passing {
    owner: Uid,
    /// Announced or taken so far, whichever is more.
    bytes: u64,
}

impl Taken {
    fn bytes(&self) -> u64 {
        self.stored.values().map(|file| file.bytes).sum::<u64>() + self.passing.values().map(|file| file.bytes).sum::<u64>()
    }

    fn bytes_of(&self, owner: &Uid) -> u64 {
        let stored = self.stored.values().filter(|file| file.owner == *owner).map(|file| file.bytes);
        stored.chain(self.passing.values().filter(|file| file.owner == *owner).map(|file| file.bytes)).sum()
    }
}

impl Room {
    pub(super) fn new(files: FileRecords, plans: Plans, replica: &str) -> Self {
        Self { files, plans, replica: replica.to_owned(), taken: Arc::default() }
    }

    /// Lets a file in, which has `announced` bytes if its sender said so. What comes is told to the pass.
    pub(crate) async fn enter(
        &self,
        tenant: &Tenant,
        file: &FileRecord,
        announced: Option<u64>,
    ) -> Result<std::result::Result<Pass, Full>> {
        let began = Instant::now();
        let listed = self.files.list(Some(&file.tenant_uid)).await?;
        let listed = listed.into_iter().filter(|known| known.kind == file.kind && counts(known, &self.replica));
        let listed = listed.map(|known| (known.uid, Stored { owner: known.owner_uid, bytes: known.bytes.unwrap_or_default(), at: began }));
        let allowance = self.plans.allowance(&tenant.spec);
        Ok(admit(&self.taken, tenant.name_any(), allowance, file, listed.collect(), began, announced.unwrap_or_default()))
    }
}

/// Whether a file takes room that this keeper does not know of itself.
fn counts(known: &FileRecord, replica: &str) -> bool {
    match known.state {
        State::Complete => true,
        State::Pending => known.claimed_by.as_deref().is_some_and(|other| other != replica),
        State::Destroyed => false,
    }
}

/// `listed` is what a list showed that was begun at `began`.
fn admit(
    taken: &Arc<Mutex<HashMap<Shelf, Taken>>>,
    tenant: String,
    allowance: Allowance,
    file: &FileRecord,
    mut listed: BTreeMap<Uid, Stored>,
    began: Instant,
    announced: u64,
) -> std::result::Result<Pass, Full> {
    let shelf = Shelf { tenant: file.tenant_uid.clone(), uploads: file.kind == UPLOAD };
    let pass =
        Pass { taken: taken.clone(), shelf, id: rand::random(), file: file.uid.clone(), owner: file.owner_uid.clone(), tenant, allowance };
    let mut shelves = taken.lock().unwrap_or_else(PoisonError::into_inner);
    let on_shelf = shelves.entry(pass.shelf.clone()).or_default();
    // What became complete while the list was read counts until the next list has it.
    listed.extend(std::mem::take(&mut on_shelf.stored).into_iter().filter(|(_, file)| file.at >= began));
    on_shelf.stored = listed;
    let has = on_shelf.stored.len() + on_shelf.passing.len();
    let judged = if pass.shelf.uploads && has >= allowance.uploads {
        Err(Full::Files { tenant: pass.tenant.clone(), has, limit: allowance.uploads })
    } else {
        pass.take(on_shelf, announced)
    };
    // A pass that is dropped gives back what it took.
    drop(shelves);
    judged.map(|()| pass)
}

/// A file on its way, and the room it takes. Dropped, it takes none.
pub(crate) struct Pass {
    taken: Arc<Mutex<HashMap<Shelf, Taken>>>,
    shelf: Shelf,
    id: u64,
    file: Uid,
    /// Upload or run.
    owner: Uid,
    tenant: String,
    allowance: Allowance,
}

impl Pass {
    /// So many bytes of the file have come.
    pub(crate) fn came(&self, bytes: u64) -> std::result::Result<(), Full> {
        let mut shelves = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.take(shelves.entry(self.shelf.clone()).or_default(), bytes)
    }

    /// The file is stored; it takes its room from now on.
    pub(crate) fn stored(self, bytes: u64) {
        let mut shelves = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = shelves.entry(self.shelf.clone()).or_default();
        taken.stored.insert(self.file.clone(), Stored { owner: self.owner.clone(), bytes, at: Instant::now() });
    }

    fn take(&self, taken: &mut Taken, bytes: u64) -> std::result::Result<(), Full> {
        let before = taken.passing.get(&self.id).map_or(0, |file| file.bytes);
        let bytes = bytes.max(before);
        let (tenant, allowance) = (self.tenant.clone(), &self.allowance);
        let has = taken.bytes() - before;
        let full = if self.shelf.uploads {
            let (each, together) = (allowance.upload_bytes, allowance.uploads_bytes);
            let each = (bytes > each).then(|| Full::Each { tenant: tenant.clone(), limit: each });
            each.or_else(|| (has.saturating_add(bytes) > together).then_some(Full::Uploads { tenant, has, limit: together }))
        } else {
            let (each, together) = (allowance.run_result_bytes, allowance.results_bytes);
            let of_run = (taken.bytes_of(&self.owner) - before).saturating_add(bytes);
            let each = (of_run > each).then(|| Full::Run { tenant: tenant.clone(), limit: each });
            each.or_else(|| (has.saturating_add(bytes) > together).then_some(Full::Results { tenant, has, limit: together }))
        };
        if let Some(full) = full {
            return Err(full);
        }
        taken.passing.insert(self.id, Passing { owner: self.owner.clone(), bytes });
        Ok(())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut shelves = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = shelves.get_mut(&self.shelf) {
            taken.passing.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::files::records::IMPORT_RUN;
    use crate::keeper::files::records::tests::record;

    fn uid(text: &str) -> Uid {
        Uid::new(text).unwrap()
    }

    fn allowance() -> Allowance {
        let tenant: Tenant = serde_json::from_value(serde_json::json!({
            "apiVersion": "dataimporter.io/v1alpha1", "kind": "Tenant", "metadata": {"name": "acme"},
            "spec": {"region": "eu", "namespaces": ["acme"], "plan": "Standard",
                     "contact": {"firstName": "A", "lastName": "B", "email": "a@b", "country": "DE"},
                     "limits": {"uploads": {"files": 3, "bytesEach": 60, "bytesTogether": 100},
                                "results": {"bytesPerRun": 50, "bytesTogether": 100}}}
        }))
        .unwrap();
        Plans::default().allowance(&tenant.spec)
    }

    /// What is taken, and a list that shows nothing yet.
    fn enter(
        taken: &Arc<Mutex<HashMap<Shelf, Taken>>>,
        kind: &str,
        file: &str,
        owner: &str,
        announced: u64,
    ) -> std::result::Result<Pass, Full> {
        let file = FileRecord { uid: uid(file), owner_uid: uid(owner), kind: kind.into(), ..record() };
        admit(taken, "acme".into(), allowance(), &file, BTreeMap::new(), Instant::now() - std::time::Duration::from_secs(1), announced)
    }

    #[test]
    fn uploads_that_come_at_once_take_no_more_than_one_after_the_other() {
        let taken = Arc::default();
        let first = enter(&taken, UPLOAD, "a", "a", 60).unwrap();
        let refused = enter(&taken, UPLOAD, "b", "b", 41).err().unwrap().to_string();
        assert!(refused.contains("has 60 bytes of uploaded files and its limit is 100"), "{refused}");
        assert!(enter(&taken, UPLOAD, "c", "c", 61).err().unwrap().is_for_good());
        // One that does not say how much it brings is stopped when it is too much.
        let second = enter(&taken, UPLOAD, "b", "b", 0).unwrap();
        second.came(40).unwrap();
        assert!(second.came(41).unwrap_err().to_string().contains("its limit is 100"));
        // What was refused or broke off takes no room; what is stored does.
        drop(second);
        first.stored(60);
        let second = enter(&taken, UPLOAD, "b", "b", 40).unwrap();
        let third = enter(&taken, UPLOAD, "c", "c", 0).unwrap();
        let refused = enter(&taken, UPLOAD, "d", "d", 0).err().unwrap().to_string();
        assert!(refused.contains("has 3 uploaded files and its limit is 3"), "{refused}");
        drop((second, third));
    }

    #[test]
    fn result_files_count_for_their_run_and_for_all_runs() {
        let taken = Arc::default();
        enter(&taken, IMPORT_RUN, "a", "r1", 0).map(|pass| pass.came(30).map(|()| pass.stored(30))).unwrap().unwrap();
        let second = enter(&taken, IMPORT_RUN, "b", "r1", 0).unwrap();
        second.came(20).unwrap();
        let full = second.came(21).unwrap_err();
        assert!(full.is_for_good() && full.to_string().contains("more than the 50 bytes"), "{full}");
        let other = enter(&taken, IMPORT_RUN, "c", "r2", 0).unwrap();
        other.came(50).unwrap();
        let third = enter(&taken, IMPORT_RUN, "d", "r3", 0).unwrap();
        let full = third.came(1).unwrap_err();
        assert!(!full.is_for_good() && full.to_string().contains("has 100 bytes of result files and its limit is 100"), "{full}");
        assert!(enter(&taken, UPLOAD, "u", "u", 60).is_ok(), "uploads are counted apart");
    }

    #[test]
    fn a_list_that_is_older_than_what_it_lacks_does_not_forget_it() {
        let taken = Arc::default();
        enter(&taken, UPLOAD, "a", "a", 60).unwrap().stored(60);
        assert!(enter(&taken, UPLOAD, "b", "b", 41).is_err());
        let file = FileRecord { uid: uid("b"), owner_uid: uid("b"), ..record() };
        let later = admit(&taken, "acme".into(), allowance(), &file, BTreeMap::new(), Instant::now(), 41);
        assert!(later.is_ok(), "a list that began later knows that the file is gone");
    }
    #[test]
    fn a_file_on_its_way_through_another_keeper_counts() {
        let pending = |by: Option<&str>| FileRecord { state: State::Pending, claimed_by: by.map(str::to_owned), ..record() };
        assert!(counts(&pending(Some("keeper-1")), "keeper-0"));
        assert!(!counts(&pending(Some("keeper-0")), "keeper-0"), "it is counted as it passes");
        assert!(!counts(&pending(None), "keeper-0"), "one that a worker writes is counted as it passes");
        assert!(counts(&record(), "keeper-0"));
        assert!(!counts(&FileRecord { state: State::Destroyed, ..record() }, "keeper-0"));
    }
}
