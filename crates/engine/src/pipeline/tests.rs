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
    let findings = Pipeline::compile(&spec(steps, target), &header(), &account(), &[]).err().unwrap_or_default();
    findings.iter().map(ToString::to_string).collect()
}

fn compile(steps: Value, target: Value) -> Pipeline {
    Pipeline::compile(&spec(steps, target), &header(), &account(), &[]).unwrap_or_else(|findings| panic!("{findings:?}"))
}

fn process(pipeline: &mut Pipeline, row: [&str; 5]) -> Result<Vec<String>, Outcome> {
    let mut mapped = Record::new();
    match pipeline.process(1, &Record::from(row.to_vec()), &mut mapped) {
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
    assert_eq!(pipeline.fields(), &Record::from(vec!["Icao__c", "Name", "Description", "Phone"]));
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
        (
            ["", "Ada", "1", "1", "001"],
            "ParentId is not a Salesforce id: ids have 15 or 18 characters; to find the parent by another key, map to Parent.ExternalIdField",
        ),
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
    assert_eq!(delete.fields(), &Record::from(vec!["Id"]));
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
    let found = Pipeline::compile(&spec, &header(), describe.as_mut().unwrap(), &[]).err().unwrap();
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

/// Accounts have a region, found by a code or a number, and lists to choose from.
fn companies() -> (Describe, Vec<Describe>) {
    let list = |values: &[&str]| values.iter().map(|value| json!({"active": true, "label": value, "value": value})).collect::<Value>();
    let mut company = json!({
        "name": "Company__c", "label": "Company", "createable": true, "updateable": true, "deletable": true, "queryable": true,
        "fields": [
            field("Id", "id", json!({"createable": false, "updateable": false, "idLookup": true})),
            field("Name", "string", json!({"length": 80})),
            field("Key__c", "string", json!({"length": 20, "externalId": true})),
            field("Exact__c", "string", json!({"length": 20, "externalId": true, "caseSensitive": true})),
            field("Tier__c", "picklist", json!({"restrictedPicklist": true, "picklistValues": list(&["Gold", "Silver"])})),
            field("Industry", "picklist", json!({"picklistValues": list(&["Banking", "Retail"])})),
            field("Opened__c", "date", json!({})),
            field("Checked__c", "datetime", json!({})),
            field("Note__c", "string", json!({"length": 80})),
            field("Beds__c", "int", json!({})),
            field("Region__c", "reference", json!({"referenceTo": ["Region__c"], "relationshipName": "Region__r"})),
            field("Part__c", "reference", json!({"referenceTo": ["Company__c"], "relationshipName": "Part__r"})),
        ]
    });
    let mut region = company.clone();
    region["name"] = "Region__c".into();
    company["label"] = "A company".into();
    region["fields"] = json!([
        field("Id", "id", json!({"createable": false, "updateable": false, "idLookup": true})),
        field("Name", "string", json!({"length": 80})),
        field("Code__c", "string", json!({"length": 4, "externalId": true})),
        field("Number__c", "double", json!({"externalId": true})),
    ]);
    (serde_json::from_value(company).unwrap(), vec![serde_json::from_value(region).unwrap()])
}

fn compile_company(format: Value, steps: Value, target: Value) -> Result<Pipeline, Vec<String>> {
    let mut spec = spec(steps, target);
    spec.source = serde_json::from_value(json!({"upload": {"name": "file", "format": {"csv": format}}})).unwrap();
    let (company, regions) = companies();
    Pipeline::compile(&spec, &header(), &company, &regions).map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

#[test]
fn a_parents_field_that_finds_no_parent_is_a_finding() {
    let (company, _) = companies();
    let target = json!({"mapping": [
        {"from": "icao", "to": "Region__r.Code__c"}, {"from": "name", "to": "Part__r.Key__c"}, {"from": "phone", "to": "Nobody__r.Code__c"},
    ]});
    assert_eq!(parents(&spec(json!([]), target), &company), ["Region__c"], "each parent once, and not the object itself");

    let table = [
        ("Region__r.Code__c", None),
        ("Region__r.code__C", None),
        ("Region__r.Id", None),
        ("Part__r.Exact__c", None),
        (
            "Region__r.Cod__c",
            Some(
                "Cod__c: Region__c has no such field, or this user may not see it, did you mean Code__c?; it is found by Id, Code__c, Number__c, or mark a field as External ID in Setup",
            ),
        ),
        (
            "Region__r.name",
            Some(
                "Name: Region__c cannot be found by this field: it is no key; it is found by Id, Code__c, Number__c, or mark a field as External ID in Setup",
            ),
        ),
        (
            "Part__r.Name",
            Some(
                "Name: Company__c cannot be found by this field: it is no key; it is found by Id, Key__c, Exact__c, or mark a field as External ID in Setup",
            ),
        ),
    ];
    for (to, expected) in table {
        let found = compile_company(json!({}), json!([]), json!({"mapping": [{"from": "note", "to": to}]})).err().unwrap_or_default();
        let expected: Vec<String> = expected.map(|text| format!("mapping to {to}: {text}")).into_iter().collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_finds_a_parent_is_checked_as_the_parents_field_is() {
    let target = json!({"mapping": [{"from": "icao", "to": "Region__r.Code__c"}]});
    let mut pipeline = compile_company(json!({}), json!([]), target).unwrap();
    assert_eq!(process(&mut pipeline, ["\u{A0}EDDF ", "", "", "", ""]).unwrap(), ["EDDF"]);
    assert_eq!(failure(&mut pipeline, ["EDDFX", "", "", "", ""]), "Region__r.Code__c takes 4 characters, this has 5");
    let target = json!({"mapping": [{"from": "icao", "to": "Region__r.Number__c"}]});
    let mut pipeline = compile_company(json!({}), json!([]), target).unwrap();
    assert!(failure(&mut pipeline, ["one", "", "", "", ""]).starts_with("Region__r.Number__c takes plain numbers like"));
}

#[test]
fn typed_fields_and_lists_are_checked_and_doubts_are_counted() {
    let target = json!({"mapping": [
        {"from": "icao", "to": "Tier__c"}, {"from": "name", "to": "Name"}, {"from": "phone", "to": "Industry"},
        {"from": "beds", "to": "Beds__c"}, {"from": "note", "to": "Opened__c"},
    ]});
    let mut pipeline = compile_company(json!({"nullWords": ["\\N"]}), json!([]), target).unwrap();
    let mut mapped = Record::new();
    let mut number = 0;
    let mut run = |pipeline: &mut Pipeline, row: [&str; 5]| {
        number += 1;
        match pipeline.process(number, &Record::from(row.to_vec()), &mut mapped) {
            Outcome::Mapped => Ok(mapped.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect::<Vec<_>>()),
            Outcome::Failed(error) => Err(format!("{}: {error}", error.code())),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(run(&mut pipeline, ["gold ", "a", "Bankign", "1", "2026-01-31"]).unwrap(), ["gold", "a", "Bankign", "1", "2026-01-31"]);
    assert_eq!(run(&mut pipeline, ["\\N", "null", "banking", "\\N", "\\N"]).unwrap(), ["", "null", "banking", "", ""]);
    assert_eq!(
        run(&mut pipeline, ["Platinum", "a", "nonsense", "1", ""]).unwrap_err(),
        "NOT_IN_PICKLIST: Tier__c is a restricted picklist without the value \"Platinum\"; it has \"Gold\", \"Silver\""
    );
    assert_eq!(
        run(&mut pipeline, ["Golt", "NULL", "Retail", "1", ""]).unwrap_err(),
        "NOT_IN_PICKLIST: Tier__c is a restricted picklist without the value \"Golt\"; did you mean \"Gold\"?"
    );
    assert_eq!(
        run(&mut pipeline, ["", "a", "", "NaN", ""]).unwrap_err(),
        "WRONG_TYPE: Beds__c takes plain numbers like 1234.5, -12 or 1.2E3, without group separators and signs, not \"NaN\"; if it means nothing, make it blank: by format.csv.nullWords, or by NULLIF in a query"
    );
    assert_eq!(
        run(&mut pipeline, ["", "a", "", "1", "31.01.2026"]).unwrap_err(),
        "WRONG_TYPE: Opened__c takes dates like 2026-01-31, from the years 1700 to 4000, not \"31.01.2026\""
    );
    run(&mut pipeline, ["", "Null", "Bankign", "", ""]).unwrap();
    run(&mut pipeline, ["", "#REF!", "", "", ""]).unwrap();
    let told: Vec<String> = pipeline.warnings().iter().map(ToString::to_string).collect();
    // Of the rows that are sent, and nothing of what they hold but a known word.
    assert_eq!(
        told,
        [
            "Industry: its picklist has no such value; Salesforce adds it (2 rows, the first is row 1)",
            "Name: the text \"null\"; if it means nothing, make it blank: by format.csv.nullWords, or by NULLIF in a query (2 rows, the first is row 2)",
            "Name: the text \"#REF!\"; if it means nothing, make it blank: by format.csv.nullWords, or by NULLIF in a query (row 8)",
        ]
    );
}

#[test]
fn numbers_that_a_column_writes_in_its_own_way_are_sent_as_salesforce_takes_them() {
    let number = json!({"decimal": ",", "thousands": "."});
    let target = json!({"mapping": [
        {"from": "name", "to": "Name"}, {"from": "beds", "to": "Beds__c", "number": number, "blankCells": "Clear"},
    ]});
    let mut pipeline = compile_company(json!({"nullWords": ["-"]}), json!([]), target).unwrap();
    for (cell, sent) in [("1.234,56", "1234.56"), (" -0,5\u{A0}", "-0.5"), ("", "#N/A"), ("-", "#N/A")] {
        assert_eq!(process(&mut pipeline, ["", "a", "", cell, ""]).unwrap(), ["a", sent], "{cell}");
    }
    // Rows of which nothing had to be changed are not copied unseen.
    let mut row = Record::from(vec!["", "a", "", "1.234", ""]);
    row.mark_plain();
    let mut mapped = Record::new();
    assert_eq!(pipeline.process(1, &row, &mut mapped), Outcome::Mapped);
    assert_eq!(&mapped[1], b"1234");
    assert_eq!(
        failure(&mut pipeline, ["", "a", "", "1,2,3", ""]),
        "Beds__c: column \"beds\" is not written as the mapping's `number` says: it has other characters than digits and the signs that \
         `number` names; correct the cell, or `number` if all are written so"
    );
    assert!(failure(&mut pipeline, ["", "a", "", "NaN", ""]).ends_with("make it blank: by format.csv.nullWords, or by NULLIF in a query"));
    for (entry, found) in [
        (json!({"value": "1", "to": "Beds__c", "number": number}), "goes with `from` only"),
        (json!({"formula": "1", "to": "Beds__c", "number": number}), "goes with `from` only"),
        (json!({"from": "beds", "to": "Beds__c", "number": {"decimal": ".", "thousands": "."}}), "the signs in `number` are one"),
    ] {
        let findings = compile_company(json!({}), json!([]), json!({"mapping": [entry]})).err().unwrap();
        assert!(findings.len() == 1 && findings[0].contains(found), "{findings:?}");
    }
}

/// A job whose times are those of this zone.
fn compile_in(zone: &str, steps: Value, mapping: Value) -> Result<Pipeline, Vec<String>> {
    let mut spec = spec(steps, json!({"mapping": mapping}));
    spec.source = serde_json::from_value(json!({"upload": {"name": "file"}, "timeZone": zone})).unwrap();
    let (company, regions) = companies();
    Pipeline::compile(&spec, &header(), &company, &regions).map_err(|findings| findings.iter().map(ToString::to_string).collect())
}

#[test]
fn a_time_without_a_zone_is_sent_as_its_field_takes_it_in_the_zone_of_the_job() {
    let mapping = json!([
        {"from": "name", "to": "Checked__c", "blankCells": "Clear"}, {"from": "name", "to": "Opened__c"}, {"from": "name", "to": "Note__c"},
    ]);
    let mut pipeline = compile_in("Europe/Berlin", json!([]), mapping.clone()).unwrap();
    let mut sent = |cell: &str| process(&mut pipeline, ["", cell, "", "", ""]).unwrap();
    assert_eq!(sent("2026-01-31T00:30:00.000"), ["2026-01-30T23:30:00.000Z", "2026-01-31", "2026-01-31T00:30:00.000"]);
    assert_eq!(sent("\u{A0}2026-01-31T00:30 ")[..2], ["2026-01-30T23:30:00.000Z", "2026-01-31"]);
    for cell in ["2026-01-31T00:30:00Z", "2026-01-31T00:30:00+05:30", "2026-01-31"] {
        assert_eq!(sent(cell), [cell; 3], "{cell}");
    }
    assert_eq!(sent(""), ["#N/A", "", ""]);
    // Rows of which nothing had to be changed are not copied unseen.
    let mut row = Record::from(vec!["", "2026-01-31T09:00:00", "", "", ""]);
    row.mark_plain();
    let mut mapped = Record::new();
    assert_eq!(pipeline.process(1, &row, &mut mapped), Outcome::Mapped);
    assert_eq!(&mapped[0], b"2026-01-31T08:00:00.000Z");
    // Without a zone the cell is sent as it stands.
    let mut plain = compile_company(json!({}), json!([]), json!({"mapping": mapping})).unwrap();
    let cell = "2026-01-31T00:30:00.000";
    assert_eq!(process(&mut plain, ["", cell, "", "", ""]).unwrap(), [cell; 3]);
}

#[test]
fn steps_and_formulas_see_the_time_as_it_stands_and_what_they_make_of_it_is_of_the_zone() {
    let steps = json!([{"filter": "[name] >= \"2026-01-31T00:00\""}, {"dedupe": {"by": ["name"]}}]);
    let mapping = json!([
        {"formula": "COALESCE([phone], [name])", "to": "Checked__c"}, {"formula": "LEFT([name], 10)", "to": "Opened__c"},
        {"from": "icao", "to": "Name"},
    ]);
    let mut pipeline = compile_in("Europe/Berlin", steps, mapping).unwrap();
    let row = ["EDDF", "2026-01-31T00:30:00.000", "", "", ""];
    assert_eq!(process(&mut pipeline, row).unwrap(), ["2026-01-30T23:30:00.000Z", "2026-01-31", "EDDF"]);
    assert_eq!(process(&mut pipeline, row), Err(Outcome::Deduplicated));
    // The same instant, written otherwise, is another text.
    assert!(process(&mut pipeline, ["EDDF", "2026-01-31T00:30:00", "", "", ""]).is_ok());
    assert_eq!(process(&mut pipeline, ["EDDF", "2026-01-30T23:30:00.000", "", "", ""]), Err(Outcome::Filtered));
    // A constant is one of the zone, too.
    let mut constant = compile_in("Europe/Berlin", json!([]), json!([{"value": "2026-07-31T09:00:00", "to": "Checked__c"}])).unwrap();
    assert_eq!(process(&mut constant, [""; 5]).unwrap(), ["2026-07-31T07:00:00.000Z"]);
    let skipped = compile_in("Europe/Berlin", json!([]), json!([{"value": "2026-03-29T02:30:00", "to": "Checked__c"}])).err().unwrap();
    assert!(
        skipped[0].starts_with("mapping to Checked__c: Checked__c: it gets a time that there is not in Europe/Berlin, "),
        "{skipped:?}"
    );
}

#[test]
fn a_skipped_time_fails_its_row_without_being_shown_and_a_time_that_comes_twice_is_counted() {
    let mapping = json!([{"from": "name", "to": "Checked__c"}, {"from": "icao", "to": "Name"}]);
    for (zone, skipped, twice, first) in [
        ("Europe/Berlin", "2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-10-25T00:30:00.000Z"),
        ("Australia/Sydney", "2026-10-04T02:30:00", "2026-04-05T02:30:00", "2026-04-04T15:30:00.000Z"),
    ] {
        let mut pipeline = compile_in(zone, json!([]), mapping.clone()).unwrap();
        match process(&mut pipeline, ["a", skipped, "", "", ""]) {
            Err(Outcome::Failed(error)) => assert_eq!(
                error.result_text(),
                format!(
                    "SKIPPED_TIME: Checked__c: column \"name\" has a time that there is not in {zone}, as the clocks are put forward over it; \
                     correct it, or write it with its offset, as in 2026-01-31T09:00:00+01:00"
                )
            ),
            other => panic!("{zone}: {other:?}"),
        }
        assert!(pipeline.warnings().is_empty());
        assert_eq!(process(&mut pipeline, ["a", twice, "", "", ""]).unwrap(), [first, "a"], "{zone}");
        assert_eq!(process(&mut pipeline, ["a", "2026-01-01T12:00:00", "", "", ""]).unwrap().len(), 2);
        let told: Vec<String> = pipeline.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("Checked__c: a time that comes twice as the clocks of source.timeZone go back"), "{told:?}");
        assert!(!told[0].contains("02:30"), "{told:?}");
    }
    let mut pipeline = compile_in("Europe/Berlin", json!([]), mapping.clone()).unwrap();
    assert_eq!(
        failure(&mut pipeline, ["a", "2026-01-31T24:30:00", "", "", ""]),
        "Checked__c: column \"name\" has a second 60, or a time behind 24:00, which is in no zone; correct it"
    );
    // What leaves the years that Salesforce has when it becomes an instant.
    assert!(failure(&mut pipeline, ["a", "1700-01-01T00:00:00", "", "", ""]).starts_with("Checked__c takes instants like "));
    assert_eq!(
        compile_in("Europe/Atlantis", json!([]), mapping).err().unwrap(),
        ["source: timeZone \"Europe/Atlantis\" is not a time zone: use an IANA name, e.g. Europe/Berlin"]
    );
}

#[test]
fn constants_are_judged_once_and_counted_with_every_row() {
    let target = |to: &str, value: &str| json!({"mapping": [{"from": "name", "to": "Name"}, {"value": value, "to": to}]});
    let found = compile_company(json!({}), json!([]), target("Tier__c", "Bronze")).err().unwrap();
    assert_eq!(found, ["mapping to Tier__c: Tier__c is a restricted picklist without the value \"Bronze\"; it has \"Gold\", \"Silver\""]);
    let found = compile_company(json!({}), json!([]), target("Opened__c", "tomorrow")).err().unwrap();
    assert!(found[0].starts_with("mapping to Opened__c: Opened__c takes dates like 2026-01-31"), "{found:?}");
    let mut pipeline = compile_company(json!({}), json!([]), target("Industry", "Mining")).unwrap();
    for _ in 0..3 {
        process(&mut pipeline, ["", "a", "", "", ""]).unwrap();
    }
    assert_eq!(pipeline.warnings()[0].rows, 3);
    // A person who writes it in a job means it.
    let mut pipeline = compile_company(json!({}), json!([]), json!({"mapping": [{"value": "null", "to": "Name"}]})).unwrap();
    process(&mut pipeline, ["", "", "", "", ""]).unwrap();
    assert!(pipeline.warnings().is_empty());
}

#[test]
fn null_words_are_blank_for_steps_formulas_keys_and_policies() {
    let target = json!({"operation": "Upsert", "matchBy": ["Key__c"], "mapping": [
        {"from": "icao", "to": "Key__c"}, {"from": "name", "to": "Name", "blankCells": "Clear"},
        {"formula": "IF(ISBLANK([beds]), 7, [beds])", "to": "Beds__c"},
    ]});
    let steps = json!([{"filter": "NOT(ISBLANK([note]))"}, {"dedupe": {"by": ["phone"]}}]);
    let mut pipeline = compile_company(json!({"nullWords": ["NULL", "-"]}), steps, target).unwrap();
    assert_eq!(process(&mut pipeline, ["k", " NULL", "-", "-", "x"]).unwrap(), ["k", "#N/A", "7"]);
    assert_eq!(process(&mut pipeline, ["k", "null", "-", "1", "x"]).unwrap(), ["k", "null", "1"]);
    assert_eq!(process(&mut pipeline, ["k", "a", "", "1", "NULL"]), Err(Outcome::Filtered));
    assert_eq!(failure(&mut pipeline, ["-", "a", "", "1", "x"]), "Key__c is blank and must not be: it finds the row");
}

#[test]
fn repeated_keys_are_found_as_salesforce_would_find_them() {
    let run = |to: &str, rows: [&str; 2]| {
        let target =
            json!({"operation": "Upsert", "matchBy": [to], "mapping": [{"from": "icao", "to": to}, {"from": "name", "to": "Name"}]});
        let mut pipeline = compile_company(json!({}), json!([{"dedupe": {"by": ["icao"]}}]), target).unwrap();
        rows.map(|key| process(&mut pipeline, [key, "a", "", "", ""]).is_ok())
    };
    assert_eq!(run("Key__c", ["Alpha", "ALPHA\u{A0}"]), [true, false]);
    assert_eq!(run("Exact__c", ["Alpha", "ALPHA"]), [true, true]);
    assert_eq!(run("Exact__c", ["Alpha", " Alpha"]), [true, false]);
    assert_eq!(run("Id", ["0018c00002DJIpJ", "0018c00002DJIpJAAX"]), [true, false]);
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[ -~]{0,12}", any::<String>(), Just("EDDF".to_owned()), Just("#N/A".to_owned()), "[0-9.]{1,4}"]
}

proptest! {
    #[test]
    fn whatever_the_rows_none_is_lost_and_every_mapped_one_is_whole(rows in proptest::collection::vec(proptest::array::uniform5(word()), 0..20)) {
        let steps = json!([{"filter": "OR(ISBLANK([beds]), [beds] >= 1)"}, {"dedupe": {"by": ["icao", "name"]}}]);
        let mut pipeline = compile(steps, upsert());
        let mut mapped = Record::new();
        let mut count = Accounting::default();
        for row in &rows {
            count.read += 1;
            match pipeline.process(1, &Record::from(row.to_vec()), &mut mapped) {
                Outcome::Mapped => {
                    prop_assert_eq!(mapped.len(), 4);
                    prop_assert!(mapped.iter().all(|cell| std::str::from_utf8(cell).is_ok_and(|text| !text.contains('\r'))));
                    prop_assert!(!formula::is_blank(std::str::from_utf8(&mapped[0]).unwrap()));
                    count.succeeded += 1;
                }
                Outcome::Filtered => count.filtered += 1,
                Outcome::Deduplicated => count.deduplicated += 1,
                Outcome::Failed(_) => count.failed += 1,
            }
        }
        prop_assert!(count.balanced());
    }

    /// Whatever a blank is made of, it is blank for everybody.
    #[test]
    fn every_blank_is_blank_everywhere(blank in proptest::collection::vec(proptest::sample::select(vec![
        ' ', '\t', '\n', '\r', '\u{1}', '\u{85}', '\u{A0}', '\u{AD}', '\u{2003}', '\u{200B}', '\u{202F}', '\u{2060}', '\u{3000}', '\u{FEFF}',
    ]), 0..5)) {
        let blank: String = blank.into_iter().collect();
        let row = [&blank, "a", &blank, &blank, &blank].map(String::from);
        let row = row.each_ref().map(String::as_str);
        let mapping = json!([
            {"from": "icao", "to": "Key__c"}, {"from": "note", "to": "Opened__c", "blankCells": "Clear"}, {"from": "beds", "to": "Beds__c"},
            {"formula": "IF(ISBLANK([note]), \"blank\", \"not\")", "to": "Name"}, {"formula": "TRIM([phone])", "to": "Tier__c"},
        ]);
        let mut insert = compile_company(json!({}), json!([{"dedupe": {"by": ["icao"]}}]), json!({"mapping": mapping.clone()})).unwrap();
        for _ in 0..2 {
            prop_assert_eq!(process(&mut insert, row).unwrap(), ["", "#N/A", "", "blank", ""]);
        }
        let target = json!({"operation": "Upsert", "matchBy": ["Key__c"], "mapping": mapping.clone()});
        let mut upsert = compile_company(json!({}), json!([]), target).unwrap();
        prop_assert_eq!(failure(&mut upsert, row), "Key__c is blank and must not be: it finds the row");
        let mut fails = compile_company(json!({}), json!([]), json!({"blankCells": "Fail", "mapping": [{"from": "note", "to": "Name"}]})).unwrap();
        prop_assert_eq!(failure(&mut fails, row), "Name is blank and must not be (`blankCells: Fail`)");
    }

    #[test]
    fn any_job_compiles_or_is_refused(filter in ".{0,20}", by in word(), to in "[A-Za-z_.:]{0,12}", formula in ".{0,20}", value in word()) {
        let steps = json!([{"filter": filter}, {"dedupe": {"by": [by]}}]);
        let target = json!({"mapping": [{"formula": formula, "to": to}, {"value": value, "to": "Name"}, {"from": to, "to": "Phone"}]});
        let _ = findings(steps, target);
    }
}
