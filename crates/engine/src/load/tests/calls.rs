//! A second lane, to show that the loader knows nothing of jobs: a chunk is one call that inserts or updates its rows by their key and
//! answers at once, a result a row, in the order in which they were sent, as sObject Collections does. The org keeps nothing of a call,
//! so results cannot be read again; but the same call may be made again, and changes nothing.

use std::time::Duration;

use crate::row::Record;
use api::import_run::{Chunk, ChunkState, RunReason};
use async_trait::async_trait;
use salesforce::{ApiUsage, Class, Delivery, Error};
use sha2::{Digest, Sha256};

use super::model::{Model, World, refused};
use crate::load::context::{Interrupted, LoadContext};
use crate::load::lane::{Lane, Remainder, Settled, Undecided, Verdict};
use crate::load::record::Stage;
use crate::load::retries::RetryBudget;
use crate::load::stop::Directive;
use crate::load::task::ChunkTask;
use crate::results::Tally;
use crate::results::outcome::RecordId;

pub(super) struct CallLane(pub(super) Model);

/// What the call says of one row.
enum CallResult {
    Written {
        id: String,
    },
    Refused {
        error: &'static str,
    },
    /// The org gave up before it came to this row.
    Untried,
}

#[async_trait]
impl Lane for CallLane {
    async fn commit(&self, chunk: &mut ChunkTask, load: &LoadContext) -> Result<Verdict, Interrupted> {
        let recorded = chunk.recorded.as_ref().map(|record| record.stage);
        match recorded {
            Some(Stage::Done) => return Ok(undecided("its results came with the call")),
            Some(Stage::NeedsDecision) => return Ok(undecided("an earlier attempt could not tell")),
            Some(Stage::Abandoned) => return Ok(Verdict::NothingCommitted),
            Some(Stage::Prepared | Stage::Committing) | None => {}
        }
        let was_committing = recorded == Some(Stage::Committing);
        let body = match chunk.body.clone() {
            Some(body) if load.directive() == Directive::Continue => body,
            _ if was_committing => return Ok(undecided("the call that sent it cannot be made again")),
            _ => return Ok(Verdict::NothingCommitted),
        };
        if !was_committing {
            chunk.sha256 = Some(body.sha256());
            load.write_ahead(chunk, Stage::Committing).await?;
        }
        let bytes: Vec<u8> = body.pieces().flatten().collect();
        let mut may_be_written = was_committing;
        let mut retries = RetryBudget::new();
        let results = loop {
            if !may_be_written && load.directive() != Directive::Continue {
                return Ok(Verdict::NothingCommitted);
            }
            match load.unless_interrupted(self.0.upsert(&bytes)).await? {
                Ok(results) => break results,
                Err(error) => {
                    may_be_written |= error.delivery() == Delivery::Unknown;
                    if error.class() == Class::Permanent {
                        load.stop_signal.stop(RunReason::TargetFailed, error.to_string());
                    }
                    if may_be_written && load.directive() != Directive::Continue {
                        return Ok(undecided("the answer to its call was lost"));
                    }
                    load.pause(&mut retries).await?;
                }
            }
        };
        Ok(settled(chunk, load, results, &bytes))
    }

    fn max_bytes(&self) -> u64 {
        10_000_000
    }

    fn usage(&self) -> Option<ApiUsage> {
        self.0.world().usage
    }
}

fn undecided(why: &'static str) -> Verdict {
    Verdict::Undecided(Undecided { look_for: None, why })
}

fn settled(chunk: &mut ChunkTask, load: &LoadContext, results: Vec<CallResult>, bytes: &[u8]) -> Verdict {
    let mut tally = Tally::default();
    let mut untried = Vec::new();
    let (outcomes, expected) = chunk.rows_at_hand().expect("a call is made only with its rows at hand");
    for ((place, result), cells) in expected.places().into_iter().zip(results).zip(rows_of(bytes)) {
        match result {
            CallResult::Written { id } => {
                tally.succeeded += 1;
                outcomes.succeeded(place, RecordId::new(id.as_bytes()), true);
            }
            CallResult::Refused { error } => {
                tally.failed += 1;
                outcomes.failed(place, RecordId::default(), error);
            }
            CallResult::Untried => {
                tally.unprocessed += 1;
                outcomes.unprocessed(place);
                untried.push((place, cells));
            }
        }
    }
    let remainder = match untried.is_empty() {
        true => Remainder::Empty,
        false if load.directive() == Directive::Continue => Remainder::SendUntried,
        false => Remainder::Leave(None),
    };
    Verdict::Settled(Settled { tally, untried, remainder, hopeless: String::new() })
}

fn rows_of(bytes: &[u8]) -> Vec<Record> {
    csv::Reader::from_reader(bytes).byte_records().map(|row| row.unwrap().iter().collect()).collect()
}

impl Model {
    async fn upsert(&self, bytes: &[u8]) -> Result<Vec<CallResult>, Error> {
        let results = self
            .call(true, |world| {
                if let Some(error) = world.refuses {
                    return Err(refused(400, error));
                }
                let sha256 = hex::encode(Sha256::digest(bytes));
                let announced = |chunk: &Chunk| chunk.state == ChunkState::Uploaded && chunk.sha256.as_deref() == Some(sha256.as_str());
                assert!(world.journal.listed.iter().any(announced), "rows are sent that are not on record as being sent");
                let rows = rows_of(bytes);
                let gives_up = world.spoils().then_some(rows.len() / 2);
                Ok(rows.iter().enumerate().map(|(at, row)| world.upsert_row(row, gives_up.is_some_and(|end| at >= end))).collect())
            })
            .await?;
        // The answer takes its time; an interruption may come before it.
        let on_its_way = {
            let mut world = self.world();
            let most = 100 * u64::from(world.slow);
            world.random.below(most)
        };
        tokio::time::sleep(Duration::from_millis(on_its_way)).await;
        Ok(results)
    }
}

impl World {
    fn upsert_row(&mut self, row: &Record, untried: bool) -> CallResult {
        let key = String::from_utf8_lossy(&row[0]).into_owned();
        if untried {
            return CallResult::Untried;
        }
        if row[1].starts_with(b"bad") {
            return CallResult::Refused { error: "BAD_NAME:no such name:Name --" };
        }
        let id = format!("001{key:0>12}AAA");
        if !self.written.contains(&key) {
            self.written.push(key);
        }
        CallResult::Written { id }
    }
}
