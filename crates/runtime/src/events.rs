//! Events (events.k8s.io) on our objects: what a person sees in `kubectl describe`. Reasons come from closed lists; an event
//! that cannot be written is logged and forgotten.

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

use crate::metrics::{Metrics, Wrote};

/// The API's limit for a note, in bytes.
const NOTE_LIMIT: usize = 1024;

/// Writes events on objects of one controller. Cheap to clone; clones share the recorder, which counts repeats of one event instead of writing it
/// again.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    metrics: Metrics,
}

impl Events {
    /// Events come from `controller`, a name such as `dataimporter-operator`, as the process `instance` (its pod's name). Each write is counted in
    /// `metrics`.
    pub fn new(client: Client, controller: &str, instance: &str, metrics: Metrics) -> Self {
        let reporter = Reporter { controller: controller.to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter), metrics }
    }

    /// An event of type `Normal` about an object: `reason` is a word of a closed list, `note` a sentence for people, cut at 1024 bytes. An event that
    /// cannot be written is logged and no error.
    pub async fn normal<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &str, note: &str) {
        self.publish(about, EventType::Normal, reason, note).await;
    }

    /// As [`Events::normal`], of type `Warning`: something that a person should look at.
    pub async fn warning<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &str, note: &str) {
        self.publish(about, EventType::Warning, reason, note).await;
    }

    async fn publish<K: Resource<DynamicType = ()>>(&self, about: &K, type_: EventType, reason: &str, note: &str) {
        let note = Some(api::text::cut_bytes(note, NOTE_LIMIT));
        let event = Event { type_, reason: reason.to_owned(), note, action: "Reconcile".into(), secondary: None };
        let outcome = self.recorder.publish(&event, &about.object_ref(&())).await;
        self.metrics.wrote("Event", "create", if outcome.is_ok() { Wrote::Done } else { Wrote::Failed });
        if let Err(error) = outcome {
            tracing::warn!(reason, error = %error, "event not written");
        }
    }
}
