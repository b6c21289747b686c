//! Bulk API 2.0 over real HTTP: the whole life of jobs, what is refused, what results say.

use crate::support::{Session, csv_rows};
use serde_json::json;

#[tokio::test]
async fn a_job_runs_from_open_to_complete_and_is_seen_in_progress() {
    let session = Session::start().await;
    let job = session.create(json!({"object": "account", "operation": "insert"})).await;
    assert_eq!(job["state"], "Open");
    assert_eq!(job["object"], "Account");
    assert_eq!(job["apiVersion"], json!(66.0));
    assert_eq!(job["contentUrl"], format!("services/data/v66.0/jobs/ingest/{}/batches", job["id"].as_str().unwrap()));
    let id = job["id"].as_str().unwrap();
    assert_eq!(session.put(id, "Name,icao__c\nFrankfurt,EDDF\n\"Bad, too long\",EDDFX\n,EDDM\n").await.0, 201);
    assert_eq!(session.state(id, "UploadComplete").await.1["state"], "UploadComplete");
    assert_eq!(session.job(id).await["state"], "InProgress");
    let done = session.wait(id).await;
    assert_eq!(
        (done["state"].as_str(), &done["numberRecordsProcessed"], &done["numberRecordsFailed"]),
        (Some("JobComplete"), &json!(3), &json!(2))
    );

    let good = csv_rows(&session.results(id, "successfulResults").await);
    assert_eq!(good[0], ["sf__Id", "sf__Created", "Name", "icao__c"]);
    assert_eq!(good[1][1..], ["true", "Frankfurt", "EDDF"]);
    assert_eq!(good[1][0].len(), 18);
    let mut bad = csv_rows(&session.results(id, "failedResults").await);
    bad[1..].sort();
    assert_eq!(bad[1], ["", "REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --", "", "EDDM"]);
    assert_eq!(bad[2], ["", "STRING_TOO_LONG:ICAO: data value too large: EDDFX (max length=4):icao__c --", "Bad, too long", "EDDFX"]);
    assert_eq!(csv_rows(&session.results(id, "unprocessedrecords").await), [["Name", "icao__c"]]);
    assert_eq!(session.running.count("Account"), 1);
}

#[tokio::test]
async fn upsert_update_and_delete_say_what_they_did() {
    let session = Session::start().await;
    let upsert = json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "icao__c"});
    let first = session.run(upsert.clone(), "Name,icao__c\nA,EDDF\nB,EDDM\n").await;
    assert_eq!(first.created(), ["true", "true"]);
    let second = session.run(upsert, "Name,icao__c\nA2,eddf\nC,EDDH\nD,EDDH\nE,\n").await;
    let mut created = second.created();
    created.sort();
    assert_eq!(created, ["false", "true"]);
    let mut errors = second.errors();
    errors.sort();
    assert_eq!(
        errors,
        ["DUPLICATE_EXTERNAL_ID:Duplicate external id specified: EDDH:icao__c --", "MISSING_ARGUMENT:icao__c not specified:icao__c --"]
    );

    let id = &first.success[1][0];
    let update =
        session.run(json!({"object": "Account", "operation": "update"}), &format!("Id,Phone,Fax\n{id},123,\n001000000000000,1,2\n")).await;
    assert_eq!(update.created(), ["false"]);
    assert!(update.errors()[0].starts_with("INVALID_CROSS_REFERENCE_KEY"));
    assert_eq!(update.failed[1][0], "001000000000000");
    let clear = session.run(json!({"object": "Account", "operation": "update"}), &format!("Id,Phone\n{id},#N/A\n")).await;
    assert_eq!(clear.created(), ["false"]);

    let delete = session.run(json!({"object": "Account", "operation": "delete"}), &format!("Id\n{id}\n{id}\n")).await;
    assert_eq!((delete.created(), delete.errors()), (vec!["false".into()], vec!["ENTITY_IS_DELETED:entity is deleted:--".into()]));
    assert_eq!(session.running.count("Account"), 2);
}

#[tokio::test]
async fn an_upsert_by_id_makes_the_rows_that_have_none() {
    let session = Session::start().await;
    let upsert = json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "Id"});
    let made = session.run(upsert.clone(), "Name\nA\nB\n").await;
    assert_eq!(made.created(), ["true", "true"]);
    let id = &made.success[1][0];
    let mixed = session.run(upsert, &format!("Id,Name\n{id},C\n,D\n")).await;
    let mut created = mixed.created();
    created.sort();
    assert_eq!(created, ["false", "true"]);
    // Another key must be there.
    let by_key = json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "icao__c"});
    assert_eq!(session.run(by_key, "Name\nA\n").await.info["errorMessage"], "InvalidBatch : Field name not found : icao__c");
}

