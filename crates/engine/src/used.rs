//! Which columns a job uses, by the names it calls them. The header need not be known: it is found with their help.

use std::cell::RefCell;
use std::collections::BTreeSet;

use api::import_job::{ImportJobSpec, StepKind, ValueSource};
use formula::{Condition, Value};

/// Every name of a column in steps and mapping. What does not compile is told when it is compiled; here it only says
/// less.
pub fn columns(spec: &ImportJobSpec) -> BTreeSet<String> {
    let names = Names::default();
    let note = |name: &str| _ = names.0.borrow_mut().insert(name.to_owned());
    for step in &spec.steps {
        match step.kind() {
            Some(StepKind::Dedupe(dedupe)) => dedupe.by.iter().for_each(|name| note(name)),
            Some(StepKind::Filter(source)) => _ = Condition::compile(source, &names),
            None => {}
        }
    }
    for entry in spec.target.salesforce().iter().flat_map(|target| &target.mapping) {
        match entry.source() {
            Some(ValueSource::From(name)) => note(name),
            Some(ValueSource::Formula(source)) => _ = Value::compile(source, &names),
            Some(ValueSource::Value(_)) | None => {}
        }
    }
    names.0.into_inner()
}

/// Has every column, and remembers which ones were asked for.
#[derive(Default)]
struct Names(RefCell<BTreeSet<String>>);

impl formula::Columns for Names {
    fn find(&self, name: &str) -> Result<usize, String> {
        self.0.borrow_mut().insert(name.to_owned());
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_gathered_from_filters_keys_columns_and_formulas() {
        let spec = serde_json::json!({
            "source": {"upload": {"name": "file"}},
            "steps": [{"filter": "AND([Country] = \"DE\", LEN([Name]) > 0)"}, {"dedupe": {"by": ["Key"]}}, {"filter": "[Broken"}],
            "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert", "mapping": [
                {"from": "Name, first", "to": "Name"}, {"formula": "[a] & IF([b]]] = \"x\", [c], \"\")", "to": "Site"}, {"value": "x", "to": "Type"},
            ]}},
        });
        let found = columns(&serde_json::from_value(spec).unwrap());
        assert_eq!(Vec::from_iter(found), ["Country", "Key", "Name", "Name, first", "a", "b]", "c"]);
    }
}
