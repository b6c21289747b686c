//! The Salesforce side: the emulator's own program with one object a file, looked at through its tester's door.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::emulator::Emulator;

pub(super) struct Org(Emulator);

/// What the Salesforce side holds of one object.
#[derive(Debug, Deserialize, Eq, PartialEq)]
pub(super) struct Held {
    pub(super) count: u64,
    pub(super) sha256: String,
}

impl Org {
    pub(super) fn start(program: &Path, objects: &[Value], scratch: &Path) -> Result<Self> {
        let schema = scratch.join("schema.yaml");
        std::fs::write(&schema, json!({"objects": objects}).to_string())?;
        Emulator::start(program, scratch, &["--enable-admin", "--schema", &schema.to_string_lossy()]).map(Self)
    }

    /// The Connection that leads here, and its Secret.
    pub(super) fn manifests(&self) -> [Value; 2] {
        self.0.manifests(NAMESPACE)
    }

    pub(super) fn holds(&self, object: &str, fields: &[String]) -> Result<Held> {
        let said = self.0.ask(&format!("/emulator/digest/{object}?fields={}", fields.join(",")), &[])?;
        Held::deserialize(&said).with_context(|| format!("the emulator answered {said:.200}"))
    }
}