#[tokio::test]
async fn an_upload_without_a_byte_is_a_job_without_rows() {
    let session = Session::start().await;
    for operation in ["insert", "delete"] {
        let done = session.run(json!({"object": "Account", "operation": operation}), "").await;
        let counts = (&done.info["numberRecordsProcessed"], &done.info["numberRecordsFailed"]);
        assert_eq!((done.info["state"].as_str(), counts), (Some("JobComplete"), (&json!(0), &json!(0))), "{operation}");
        for set in [done.success, done.failed, done.unprocessed] {
            assert!(set.is_empty(), "{set:?}");
        }
    }
}

#[tokio::test]
async fn what_spoils_a_whole_job() {
    let session = Session::start().await;
    let insert = json!({"object": "Account", "operation": "insert"});
    for (data, message) in [
        ("Name,Nam\nA,B\n", "InvalidBatch : Field name not found : Nam"),
        ("\u{feff}Name\nA\n", "InvalidBatch : Field name not found : \u{feff}Name"),
        ("Name\r\nA\r\n", "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF"),
    ] {
        let job = session.run(insert.clone(), data).await;
        assert_eq!((job.info["state"].as_str(), job.info["errorMessage"].as_str()), (Some("Failed"), Some(message)));
        assert_eq!(job.unprocessed.len(), 2);
    }
    let delete = session.run(json!({"object": "Account", "operation": "delete"}), "Id,Name\n001,A\n").await;
    assert_eq!(delete.info["errorMessage"], "InvalidBatch : The 'delete' batch must contain only ids");
    let crlf = json!({"object": "Account", "operation": "insert", "lineEnding": "CRLF", "columnDelimiter": "SEMICOLON"});
    let crlf = session.run(crlf, "Name;Phone\r\nA;\"1\r\n2\"\r\n").await;
    assert_eq!((&crlf.info["numberRecordsProcessed"], &crlf.info["numberRecordsFailed"]), (&json!(1), &json!(0)));
    assert_eq!(crlf.success[0], ["sf__Id;\"sf__Created\";Name;Phone"]);
}

#[tokio::test]
async fn rows_with_bad_quotes_fail_alone() {
    let session = Session::start().await;
    let job = session.run(json!({"object": "Account", "operation": "insert"}), "Name,Phone\n\"A\", \"1\"\nB,2\nC\n").await;
    assert_eq!((job.created().len(), job.errors().len()), (1, 2));
}

#[tokio::test]
async fn an_aborted_job_leaves_its_rows_unprocessed() {
    let session = Session::start().await;
    let job = session.create(json!({"object": "Account", "operation": "insert"})).await;
    let id = job["id"].as_str().unwrap();
    session.put(id, "Name\nA\nB\n").await;
    session.state(id, "UploadComplete").await;
    assert_eq!(session.state(id, "Aborted").await.1["state"], "Aborted");
    assert_eq!(csv_rows(&session.results(id, "unprocessedRecords/").await), [["Name"], ["A"], ["B"]]);
    assert_eq!(session.running.count("Account"), 0);
    assert_eq!(session.state(id, "UploadComplete").await.0, 400);
    assert_eq!(session.delete_job(id).await, 204);
    assert_eq!(session.get(&format!("jobs/ingest/{id}")).await.0, 404);
}

#[tokio::test]
async fn requests_in_the_wrong_order_are_refused() {
    let session = Session::start().await;
    let job = session.create(json!({"object": "Account", "operation": "insert"})).await;
    let id = job["id"].as_str().unwrap();
    assert_eq!(session.get(&format!("jobs/ingest/{id}/successfulResults")).await.0, 400);
    session.put(id, "Name\nA\n").await;
    session.put(id, "Name\nB\n").await;
    let (status, error) = session.state(id, "UploadComplete").await;
    assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some("INVALIDJOB")));
    assert!(error[0]["message"].as_str().unwrap().starts_with("Found multipe contents for job"));
    let (status, error) =
        session.post("jobs/ingest", json!({"object": "Account", "operation": "upsert", "externalIdFieldName": "Website"})).await;
    assert_eq!(status, 400);
    assert_eq!(
        error[0]["message"],
        "InvalidJob : Field name provided, website does not match an External ID, Salesforce Id, or indexed field for Account"
    );
}

#[tokio::test]
async fn parents_are_found_by_their_keys() {
    let session = Session::start().await;
    session.run(json!({"object": "Account", "operation": "insert"}), "Name,External_Id__c\nA,P1\n").await;
    let job = session.run(json!({"object": "Contact", "operation": "insert"}), "LastName,Account.External_Id__c\nX,P1\nY,P9\n").await;
    assert_eq!(job.created(), ["true"]);
    assert_eq!(job.errors(), ["INVALID_FIELD:Foreign key external ID: P9 not found for field External_Id__c in entity Account:--"]);
    let bad = session.run(json!({"object": "Lead", "operation": "insert"}), "LastName,Company,Owner.Email\nX,Y,z@example.org\n").await;
    assert_eq!(bad.info["errorMessage"], "InvalidBatch : Field name not found : Owner.Email");
}

