//! Reads the chains of a region for people: are they whole, and what do they say.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use api::Region;
use api::keeper::{AuditReport, ChainReport};
use bytes::Bytes;
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::sync::mpsc;

use super::Audit;
use super::chain::{Broken, Follower};
use super::heads::Head;
use super::objects::{self, ChainObjects};
use crate::keeper::base::error::{Error, Result};
use crate::keeper::storage::{Logs, Storage};

/// Whose lines somebody may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Lines {
    OfRegion,
    OfTenant(String),
}

impl Audit {
    /// Follows every chain to its end, and sends its lines on to the caller. The report is of the chains; of the lines it counts
    /// those that the caller may have.
    pub(crate) async fn read(&self, region: &Region, lines: &Lines, out: Option<mpsc::Sender<Bytes>>) -> Result<AuditReport> {
        let (storage, now) = (self.storages.of(region)?, self.cluster.now()?);
        let turn = self.readers.lock().unwrap_or_else(PoisonError::into_inner).entry(region.name_any()).or_default().clone();
        let _turn = turn.lock().await;
        storage.ready().await?;
        let failed = |source| Error::Audit { region: region.name_any(), source };
        let known = self.known(region).await?;
        let listed = storage.on_logs("list the audit", |logs| async move { objects::list(&logs).await }).await?.map_err(failed)?;
        let mut chains: BTreeMap<String, (Vec<Head>, ChainObjects)> = BTreeMap::new();
        for (name, objects) in listed {
            chains.entry(name).or_default().1 = objects;
        }
        for (name, heads) in known {
            chains.entry(name).or_default().0 = heads;
        }
        let mut report = AuditReport { region: region.name_any(), whole: true, lines: 0, chains: Vec::new() };
        for (name, (heads, objects)) in chains {
            let (found, count) = self.chain(region, &storage, &name, &heads, objects, lines, now, out.as_ref()).await?;
            report.lines += count;
            // What nobody here wrote is none of its chains.
            if heads.is_empty() && found.problem.is_some() {
                continue;
            }
            report.whole &= found.problem.is_none();
            report.chains.push(found);
        }
        Ok(report)
    }

    #[allow(clippy::too_many_arguments)]
    async fn chain(
        &self,
        region: &Region,
        storage: &Storage,
        name: &str,
        heads: &[Head],
        objects: ChainObjects,
        lines: &Lines,
        now: Timestamp,
        out: Option<&mpsc::Sender<Bytes>>,
    ) -> Result<(ChainReport, u64)> {
        let key = self.keys.of(region, now).await?;
        let failed = |source| Error::Audit { region: region.name_any(), source };
        let mut pieces = objects.pieces();
        let mut follower = Follower::new(name, Some(&key), heads.iter().map(|head| head.link.clone()).collect());
        let (mut count, mut problem) = (0, None);
        loop {
            let step = move |logs: Logs| async move { Ok((pieces.next(&logs).await?, pieces)) };
            let (piece, rest) = storage.on_logs("read the audit", step).await?.map_err(failed)?;
            pieces = rest;
            let Some(piece) = piece else { break };
            let (mine, broken) = pass(&mut follower, &piece, lines);
            count += mine.iter().filter(|byte| **byte == b'\n').count() as u64;
            if let Some(out) = out.filter(|_| !mine.is_empty())
                && out.send(Bytes::from(mine)).await.is_err()
            {
                break;
            }
            if let Some(broken) = broken {
                problem = Some(broken);
                break;
            }
        }
        let problem = problem.or_else(|| follower.end().err()).map(|broken| broken.to_string());
        // One that was found broken before stays so, even if somebody puts back what was there.
        let problem = heads.iter().find_map(|head| head.broken.clone()).or(problem);
        let known = heads.iter().map(|head| head.link.seq).max().unwrap_or_default();
        Ok((ChainReport { name: name.to_owned(), lines: follower.last.seq, known, hash: follower.last.hash.clone(), problem }, count))
    }
}

/// The lines that may go on, up to the first that does not fit.
fn pass(follower: &mut Follower<'_>, piece: &[u8], lines: &Lines) -> (Vec<u8>, Option<Broken>) {
    let mut mine = Vec::new();
    for line in piece.split_inclusive(|byte| *byte == b'\n') {
        match follower.take(line.trim_ascii_end()) {
            Ok(read) => {
                let may = match lines {
                    Lines::OfRegion => true,
                    Lines::OfTenant(uid) => read.text("tenant") == Some(uid),
                };
                if may {
                    mine.extend_from_slice(line);
                }
            }
            Err(broken) => return (mine, Some(broken)),
        }
    }
    (mine, None)
}
