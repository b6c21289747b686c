//! What can be told of a job before there is a file, a row or an org: with the code that a run compiles it with.

use api::import_job::{FormatKind, ImportJobSpec};

use crate::finding::{Place, PreflightFinding, Problem};
use crate::pipeline;
use crate::row::Header;
use crate::source::Format;
use crate::used;

/// All that is wrong with the rows' way through the job, in the order of its manifest.
pub fn check(spec: &ImportJobSpec) -> Vec<PreflightFinding> {
    let told = spec.source.format().and_then(|(format, _)| format).and_then(|format| Format::compile(format).err());
    let format = told.map(|error| PreflightFinding { place: Place::Source, problem: Problem::Format(error.to_string()) });
    format.into_iter().chain(pipeline::check(spec, &header(spec))).collect()
}

/// The columns that the job says its file has; without that, all that it uses, as if each were there.
pub(crate) fn header(spec: &ImportJobSpec) -> Header {
    let said = match spec.source.format().and_then(|(format, _)| format?.kind()) {
        Some(FormatKind::Csv(csv)) => csv.columns.as_slice(),
        Some(FormatKind::Json(json)) => json.columns.as_slice(),
        Some(FormatKind::Excel(_) | FormatKind::Parquet(_)) | None => &[],
    };
    if said.is_empty() { Header::new(used::columns(spec)) } else { Header::new(said) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(source: Value, steps: Value, target: Value) -> Vec<String> {
        let mut salesforce = json!({"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert"});
        salesforce.as_object_mut().unwrap().extend(target.as_object().unwrap().clone());
        let spec = json!({"source": source, "steps": steps, "target": {"salesforce": salesforce}});
        check(&serde_json::from_value(spec).unwrap()).iter().map(ToString::to_string).collect()
    }

    fn upload(format: Value) -> Value {
        json!({"upload": {"name": "file", "format": format}})
    }

    #[test]
    fn formulas_are_checked_and_columns_are_believed() {
        let steps = json!([{"filter": "[Country] = \"DE\""}, {"dedupe": {"by": ["Key"]}}, {"filter": "LEN([a]) > "}]);
        let mapping =
            json!([{"from": "Name", "to": "Name"}, {"formula": "UPER([x])", "to": "Site"}, {"formula": "[a] & [ b ]", "to": "Fax"}]);
        let found = told(json!({"upload": {"name": "f"}}), steps, json!({"mapping": mapping}));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("step 3: character 12: ") && found[1].contains("mapping to Site: character 1: there is no function UPER")
        );
    }

    #[test]
    fn a_file_whose_columns_are_named_has_no_others() {
        let columns = json!({"columns": ["name", "city"]});
        for format in [json!({"csv": columns}), json!({"json": columns})] {
            let found =
                told(upload(format), json!([]), json!({"mapping": [{"from": "city", "to": "Site"}, {"from": "nam", "to": "Name"}]}));
            assert_eq!(found, ["mapping to Name: there is no column \"nam\", did you mean \"name\"?"]);
        }
    }

    #[test]
    fn what_a_job_says_of_its_file_and_its_target_is_checked() {
        let found = told(upload(json!({"csv": {"encoding": "latin-17"}})), json!([]), json!({"mapping": [{"value": "1", "to": "Name"}]}));
        assert!(found.len() == 1 && found[0].starts_with("source: `encoding: latin-17` is not a WHATWG"), "{found:?}");
        let mapping = json!([{"from": "id", "to": "Id"}, {"value": "1", "to": "Name", "number": {"decimal": "."}}]);
        let found =
            told(json!({"upload": {"name": "f"}}), json!([]), json!({"operation": "Delete", "matchBy": ["A__c"], "mapping": mapping}));
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
