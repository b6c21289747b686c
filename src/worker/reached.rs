//! The system that a job reads from, within the addresses that are open to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use api::connection::System;
use api::import_job::ImportJobSpec;
use api::keeper::SecretText;
use api::region::PrivateEndpoint;
use api::snapshot::Snapshot;
use connect::{Dialer, Proxy};
use engine::source::Source;
use engine::source::blob::PutAway;

use super::identity::FromKeeper;
use crate::sources::{self, Terms};
use crate::systems::Entries;
use crate::systems::reach::address_policy;

pub(super) struct Reached<'a> {
    dialer: Dialer,
    name: &'a str,
    system: System<'a>,
    entries: Entries,
}

impl<'a> Reached<'a> {
    pub(super) fn of(
        snapshot: &'a Snapshot,
        private_endpoints: &[PrivateEndpoint],
        proxy: Option<Proxy>,
        entries: BTreeMap<String, SecretText>,
        tokens: FromKeeper,
    ) -> anyhow::Result<Self> {
        let connection = snapshot.job_spec.source.connection();
        let name = &connection.context("the lease has a credential for a source, the job reads through no Connection")?.name;
        let system = snapshot.connections.get(name).and_then(|known| known.spec.system());
        let system = system.with_context(|| format!("the snapshot has no Connection {name} that this version knows"))?;
        let dialer = Dialer::new(address_policy(system.kind(), private_endpoints)).through(proxy);
        let entries: Entries = entries.into_iter().map(|(name, entry)| (name, entry.into_secret())).collect();
        let entries = entries.followed_by(Arc::new(tokens));
        Ok(Self { dialer, name, system, entries })
    }

    /// What the job reads.
    pub(super) fn source(&self, spec: &ImportJobSpec, terms: &Terms<'_>) -> anyhow::Result<Box<dyn Source>> {
        sources::connected(&self.dialer, self.name, self.system, &self.entries, spec, terms)
    }

    /// What deals with its file once that is loaded, if the job asks for it.
    pub(super) fn put_away(&self, spec: &ImportJobSpec) -> anyhow::Result<Option<PutAway>> {
        sources::put_away(&self.dialer, self.name, self.system, &self.entries, spec)
    }
}
