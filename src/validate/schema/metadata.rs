//! What every object has besides its spec, and what Kubernetes asks of it. No definition says it.

use serde::Deserialize;
use serde_json::json;

use super::Schema;

const NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// The schema of `metadata`. An object that has neither name nor `generateName` is told of by the caller.
pub(in crate::validate) fn metadata() -> Schema {
    let text = json!({"type": "string"});
    let time = json!({"type": "string", "format": "date-time"});
    let fields = json!({
        "name": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": NAME, "description": "Lower-case letters, digits, hyphens and dots."},
        "namespace": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": LABEL},
        "generateName": text,
        "labels": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE}},
        "annotations": {"type": "object", "additionalProperties": text},
        "finalizers": {"type": "array", "items": text},
        "ownerReferences": {"type": "array", "items": {
            "type": "object",
            "required": ["apiVersion", "kind", "name", "uid"],
            "properties": {
                "apiVersion": text, "kind": text, "name": text, "uid": text,
                "controller": {"type": "boolean"}, "blockOwnerDeletion": {"type": "boolean"},
            },
        }},
        "uid": text,
        "resourceVersion": text,
        "selfLink": text,
        "generation": {"type": "integer", "format": "int64"},
        "creationTimestamp": time,
        "deletionTimestamp": time,
        "deletionGracePeriodSeconds": {"type": "integer", "format": "int64"},
    });
    Schema::deserialize(json!({"type": "object", "properties": fields})).expect("it is written here")
}
