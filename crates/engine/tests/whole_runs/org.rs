//! A whole import in this process: a file in, the emulator as the org, result files out.

use std::sync::Arc;
use std::time::Duration;

use api::import_job::ImportJobSpec;
use api::import_run::RunReason;
use engine::Memory;
use engine::import::Import;
use engine::load::{Ending, NoJournal, StopSignal};
use engine::results::{Escape, MemorySink};
use engine::source::blob::MemoryBlob;
use engine::source::{FileSource, Said};
use salesforce::Client;
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
        let sink = MemorySink::default();
        let import = Import {
            spec: spec.clone(),
            target: self.client.clone(),
            source: Some(Box::new(FileSource::new(MemoryBlob::new(file.to_vec(), 64 << 10), Said::from(&spec.source)))),
            cursors: Vec::new(),
            journal: Arc::new(NoJournal),
            chunks: Default::default(),
            results: Some((Box::new(sink.clone()), escape)),
            memory: Memory::default(),
            time_left: Duration::from_secs(600),
            stop_signal: StopSignal::default(),
            watch: Box::new(|_| ()),
        };
        let ending = import.run().await;
        match ending.reason {
            RunReason::PreflightFailed | RunReason::SourceFailed | RunReason::FileTooComplex | RunReason::FileTooLarge => {
                Err(ending.message)
            }
            _ => Ok((ending, sink)),
        }
    }
}
