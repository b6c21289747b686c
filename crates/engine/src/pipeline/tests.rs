use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::row::Accounting;

fn field(name: &str, kind: &str, edit: Value) -> Value {
    let mut field = json!({
        "name": name, "label": name, "type": kind, "length": 0, "nillable": true, "createable": true, "updateable": true,
        "externalId": false, "idLookup": false, "defaultedOnCreate": false, "unique": false, "caseSensitive": false,
        "referenceTo": [], "relationshipName": null
    });
    for (key, value) in edit.as_object().unwrap() {
        field[key] = value.clone();
    }
    field
}

fn account() -> Describe {
    serde_json::from_value(json!({
        "name": "Account", "label": "Account", "createable": true, "updateable": true, "deletable": true, "queryable": true,
        "fields": [
            field("Id", "id", json!({"createable": false, "updateable": false, "idLookup": true})),
            field("Name", "string", json!({"length": 20, "nillable": false})),
            field("Phone", "phone", json!({"length": 40})),
            field("Description", "textarea", json!({"length": 32000})),
            field("AnnualRevenue", "currency", json!({})),
            field("Icao__c", "string", json!({"length": 10, "externalId": true, "unique": true})),
            field("CreatedDate", "datetime", json!({"createable": false, "updateable": false})),
            field("ParentId", "reference", json!({"referenceTo": ["Account"], "relationshipName": "Parent"})),
            field("OwnerId", "reference", json!({"referenceTo": ["Group", "User"], "relationshipName": "Owner"})),
            field("Region__c", "reference", json!({"referenceTo": ["Region__c"], "relationshipName": "Region__r"})),
            field("Fixed__c", "string", json!({"length": 5, "updateable": false})),
        ]
    }))
    .unwrap()
}

fn header() -> Header {
    Header::new(["icao", "name", "phone", "beds", "note"])
}

fn spec(steps: Value, target: Value) -> ImportJobSpec {
    let mut salesforce = json!({"connectionRef": {"name": "crm"}, "object": "Account", "operation": "Insert"});
    for (key, value) in target.as_object().unwrap() {
        salesforce[key] = value.clone();
    }
    serde_json::from_value(json!({"source": {"upload": {"name": "file"}}, "steps": steps, "target": {"salesforce": salesforce}})).unwrap()
}

fn findings(steps: Value, target: Value) -> Vec<String> {
    let findings = Pipeline::compile(&spec(steps, target), &header(), &account()).err().unwrap_or_default();
    findings.iter().map(ToString::to_string).collect()
}

fn compile(steps: Value, target: Value) -> Pipeline {
    Pipeline::compile(&spec(steps, target), &header(), &account()).unwrap_or_else(|findings| panic!("{findings:?}"))
}

fn process(pipeline: &mut Pipeline, row: [&str; 5]) -> Result<Vec<String>, Outcome> {
    let mut mapped = ByteRecord::new();
    match pipeline.process(&ByteRecord::from(row.to_vec()), &mut mapped) {
        Outcome::Mapped => Ok(mapped.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect()),
        other => Err(other),
    }
}

