//! The rules of our definitions (`x-kubernetes-validations`), judged without an API server. Those that compare with an object that is there
//! already do not speak about a manifest.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

use super::finding::About;

pub(super) struct Rules {
    validator: Validator,
    kinds: BTreeMap<String, (Value, OnceLock<CompiledSchema>)>,
}

impl Rules {
    /// `schemas`: each kind with what its definition says.
    pub(super) fn new(schemas: impl IntoIterator<Item = (String, Value)>) -> Self {
        let kinds = schemas.into_iter().map(|(kind, schema)| (kind, (schema, OnceLock::new()))).collect();
        Self { validator: Validator::new(), kinds }
    }

    /// What the rules of the kind say of an object whose schema has nothing against it.
    pub(super) fn check(&self, kind: &str, object: &Value) -> Vec<About> {
        let Some((schema, compiled)) = self.kinds.get(kind) else { return Vec::new() };
        let compiled = compiled.get_or_init(|| compile_schema(schema));
        let broken = self.validator.validate_compiled(compiled, object, None).err().map(|errors| errors.into_vec());
        let told = broken.unwrap_or_default().into_iter().map(|error| match error.kind {
            ErrorKind::ValidationFailure => About::error(error.field_path, error.message),
            _ => About::error(error.field_path, format!("the rule {} could not be judged here: ask an API server", error.rule)),
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::schema;

    /// How many rules there are below, each read without an error.
    fn compiled(schema: &CompiledSchema) -> usize {
        assert!(schema.compilation_errors().is_empty(), "{:?}", schema.compilation_errors());
        let below = schema.properties.values().chain(schema.items.as_deref());
        schema.validations.len() + below.map(compiled).sum::<usize>()
    }

    #[test]
    fn every_rule_of_our_definitions_is_read() {
        fn written(value: &Value) -> usize {
            match value {
                Value::Object(map) => {
                    map.get("x-kubernetes-validations").and_then(Value::as_array).map_or(0, Vec::len)
                        + map.values().map(written).sum::<usize>()
                }
                Value::Array(items) => items.iter().map(written).sum(),
                _ => 0,
            }
        }
        let schemas: Vec<Value> = api::crds::all().iter().map(|crd| schema::of(crd).unwrap().1).collect();
        let (read, expected): (usize, usize) =
            (schemas.iter().map(|schema| compiled(&compile_schema(schema))).sum(), schemas.iter().map(written).sum());
        assert!(read == expected && read > 60, "{read} of {expected}");
    }

    #[test]
    fn a_rule_that_cannot_be_judged_is_no_rule_that_holds() {
        let rules = |rule: &str| {
            let schema = serde_json::json!({"type": "object", "x-kubernetes-validations": [{"rule": rule, "message": "never"}]});
            Rules::new([("Thing".to_owned(), schema)]).check("Thing", &serde_json::json!({"a": [2, 1]}))
        };
        for unknown in ["self.a.noSuchFunction()", "self.b == 1", "self.a.", "1"] {
            assert!(rules(unknown)[0].message.contains("could not be judged here"), "{unknown}");
        }
        assert_eq!(rules("self.a.size() == 3")[0].message, "never");
        assert!(rules("self.a.size() == 2").is_empty() && rules("self.a == oldSelf.a").is_empty());
    }
}
