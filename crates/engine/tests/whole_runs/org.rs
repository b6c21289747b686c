//! A whole import in this process: a file in, the emulator as the org, result files out.

use std::sync::Arc;

use api::import_job::ImportJobSpec;
use bytes::Bytes;
use csv::ByteRecord;
use engine::load::{
    BulkLane, ChunkLimits, Ending, InputRow, LoadPorts, LoadSettings, Loader, NoJournal, Reread, SalesforceBulk, StopSignal,
};
use engine::pipeline::{Outcome, Pipeline};
use engine::read::Source as _;
use engine::read::csv::{CsvOptions, CsvSource};
use engine::results::{Escape, MemorySink};
use engine::row::Batch;
use salesforce::Client;
use salesforce::bulk::{NewJob, Operation};
use salesforce_emulator::Running;
use serde_json::{Value, json};

use crate::client::client;

/// A job over an uploaded file.
pub(crate) fn job(target: Value, format: Value) -> ImportJobSpec {
    let mut salesforce = json!({"connectionRef": {"name": "crm"}});
    salesforce.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
    let source = json!({"upload": {"name": "f", "format": {"csv": format}}});
    serde_json::from_value(json!({"source": source, "target": {"salesforce": salesforce}})).unwrap()
}

pub(crate) struct Org {
    pub(crate) running: Running,
    client: Client,
}

impl Org {
    pub(crate) async fn start() -> Self {
        let running = salesforce_emulator::Emulator::builder().start().await.unwrap();
        Self { client: client(&running), running }
    }

    /// Runs a job over a file; what is wrong with the job or the file as a whole is told as text.
    pub(crate) async fn import(&self, spec: &ImportJobSpec, file: &[u8], escape: Escape) -> Result<(Ending, MemorySink), String> {
        let target = spec.target.salesforce.as_ref().unwrap();
        let describe = self.client.describe(&target.object).await.unwrap();
        let format = spec.source.upload.as_ref().and_then(|upload| upload.format.as_ref()?.csv.clone()).unwrap_or_default();
        let stream = futures::stream::iter([Ok(Bytes::copy_from_slice(file))]);
        let options = CsvOptions::compile(&format).unwrap();
        let mut source = CsvSource::open(stream, options).await.map_err(|error| error.to_string())?;
        let mut parents = Vec::new();
        for object in engine::pipeline::parents(spec, &describe) {
            parents.push(self.client.describe(&object).await.unwrap());
        }
        let compiled = Pipeline::compile(spec, source.header(), &describe, &parents);
        let mut pipeline = compiled.map_err(|findings| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let operation = match target.operation {
            api::import_job::Operation::Insert => Operation::Insert,
            api::import_job::Operation::Update => Operation::Update,
            api::import_job::Operation::Upsert => Operation::Upsert { external_id_field: target.match_by[0].clone() },
            api::import_job::Operation::Delete => Operation::Delete,
        };
        let bulk = SalesforceBulk::new(self.client.clone(), NewJob { object: target.object.clone(), operation });
        let sink = MemorySink::default();
        let settings = LoadSettings {
            input: source.header().cells().clone(),
            columns: pipeline.fields().clone(),
            key_column: pipeline.key(),
            limits: ChunkLimits::default(),
            results: Some((Box::new(sink.clone()), escape)),
            reread: Reread::FromStart,
            max_failed_percent: None,
            api_budget_percent: 100,
            random: Arc::new(|| 0.0),
        };
        let ports = LoadPorts { lane: Arc::new(BulkLane::new(bulk)), journal: Arc::new(NoJournal), stop_signal: StopSignal::default() };
        let mut loader = Loader::start(settings, ports, &Default::default());
        let (mut batch, mut mapped) = (Batch::new(), ByteRecord::new());
        while source.next(&mut batch).await.map_err(|error| error.to_string())? {
            for row in batch.rows() {
                let input = InputRow { cells: &row.cells, key: &row.key, refused: &row.refused };
                if row.skipped {
                    loader.skipped(input);
                    continue;
                }
                let outcome = match &row.fault {
                    Some(fault) => Outcome::Failed(fault.clone()),
                    None => pipeline.process(row.number, &row.cells, &mut mapped),
                };
                match outcome {
                    Outcome::Mapped => loader.send(input, &mapped).unwrap(),
                    Outcome::Filtered => loader.filtered(input),
                    Outcome::Deduplicated => loader.deduplicated(input),
                    Outcome::Failed(error) => loader.rejected(input, &error.told()).unwrap(),
                }
            }
        }
        Ok((loader.finish().await.unwrap(), sink))
    }
}