fn failure(pipeline: &mut Pipeline, row: [&str; 5]) -> String {
    match process(pipeline, row) {
        Err(Outcome::Failed(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

fn upsert() -> Value {
    json!({"operation": "Upsert", "matchBy": ["icao__C"], "mapping": [
        {"from": "icao", "to": "icao__c"},
        {"formula": "TRIM([name]) & \" (\" & [icao] & \")\"", "to": "Name"},
        {"value": "Import", "to": "Description"},
        {"from": "phone", "to": "Phone", "blankCells": "Clear"},
    ]})
}

#[test]
fn rows_are_filtered_deduplicated_and_mapped_in_that_order() {
    let steps = json!([{"filter": "LEN([name]) > 0"}, {"dedupe": {"by": ["icao"]}}]);
    let mut pipeline = compile(steps, upsert());
    assert_eq!(pipeline.fields(), &ByteRecord::from(vec!["Icao__c", "Name", "Description", "Phone"]));
    assert_eq!(pipeline.key(), Some(0));
    assert!(pipeline.remembers_rows());
    assert_eq!(process(&mut pipeline, ["EDDF", " Frankfurt ", "1", "", ""]).unwrap(), ["EDDF", "Frankfurt (EDDF)", "Import", "1"]);
    assert_eq!(process(&mut pipeline, ["EDDF", "Again", "", "", ""]), Err(Outcome::Deduplicated));
    assert_eq!(process(&mut pipeline, ["KDFW", "", "", "", ""]), Err(Outcome::Filtered));
    // The filter came first, so the empty one was not remembered.
    assert_eq!(process(&mut pipeline, ["KDFW", "Dallas", " ", "", ""]).unwrap(), ["KDFW", "Dallas (KDFW)", "Import", "#N/A"]);
}

#[test]
fn a_row_that_cannot_be_used_says_why() {
    let steps = json!([{"filter": "[beds] > 0"}]);
    let mut pipeline = compile(
        steps,
        json!({"blankCells": "Fail", "mapping": [
            {"from": "name", "to": "Name"}, {"from": "note", "to": "ParentId", "blankCells": "Ignore"},
            {"formula": "VALUE([phone]) * 2", "to": "AnnualRevenue"},
        ]}),
    );
    let good = process(&mut pipeline, ["", "Ada", "2.5", "1", "001A0000006Vm9r"]);
    assert_eq!(good.unwrap(), ["Ada", "001A0000006Vm9r", "5"]);
    let table = [
        (["", "Ada", "1", "many", ""], "step 1: \"many\" is not a number"),
        (["", "An airport with a long name", "1", "1", ""], "Name takes 20 characters, this has 27"),
        (["", "", "1", "1", ""], "Name is blank and must not be (`blankCells: Fail`)"),
        (["", "Ada", "1", "1", "001"], "ParentId is not a Salesforce id: ids have 15 or 18 characters"),
        (["", "Ada", "x", "1", ""], "mapping to AnnualRevenue: \"x\" is not a number"),
        (["", "Ada", "", "1", ""], "AnnualRevenue is blank"),
        (["", "#N/A", "1", "1", ""], "Name would get \"#N/A\""),
    ];
    for (row, expected) in table {
        let found = failure(&mut pipeline, row);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn a_blank_key_fails_whatever_the_policy() {
    let mut upsert = compile(
        json!([]),
        json!({"operation": "Upsert", "matchBy": ["Icao__c"], "blankCells": "Clear", "mapping": [
        {"from": "icao", "to": "Icao__c", "blankCells": "Ignore"}, {"from": "name", "to": "Name"}]}),
    );
    assert_eq!(failure(&mut upsert, ["", "x", "", "", ""]), "Icao__c is blank and must not be: it finds the row");
    let mut delete = compile(json!([]), json!({"operation": "Delete", "mapping": [{"from": "icao", "to": "id"}]}));
    assert_eq!(delete.fields(), &ByteRecord::from(vec!["Id"]));
    assert_eq!(failure(&mut delete, ["", "x", "", "", ""]), "Id is blank and must not be: it finds the row");
}

#[test]
fn everything_wrong_with_a_job_is_found_at_once() {
    let steps = json!([{"filter": "[nme] = \"x\""}, {"filter": "[name]"}, {"dedupe": {"by": ["icao", "mail"]}}]);
    let found = findings(
        steps,
        json!({"mapping": [
            {"from": "Nam", "to": "Name"},
            {"from": "phone", "to": "Phne"},
            {"from": "phone", "to": "phone"},
            {"from": "phone", "to": "PHONE"},
            {"formula": "LEFT([name]", "to": "Description"},
            {"from": "name", "to": "CreatedDate"},
            {"value": "far too long", "to": "Fixed__c"},
            {"from": "icao", "to": "Id"},
        ]}),
    );
    let expected = [
        "source: the columns are \"icao\", \"name\", \"phone\", \"beds\", \"note\"",
        "step 1: character 1: there is no column \"nme\", did you mean \"name\"?",
        "step 2: character 1: this is a column, but true or false is needed; compare it with something, as in [Active] = \"true\"",
        "step 3: there is no column \"mail\"",
        "mapping to Name: there is no column \"Nam\", did you mean \"name\"?",
        "mapping to Phne: Account has no field Phne, or this user may not see it, did you mean Phone?",
        "mapping to PHONE: Phone is mapped twice; names differ only in case",
        "mapping to Description: character 12: expected a comma or a closing parenthesis, found the end",
        "mapping to CreatedDate: CreatedDate cannot be written on Insert: it is calculated or kept by Salesforce, or this user may not edit it",
        "mapping to Fixed__c: Fixed__c takes 5 characters, this has 12",
        "mapping to Id: Id cannot be written on Insert: it is calculated or kept by Salesforce, or this user may not edit it",
    ];
    assert_eq!(found, expected);
}

#[test]
fn keys_are_checked_against_the_org() {
    let mapping = json!([{"from": "name", "to": "Name"}]);
    let table = [
        (json!({"operation": "Upsert", "matchBy": ["Icao__c"]}), vec!["target: Upsert finds its rows by Icao__c: map it"]),
        (
            json!({"operation": "Upsert", "matchBy": ["Name"]}),
            vec![
                "target: matchBy Name is neither an external id nor a field that Salesforce can look up by; mark it as External ID in Setup",
            ],
        ),
        (
            json!({"operation": "Upsert", "matchBy": ["Icao"]}),
            vec!["target: Account has no field Icao, or this user may not see it, did you mean Icao__c?"],
        ),
        (json!({"operation": "Upsert", "matchBy": []}), vec!["target: matchBy names exactly one field on Upsert, and none otherwise"]),
        (
            json!({"operation": "Insert", "matchBy": ["Icao__c"]}),
            vec!["target: matchBy names exactly one field on Upsert, and none otherwise"],
        ),
        (json!({"operation": "Update"}), vec!["target: Update finds its rows by Id: map it"]),
        (
            json!({"operation": "Delete"}),
            vec!["target: Delete finds its rows by Id: map it", "mapping to Name: Delete takes nothing but Id"],
        ),
        (json!({"operation": "Insert"}), vec![]),
    ];
    for (mut target, expected) in table {
        target["mapping"] = mapping.clone();
        assert_eq!(findings(json!([]), target.clone()), expected, "{target}");
    }
    let by_id =
        json!({"operation": "Upsert", "matchBy": ["Id"], "mapping": [{"from": "icao", "to": "Id"}, {"from": "name", "to": "Name"}]});
    assert!(findings(json!([]), by_id).is_empty());
    let update_fixed = json!({"operation": "Update", "mapping": [{"from": "icao", "to": "Id"}, {"from": "name", "to": "Fixed__c"}]});
    assert!(findings(json!([]), update_fixed)[0].contains("Fixed__c cannot be written on Update"));
}

#[test]
fn parents_are_named_one_level_deep_and_by_kind_where_there_are_several() {
    let table = [
        ("Parent.Icao__c", None),
        ("User:Owner.Email", None),
        ("Region__r.Code__c", None),
        ("Owner.Email", Some("Owner may point to Group, User: write Group:Owner.…")),
        ("Account:Parent.Icao__c", Some("Parent points to Account only: leave out the part before the colon")),
        ("Contact:Owner.Email", Some("Owner cannot point to Contact, only to Group, User")),
        ("Parent.Parent.Name", Some("a relationship is written Parent.ExternalIdField, one level deep")),
        ("Region__r", Some("a relationship is written Region__r.ExternalIdField, one level deep")),
        ("Region__c.Code__c", Some("Account has no relationship Region__c, did you mean Region__r?")),
    ];
    for (to, expected) in table {
        let found = findings(json!([]), json!({"mapping": [{"from": "name", "to": "Name"}, {"from": "note", "to": to}]}));
        let expected: Vec<String> = expected.map(|text| format!("mapping to {to}: {text}")).into_iter().collect();
        assert_eq!(found, expected);
    }
    let both = findings(json!([]), json!({"mapping": [{"from": "note", "to": "ParentId"}, {"from": "note", "to": "Parent.Icao__c"}]}));
    assert_eq!(both, ["mapping to Parent.Icao__c: ParentId and Parent.Icao__c set the same parent: keep one of them"]);
}

#[test]
fn an_object_that_the_user_may_not_write_is_a_finding() {
    let mut describe = serde_json::from_value::<Describe>(json!({
        "name": "History", "label": "History", "createable": false, "updateable": false, "deletable": false, "queryable": true,
        "fields": [field("Name", "string", json!({}))]
    }));
    let spec = spec(json!([]), json!({"mapping": [{"from": "name", "to": "Name"}]}));
    let found = Pipeline::compile(&spec, &header(), describe.as_mut().unwrap()).err().unwrap();
    assert_eq!(found[0].to_string(), "target: History does not allow Insert for this user");
}

#[test]
fn manifests_that_no_api_server_has_checked_are_checked_here() {
    let found = findings(
        json!([{}, {"filter": "TRUE", "dedupe": {"by": ["icao"]}}]),
        json!({"mapping": [{"from": "name", "value": "x", "to": "Name"}, {"to": "Phone"}]}),
    );
    assert_eq!(
        found,
        [
            "step 1: a step has exactly one of filter and dedupe",
            "step 2: a step has exactly one of filter and dedupe",
            "mapping to Name: an entry has exactly one of from, value and formula",
            "mapping to Phone: an entry has exactly one of from, value and formula",
        ]
    );
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ -~]{0,12}", any::<String>(), Just("EDDF".to_owned()), Just("#N/A".to_owned()), "[0-9.]{1,4}"]
}

proptest! {
    #[test]
    fn whatever_the_rows_none_is_lost_and_every_mapped_one_is_whole(rows in proptest::collection::vec(proptest::array::uniform5(word()), 0..20)) {
        let steps = json!([{"filter": "OR(ISBLANK([beds]), [beds] >= 1)"}, {"dedupe": {"by": ["icao", "name"]}}]);
        let mut pipeline = compile(steps, upsert());
        let mut mapped = ByteRecord::new();
        let mut count = Accounting::default();
        for row in &rows {
            count.read += 1;
            match pipeline.process(&ByteRecord::from(row.to_vec()), &mut mapped) {
                Outcome::Mapped => {
                    prop_assert_eq!(mapped.len(), 4);
                    prop_assert!(mapped.iter().all(|cell| std::str::from_utf8(cell).is_ok_and(|text| !text.contains('\r'))));
                    prop_assert!(!mapped[0].trim_ascii().is_empty());
                    count.succeeded += 1;
                }
                Outcome::Filtered => count.filtered += 1,
                Outcome::Deduplicated => count.deduplicated += 1,
                Outcome::Failed(_) => count.failed += 1,
            }
        }
        prop_assert!(count.balanced());
    }

    #[test]
    fn any_job_compiles_or_is_refused(filter in ".{0,20}", by in word(), to in "[A-Za-z_.:]{0,12}", formula in ".{0,20}", value in word()) {
        let steps = json!([{"filter": filter}, {"dedupe": {"by": [by]}}]);
        let target = json!({"mapping": [{"formula": formula, "to": to}, {"value": value, "to": "Name"}, {"from": to, "to": "Phone"}]});
        let _ = findings(steps, target);
    }
}
