//! The file and the job of the benchmarks.

use api::import_job::ImportJobSpec;
use bytes::Bytes;
use serde_json::{Value, json};

pub(crate) const COLUMNS: [&str; 10] = ["Id__c", "Name", "Street", "City", "Postal", "Country", "Phone", "Site", "Employees", "Note"];

pub(crate) fn file(rows: u64) -> Bytes {
    let mut file = COLUMNS.join(",") + "\n";
    for row in 0..rows {
        let note = if row % 10 == 0 { "\"quoted, with a comma and \"\"quotes\"\"\"" } else { "a note that says nothing much at all" };
        file += &format!(
            "A{row:09},Example Company {row} GmbH,{} Long Street Name,Frankfurt am Main,{:05},DE,+49-69-{:07},https://www.example{row}.com/x,{},{note}\n",
            row % 997,
            row % 99_999,
            row % 9_999_999,
            row % 1000
        );
    }
    file.into()
}

pub(crate) fn job(steps: Value, mapping: Vec<Value>) -> ImportJobSpec {
    serde_json::from_value(json!({
        "source": {"upload": {"name": "file"}},
        "steps": steps,
        "target": {"salesforce": {"connectionRef": {"name": "crm"}, "object": "Company__c", "operation": "Insert", "mapping": mapping}},
    }))
    .unwrap()
}

pub(crate) fn describe() -> Value {
    let field = |name: &&str| {
        json!({
            "name": name, "label": name, "type": "string", "length": 255, "nillable": true, "createable": true, "updateable": true,
            "externalId": false, "idLookup": false, "defaultedOnCreate": false, "unique": false, "caseSensitive": false
        })
    };
    let fields: Vec<Value> = COLUMNS.iter().map(field).collect();
    json!({
        "name": "Company__c", "label": "Company", "createable": true, "updateable": true, "deletable": true, "queryable": true,
        "fields": fields
    })
}
