//! What a cell may hold and what it becomes: keys, nulls, dates, blank lines, and the words a wrong value is refused with.

use crate::support::Session;
use serde_json::{Value, json};

fn job(object: &str, operation: &str) -> Value {
    json!({"object": object, "operation": operation})
}

async fn ids(session: &Session, object: &str, csv: &str) -> Vec<String> {
    let done = session.run(job(object, "insert"), csv).await;
    assert_eq!(done.errors(), [""; 0], "{csv}");
    done.success[1..].iter().map(|row| row[0].clone()).collect()
}

#[tokio::test]
async fn keys_are_stored_and_compared_without_the_space_around_them() {
    let session = Session::start().await;
    let upsert = json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "External_Id__c"});
    session.run(upsert.clone(), "External_Id__c,Name\n \tK1 ,A\n").await;
    assert_eq!(session.running.rows("Account", &["External_Id__c"]), [[Some("K1".to_owned())]]);
    let again = session.run(upsert, "External_Id__c,Name\nk1 ,B\n\"K1\n\",C\n\" \",D\n").await;
    assert_eq!(again.created(), ["false"]);
    let mut errors = again.errors();
    errors.sort();
    assert_eq!(
        errors,
        [
            "DUPLICATE_EXTERNAL_ID:Duplicate external id specified: K1:External_Id__c --",
            "MISSING_ARGUMENT:External_Id__c not specified:External_Id__c --",
        ]
    );
    // A parent is found by the same text, a unique value is taken by it, and only spaces are no value.
    let children = session.run(job("Contact", "insert"), "LastName,Account.External_Id__c\nX, K1\n").await;
    assert_eq!(children.errors(), [""; 0]);
    let taken = session.run(job("Account", "insert"), "Name,External_Id__c\nE, k1\nF,\"  \"\nG,\"  \"\n").await;
    assert!(taken.errors()[0].starts_with("DUPLICATE_VALUE:"), "{:?}", taken.errors());
    assert_eq!(taken.created().len(), 2);
    assert_eq!(session.get("sobjects/Account/External_Id__c/%20K1%20").await.0, 200);
    // Other text stays as it was sent.
    assert_eq!(ids(&session, "Lead", "LastName,Company\n A , B\n").await.len(), 1);
    assert_eq!(session.running.rows("Lead", &["LastName", "Company"]), [[Some(" A ".to_owned()), Some(" B".to_owned())]]);
}

#[tokio::test]
async fn a_box_cannot_be_null() {
    let session = Session::start().await;
    let id = &ids(&session, "Account", "Name,Verified__c\nA,true\nNew,#N/A\n").await[0];
    assert_eq!(session.running.rows("Account", &["Verified__c"])[1][0].as_deref(), Some("false"), "a new row has the default");
    let update = session.run(job("Account", "update"), &format!("Id,Phone,Verified__c\n{id},1,#N/A\n")).await;
    assert_eq!(
        update.errors(),
        ["INVALID_FIELD:Failed to deserialize field at col 2. Due to, '#N/A' is not a valid value for the type xsd:boolean:Verified__c --"]
    );
    assert_eq!(session.running.rows("Account", &["Verified__c"])[0][0].as_deref(), Some("true"));
    let words = "Cannot deserialize instance of boolean from VALUE_NULL value null or request may be missing a required field";
    for (status, error) in [
        session.patch(&format!("sobjects/Account/{id}"), json!({"Verified__c": null})).await,
        session.post("sobjects/Account", json!({"Name": "B", "Verified__c": null})).await,
    ] {
        assert_eq!((status, error[0]["errorCode"].as_str(), error[0]["message"].as_str()), (400, Some("JSON_PARSER_ERROR"), Some(words)));
    }
}

#[tokio::test]
async fn a_parents_key_cannot_be_null_but_the_reference_can() {
    let session = Session::start().await;
    ids(&session, "Account", "Name,External_Id__c\nA,P1\n").await;
    let id = &ids(&session, "Contact", "LastName,Account.External_Id__c\nX,P1\n").await[0];
    let update = session.run(job("Contact", "update"), &format!("Id,Account.External_Id__c\n{id},#N/A\n")).await;
    assert_eq!(update.errors(), ["INVALID_FIELD:Foreign key external ID: #N/A not found for field External_Id__c in entity Account:--"]);
    assert!(session.running.rows("Contact", &["AccountId"])[0][0].is_some());
    let update = session.run(job("Contact", "update"), &format!("Id,AccountId\n{id},#N/A\n")).await;
    assert_eq!((update.errors().len(), session.running.rows("Contact", &["AccountId"])), (0, vec![vec![None]]));
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_told_with_its_column() {
    let session = Session::start().await;
    for (field, value, kind) in [
        ("Opened__c", "31.01.2026", "xsd:date"),
        ("Checked_At__c", "2026-01-31", "xsd:dateTime"),
        ("Verified__c", "yes", "xsd:boolean"),
        ("NumberOfEmployees", "1.5", "xsd:int"),
        ("AnnualRevenue", "1 000", "xsd:double"),
    ] {
        let done = session.run(job("Account", "insert"), &format!("Name,Phone,{field}\nA,1,{value}\n")).await;
        let expected = format!(
            "INVALID_FIELD:Failed to deserialize field at col 2. Due to, '{value}' is not a valid value for the type {kind}:{field} --"
        );
        assert_eq!(done.errors(), [expected]);
    }
    let (_, error) = session.post("sobjects/Account", json!({"Name": "A", "Opened__c": "31.01.2026"})).await;
    assert_eq!(error[0]["errorCode"], "JSON_PARSER_ERROR");
}

#[tokio::test]
async fn dates_outside_of_1700_to_4000_are_refused() {
    let session = Session::start().await;
    let done = session.run(job("Account", "insert"), "Name,Opened__c\nA,1700-01-01\nB,4000-12-31\nC,1699-12-31\nD,4001-01-01\n").await;
    let mut errors = done.errors();
    errors.sort();
    assert_eq!(
        errors,
        [
            "FIELD_INTEGRITY_EXCEPTION:Opened: invalid date: Mon Jan 01 00:00:00 GMT 4001:Opened__c --",
            "FIELD_INTEGRITY_EXCEPTION:Opened: invalid date: Thu Dec 31 00:00:00 GMT 1699:Opened__c --",
        ]
    );
    let (status, error) = session.post("sobjects/Account", json!({"Name": "A", "Checked_At__c": "9999-12-31T00:00:00Z"})).await;
    assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some("FIELD_INTEGRITY_EXCEPTION")), "{error}");
}

#[tokio::test]
async fn a_line_with_nothing_on_it_is_no_row_and_empty_quotes_are_one() {
    let session = Session::start().await;
    let done = session.run(job("Account", "insert"), "Name\n\nA\n\n\"\"\n\nB\n\n").await;
    assert_eq!((&done.info["numberRecordsProcessed"], &done.info["numberRecordsFailed"]), (&json!(3), &json!(1)));
    assert_eq!(done.errors(), ["REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --"]);
    let aborted = session.create(job("Account", "insert")).await;
    let id = aborted["id"].as_str().unwrap();
    session.put(id, "Name\n\nA\n\"\"\n\n").await;
    session.state(id, "Aborted").await;
    assert_eq!(session.results(id, "unprocessedrecords").await, "Name\n\"A\"\n\"\"\n");
}
