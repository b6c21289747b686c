//! What REST says about rows that are not there, new rows by way of an upsert, and options that are null.

use crate::support::Session;
use serde_json::{Value, json};

#[tokio::test]
async fn a_row_that_never_was_cannot_be_changed() {
    let session = Session::start().await;
    let path = "sobjects/Account/0015e0000000zzzAAA";
    let delete = session.send(session.http.delete(session.url(path))).await;
    for (status, error) in [session.patch(path, json!({"Phone": "1"})).await, delete] {
        assert_eq!((status, error[0]["errorCode"].as_str()), (404, Some("INVALID_CROSS_REFERENCE_KEY")));
        assert_eq!(error[0]["message"], "invalid cross reference id");
    }
    assert_eq!(session.get(path).await.1[0]["errorCode"], "NOT_FOUND");
}

#[tokio::test]
async fn an_upsert_by_id_without_one_creates() {
    let session = Session::start().await;
    let (status, made) = session.post("sobjects/Account/Id", json!({"Name": "A"})).await;
    assert_eq!((status, &made["created"], &made["success"]), (201, &json!(true), &json!(true)), "{made}");
    assert_eq!(session.running.rows("Account", &["Id"])[0][0].as_deref(), made["id"].as_str());
    assert_eq!(session.post("sobjects/Account/Id", json!({"Phone": "1"})).await.1[0]["errorCode"], "REQUIRED_FIELD_MISSING");
}

#[tokio::test]
async fn an_option_that_is_null_is_not_set() {
    let session = Session::start().await;
    let row = || json!({"attributes": {"type": "Account"}, "Name": "A"});
    let (status, each) =
        session.post("composite/sobjects", json!({"allOrNone": null, "records": [row(), {"attributes": {"type": "Account"}}]})).await;
    assert_eq!((status, &each[0]["success"], &each[1]["success"]), (200, &json!(true), &json!(false)), "{each}");
    let step = |body: Value| json!({"method": "POST", "url": "/services/data/v66.0/sobjects/Account", "referenceId": "a", "body": body});
    let composite = json!({"allOrNone": null, "compositeRequest": [step(json!({"Name": "B"}))]});
    assert_eq!(session.post("composite", composite).await.1["compositeResponse"][0]["httpStatusCode"], 201);
    let batch = json!({"haltOnError": null, "batchRequests": [{"method": "GET", "url": "v66.0/limits"}]});
    assert_eq!(session.post("composite/batch", batch).await.1["hasErrors"], false);
}

#[tokio::test]
async fn failed_rows_of_an_upsert_say_whether_they_would_be_new() {
    let session = Session::start().await;
    let row = |key: &str, more: Value| {
        let mut row = json!({"attributes": {"type": "Account"}, "External_Id__c": key, "Name": "A"});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let upsert = async |all_or_none: bool, records: Vec<Value>| {
        let body = json!({"allOrNone": all_or_none, "records": records});
        let (_, answers) = session.patch("composite/sobjects/Account/External_Id__c", body).await;
        let answers = answers.as_array().unwrap().iter().map(|row| (row["success"].clone(), row["created"].clone()));
        answers.collect::<Vec<_>>()
    };
    let (yes, no) = (|| json!(true), || json!(false));
    assert_eq!(upsert(false, vec![row("K1", json!({}))]).await, [(yes(), yes())]);
    let bad = json!({"OwnerId": "nobody"});
    assert_eq!(upsert(false, vec![row("K1", bad.clone()), row("K2", bad.clone())]).await, [(no(), no()), (no(), yes())]);
    assert_eq!(
        upsert(true, vec![row("K1", json!({})), row("K3", json!({})), row("K2", bad)]).await,
        [(no(), no()), (no(), yes()), (no(), yes())]
    );
    assert_eq!(session.running.count("Account"), 1);
    // Only upserts speak of it.
    let insert = json!({"records": [{"attributes": {"type": "Account"}}]});
    assert!(session.post("composite/sobjects", insert).await.1[0].get("created").is_none());
}

#[tokio::test]
async fn the_identity_has_its_photos() {
    let session = Session::start().await;
    let (_, resources) = session.get("").await;
    let (status, identity) = session.send(session.http.get(resources["identity"].as_str().unwrap())).await;
    assert_eq!(status, 200);
    for size in ["picture", "thumbnail"] {
        assert!(identity["photos"][size].as_str().unwrap().starts_with(&session.running.url), "{identity}");
    }
}

#[tokio::test]
async fn a_file_goes_in_as_base_64_and_comes_out_as_bytes() {
    let session = Session::start().await;
    let file = |data: &str| json!({"Title": "Plan", "PathOnClient": "plan.txt", "VersionData": data});
    let (status, made) = session.post("sobjects/ContentVersion", file("aGVsbG8=")).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    let url = format!("/services/data/v66.0/sobjects/ContentVersion/{id}/VersionData");
    let (_, row) = session.get(&format!("sobjects/ContentVersion/{id}")).await;
    let (_, found) = session.query("SELECT Title, VersionData FROM ContentVersion").await;
    assert_eq!((&row["VersionData"], &found["records"][0]["VersionData"]), (&json!(url), &json!(url)));
    let bytes = session.get(&format!("sobjects/ContentVersion/{id}/VersionData")).await;
    assert_eq!(bytes, (200, json!("hello")));
    assert_eq!(session.get("sobjects/ContentVersion/0685e0000000zzz/VersionData").await.0, 404);
    assert_eq!(session.post("sobjects/ContentVersion", file("not base 64")).await.1[0]["errorCode"], "INVALID_TYPE_ON_FIELD_IN_RECORD");
    let (_, refused) = session.query("SELECT Id FROM ContentVersion WHERE VersionData != null").await;
    assert_eq!(refused[0]["errorCode"], "INVALID_FIELD");
    let bulk = session.run(json!({"object": "ContentVersion", "operation": "insert"}), "Title,VersionData\nA,aGVsbG8=\n").await;
    assert_eq!(bulk.info["errorMessage"], "InvalidBatch : Field name not found : VersionData");
}
