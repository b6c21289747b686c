//! What becomes of a file once all its rows are loaded and the keeper knows it: whoever deals with the file only then loses nothing, and an
//! attempt that dies in between is followed by one that does nothing else.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use api::keeper::{FileReport, Lease, SourceCredential};
use engine::load::StopSignal;
use engine::source::blob::{Fate, Loaded, PutAway};

use super::identity::FromKeeper;
use super::keeper::Keeper;
use super::reached::Reached;
use crate::systems::reach;

/// Moves or deletes the file, and ends the run with what came of it.
pub(super) async fn put_away(keeper: &Keeper, put_away: &PutAway, loaded: Loaded<'_>) -> anyhow::Result<()> {
    report(keeper, put_away.put_away(loaded).await).await
}

/// The same in a later attempt. A file that may not be reached any more stays where it is.
pub(super) async fn put_away_later(keeper: &Arc<Keeper>, lease: Lease, stop_signal: &StopSignal) -> anyhow::Result<ExitCode> {
    let Lease { snapshot, source, loaded, private_endpoints, proxy, .. } = lease;
    let loaded = loaded.context("the lease tells of no loaded file")?;
    let origin: Vec<String> = loaded.file.iter().map(|text| text.expose().to_owned()).collect();
    let reached = match source {
        Some(SourceCredential::Entries(entries)) => {
            let tokens = FromKeeper::new(keeper.clone(), stop_signal.clone());
            let proxy = proxy.as_ref().map(reach::proxy).transpose()?;
            Reached::of(&snapshot, &private_endpoints, proxy, entries, tokens)?.put_away(&snapshot.job_spec)?
        }
        Some(SourceCredential::Upload(_)) | None => None,
    };
    let fate = match reached {
        Some(reached) => reached.put_away(Loaded { origin: &origin, has_failed_rows: loaded.has_failed_rows, again: true }).await,
        None => Fate::kept(match stop_signal.reason() {
            Some((_, why)) => format!("source.file.afterSuccess may not have been done: {why}"),
            None => "source.file.afterSuccess was not done: there is no way to the file".to_owned(),
        }),
    };
    report(keeper, fate).await?;
    Ok(ExitCode::SUCCESS)
}

async fn report(keeper: &Keeper, fate: Fate) -> anyhow::Result<()> {
    let report = FileReport { attempt: keeper.attempt(), done: fate.done, message: fate.message };
    keeper.file(&report).await.context("the keeper does not take what became of the file")
}