#[tokio::test]
async fn many_rows_come_back_shuffled_and_complete() {
    let session = Session::start().await;
    let rows: String = (0..25_000).map(|n| format!("A{n},K{n}\n")).collect();
    let job = session.run(json!({"object": "Account", "operation": "insert"}), &format!("Name,External_Id__c\n{rows}")).await;
    let names: Vec<&String> = job.success[1..].iter().map(|row| &row[2]).collect();
    assert_eq!(names.len(), 25_000);
    assert_ne!(names[0], "A0");
    assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), 25_000);
}

#[tokio::test]
async fn one_multipart_request_makes_a_whole_job() {
    let session = Session::start().await;
    let body = "--B\r\nContent-Type: application/json\r\nContent-Disposition: form-data; name=\"job\"\r\n\r\n\
                {\"object\":\"Account\",\"operation\":\"insert\"}\r\n--B\r\nContent-Type: text/csv\r\n\
                Content-Disposition: form-data; name=\"content\"; filename=\"content\"\r\n\r\nName\nA\nB\r\n--B--\r\n";
    let request = session.http.post(session.url("jobs/ingest/")).header("content-type", "multipart/form-data; boundary=B").body(body);
    let (status, job) = session.send(request).await;
    assert_eq!((status, job["state"].as_str()), (200, Some("UploadComplete")));
    assert_eq!(session.wait(job["id"].as_str().unwrap()).await["numberRecordsProcessed"], 2);
    let (_, list) = session.get("jobs/ingest?jobType=V2Ingest").await;
    assert_eq!((&list["done"], list["records"].as_array().unwrap().len()), (&json!(true), 1));
}

#[tokio::test]
async fn uploads_may_be_zipped_but_not_too_large_or_of_another_type() {
    let session = Session::with(salesforce_emulator::Emulator::builder().behaviour(|behaviour| behaviour.upload_limit = 20)).await;
    let zipped = "1f8b08000000000002fff34bcc4de58aca2c28484de10200d45a1b050c000000";
    let zipped: Vec<u8> = (0..zipped.len()).step_by(2).map(|at| u8::from_str_radix(&zipped[at..at + 2], 16).unwrap()).collect();
    let job = session.create(json!({"object": "Account", "operation": "insert"})).await;
    let id = job["id"].as_str().unwrap();
    let put = |content_type: &str, body: Vec<u8>| {
        session.http.put(session.url(&format!("jobs/ingest/{id}/batches"))).header("content-type", content_type).body(body)
    };
    assert_eq!(session.send(put("application/json", b"Name\nA\n".to_vec())).await.0, 415);
    assert_eq!(session.send(put("text/csv", b"Name\nmuch too long a name\n".to_vec())).await.0, 413);
    assert_eq!(session.send(put("text/csv; charset=UTF-8", zipped).header("content-encoding", "gzip")).await.0, 201);
    session.state(id, "UploadComplete").await;
    session.wait(id).await;
    assert_eq!(session.running.rows("Account", &["Name"]), [[Some("Zipped".to_owned())]]);
}

#[tokio::test]
async fn an_abort_between_batches_splits_the_rows_exactly() {
    let session = Session::start().await;
    let rows: String = (0..20_001).map(|n| format!("A{n}\n")).collect();
    let job = session.create(json!({"object": "Account", "operation": "insert"})).await;
    let id = job["id"].as_str().unwrap();
    session.put(id, &format!("Name\n{rows}")).await;
    session.state(id, "UploadComplete").await;
    // Without a poll the last batch waits; the two before it are written.
    while session.running.jobs()[0].processed < 20_000 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(session.state(id, "Aborted").await.0, 200);
    let written = csv_rows(&session.results(id, "successfulResults").await).len() - 1;
    let left = csv_rows(&session.results(id, "unprocessedrecords").await);
    assert_eq!((written, &left[1..]), (20_000, &[vec!["A20000".to_owned()]][..]));
    assert_eq!(session.running.count("Account"), 20_000);
}

#[tokio::test]
async fn jobs_are_forgotten_seven_days_after_their_end() {
    let session = Session::start().await;
    session.run(json!({"object": "Account", "operation": "insert"}), "Name\nA\n").await;
    let id = session.running.jobs()[0].id.clone();
    session.running.advance_clock(std::time::Duration::from_secs(8 * 24 * 3600));
    let session = session.renew().await;
    assert_eq!(session.get(&format!("jobs/ingest/{id}")).await.0, 404);
}
