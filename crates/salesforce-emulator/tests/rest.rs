//! Rows, queries, Collections and composite requests over real HTTP.

use crate::support::Session;
use salesforce_emulator::{DEFAULT_SCHEMA, Emulator};
use serde_json::{Value, json};

async fn account(session: &Session, body: Value) -> String {
    let (status, answer) = session.post("sobjects/Account", body).await;
    assert_eq!(status, 201, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_row_lives_and_dies_by_rest() {
    let session = Session::start().await;
    let id = account(&session, json!({"Name": "A", "icao__c": "EDDF", "Elevation__c": 364.5, "Phone": ""})).await;
    let (status, row) = session.get(&format!("sobjects/account/{}?fields=Name,Elevation__c,Phone", &id[..15])).await;
    assert_eq!((status, &row["Elevation__c"], &row["Phone"]), (200, &json!(364.5), &Value::Null));
    assert_eq!(row["attributes"], json!({"type": "Account", "url": format!("/services/data/v66.0/sobjects/Account/{id}")}));
    assert_eq!(session.patch(&format!("sobjects/Account/{id}"), json!({"Phone": "1"})).await.0, 204);
    assert_eq!(session.send(session.http.delete(session.url(&format!("sobjects/Account/{id}")))).await.0, 204);
    let (status, error) = session.patch(&format!("sobjects/Account/{id}"), json!({"Phone": "2"})).await;
    assert_eq!((status, error[0]["errorCode"].as_str()), (404, Some("ENTITY_IS_DELETED")));
    assert_eq!(session.get("sobjects/Account/0015e0000000zzz").await.0, 404);
}

#[tokio::test]
async fn upsert_by_key_finds_none_one_and_many() {
    let session = Session::start().await;
    let (status, made) = session.patch("sobjects/Lead/External_Id__c/K1", json!({"LastName": "A", "Company": "B"})).await;
    assert_eq!((status, &made["created"]), (201, &json!(true)));
    let (status, changed) = session.patch("sobjects/Lead/External_Id__c/K1", json!({"City": "Bonn"})).await;
    assert_eq!((status, &changed["created"], &changed["id"]), (200, &json!(false), &made["id"]));
    session.post("sobjects/Lead", json!({"LastName": "C", "Company": "D", "External_Id__c": "K1"})).await;
    let (status, many) = session.patch("sobjects/Lead/External_Id__c/K1", json!({"City": "Ulm"})).await;
    assert_eq!((status, many.as_array().unwrap().len()), (300, 2));
    let (status, error) = session.patch("sobjects/Lead/Namez/K1", json!({})).await;
    assert_eq!(status, 404);
    assert_eq!(error[0]["message"], "Provided external ID field does not exist or is not accessible: Namez");
    assert_eq!(session.patch("sobjects/Lead/External_Id__c/K9?updateOnly=true", json!({"City": "Ulm"})).await.0, 404);
}

#[tokio::test]
async fn refusals_name_code_and_fields() {
    let session = Session::start().await;
    let refused = async |body: Value| session.post("sobjects/Account", body).await.1[0].clone();
    assert_eq!(
        refused(json!({"Phone": "1"})).await,
        json!({
            "errorCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Name]", "fields": ["Name"],
        })
    );
    assert_eq!(refused(json!({"Name": "A", "Nope": 1})).await["message"], "No such column 'Nope' on sobject of type Account");
    assert_eq!(refused(json!({"Name": 5})).await["errorCode"], "JSON_PARSER_ERROR");
    assert_eq!(
        refused(json!({"Name": "A", "Elevation__c": 30001})).await,
        json!({
            "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "The elevation is above every place on Earth", "fields": ["Elevation__c"],
        })
    );
    assert_eq!(session.post("sobjects/Nope", json!({})).await.0, 404);
    assert_eq!(session.send(session.http.put(session.url("sobjects/Account"))).await.0, 404);
}

#[tokio::test]
async fn queries_filter_order_join_and_nest() {
    let session = Session::start().await;
    for (name, elevation) in [("Alpha", 1), ("beta", 20), ("Gamma", 300)] {
        let id = account(&session, json!({"Name": name, "Elevation__c": elevation, "External_Id__c": name})).await;
        session.post("sobjects/Contact", json!({"LastName": name, "AccountId": id})).await;
    }
    account(&session, json!({"Name": "O'Hare"})).await;
    let names = async |condition: &str| {
        let (status, body) = session.query(&format!("SELECT Name FROM Account {condition}")).await;
        assert_eq!(status, 200, "{condition}: {body}");
        body["records"].as_array().unwrap().iter().map(|row| row["Name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("WHERE Elevation__c > 1 ORDER BY Elevation__c DESC").await, ["Gamma", "beta"]);
    assert_eq!(names("WHERE Name LIKE '%A' AND NOT Name = 'alpha' ORDER BY Name").await, ["beta", "Gamma"]);
    assert_eq!(names("WHERE External_Id__c IN ('ALPHA', 'gamma') ORDER BY Name").await, ["Alpha", "Gamma"]);
    assert_eq!(names(r"WHERE Name = 'O\'Hare'").await, ["O'Hare"]);
    assert_eq!(names("WHERE Elevation__c = null").await, ["O'Hare"]);
    assert_eq!(names("WHERE Id IN (SELECT AccountId FROM Contact WHERE LastName = 'beta')").await, ["beta"]);
    assert_eq!(names("WHERE CreatedDate = TODAY AND Elevation__c != null ORDER BY Name LIMIT 1 OFFSET 1").await, ["beta"]);
    let (_, body) = session.query("SELECT LastName, Account.Name, Account.Owner.Username FROM Contact ORDER BY LastName LIMIT 1").await;
    assert_eq!(
        (&body["records"][0]["Account"]["Name"], &body["records"][0]["Account"]["Owner"]["Username"]),
        (&json!("Alpha"), &json!("integration@emulator.invalid"))
    );
    let (_, body) =
        session.query("SELECT Name, (SELECT LastName FROM Contacts) FROM Account WHERE Name IN ('Alpha', 'O\\'Hare') ORDER BY Name").await;
    assert_eq!(body["records"][0]["Contacts"]["records"][0]["LastName"], "Alpha");
    assert_eq!(body["records"][1]["Contacts"], Value::Null);
    let (_, body) = session.query("SELECT COUNT(Id) CNT, MAX(Elevation__c) FROM Account").await;
    assert_eq!(body["records"][0], json!({"attributes": {"type": "AggregateResult"}, "CNT": 4, "expr0": 300.0}));
    assert_eq!(session.query("SELECT COUNT() FROM Account").await.1, json!({"totalSize": 4, "done": true, "records": []}));
}

#[tokio::test]
async fn what_a_query_may_not_say() {
    let session = Session::start().await;
    for (soql, code) in [
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nope", "INVALID_TYPE"),
        ("SELECT Id FROM ScratchOrgInfo", "INVALID_TYPE"),
        ("SELECT Id FROM Account WHERE Elevation__c = '1'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Name, COUNT(Id) FROM Account", "MALFORMED_QUERY"),
    ] {
        let (status, error) = session.query(soql).await;
        assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some(code)), "{soql}");
    }
    assert_eq!(session.get("query/01g5e0000000000-2000").await.1[0]["errorCode"], "INVALID_QUERY_LOCATOR");
}

#[tokio::test]
async fn long_answers_come_in_pages() {
    let session = Session::start().await;
    let rows: String = (0..4_100).map(|n| format!("A{n}\n")).collect();
    session.run(json!({"object": "Account", "operation": "insert"}), &format!("Name\n{rows}")).await;
    let (mut path, mut sizes) = ("query?q=SELECT+Id+FROM+Account".to_owned(), Vec::new());
    loop {
        let (_, body) = session.get(&path).await;
        sizes.push(body["records"].as_array().unwrap().len());
        match body["nextRecordsUrl"].as_str() {
            Some(next) => path = next.strip_prefix("/services/data/v66.0/").unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(sizes, [2_000, 2_000, 100]);
}

#[tokio::test]
async fn collections_answer_in_order_and_all_or_none_means_it() {
    let session = Session::start().await;
    let records = json!([
        {"attributes": {"type": "Account"}, "Name": "A"}, {"attributes": {"type": "Account"}}, {"attributes": {"type": "Contact"}, "LastName": "C"},
    ]);
    let (_, all) = session.post("composite/sobjects/", json!({"allOrNone": true, "records": records})).await;
    let codes: Vec<&Value> = all.as_array().unwrap().iter().map(|row| &row["errors"][0]["statusCode"]).collect();
    assert_eq!(codes, ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING", "ALL_OR_NONE_OPERATION_ROLLED_BACK"]);
    assert_eq!(session.running.count("Account") + session.running.count("Contact"), 0);
    let (_, each) = session.post("composite/sobjects", json!({"records": records})).await;
    assert_eq!(each.as_array().unwrap().iter().map(|row| row["success"] == true).collect::<Vec<_>>(), [true, false, true]);
    assert!(each[1].get("id").is_none());
    let upsert = json!({"records": [{"attributes": {"type": "Account"}, "Name": "B", "icao__c": "EDDF"}]});
    assert_eq!(session.patch("composite/sobjects/Account/icao__c", upsert.clone()).await.1[0]["created"], true);
    assert_eq!(session.patch("composite/sobjects/Account/icao__c", upsert).await.1[0]["created"], false);
    let id = each[0]["id"].as_str().unwrap();
    let (_, read) = session.get(&format!("composite/sobjects/Account?ids={id},001000000000000&fields=Name")).await;
    assert_eq!((&read[0]["Name"], &read[1]), (&json!("A"), &Value::Null));
    let delete =
        session.http.delete(session.url(&format!("composite/sobjects?ids={id},{}&allOrNone=false", each[2]["id"].as_str().unwrap())));
    assert_eq!(session.send(delete).await.1.as_array().unwrap().len(), 2);
    let many: Vec<Value> = (0..201).map(|n| json!({"attributes": {"type": "Account"}, "Name": n.to_string()})).collect();
    assert_eq!(session.post("composite/sobjects", json!({"records": many})).await.0, 400);
}

#[tokio::test]
async fn a_composite_step_uses_an_earlier_one_and_a_failure_takes_all_back() {
    let session = Session::start().await;
    let steps = |last: Value| {
        json!({"allOrNone": true, "compositeRequest": [
            {"method": "POST", "url": "/services/data/v66.0/sobjects/Account", "referenceId": "a", "body": {"Name": "A"}},
            {"method": "POST", "url": "/services/data/v66.0/sobjects/Contact", "referenceId": "c", "body": last},
        ]})
    };
    let (_, bad) = session.post("composite", steps(json!({"AccountId": "@{a.id}"}))).await;
    assert_eq!(bad["compositeResponse"][0]["body"][0]["errorCode"], "PROCESSING_HALTED");
    assert_eq!(bad["compositeResponse"][1]["body"][0]["errorCode"], "REQUIRED_FIELD_MISSING");
    assert_eq!(session.running.count("Account"), 0);
    let (_, good) = session.post("composite", steps(json!({"AccountId": "@{a.id}", "LastName": "C"}))).await;
    assert_eq!(good["compositeResponse"][1]["httpStatusCode"], 201);
    assert_eq!(
        session.running.rows("Contact", &["Account.Name", "AccountId"])[0][1].as_deref(),
        good["compositeResponse"][0]["body"]["id"].as_str()
    );
    let graph = json!({"graphs": [{"graphId": "g", "compositeRequest": steps(json!({"LastName": "D"}))["compositeRequest"]}]});
    assert_eq!(session.post("composite/graph", graph).await.1["graphs"][0]["isSuccessful"], true);
    let tree = json!({"records": [{"attributes": {"type": "Account", "referenceId": "r1"}, "Name": "T",
        "Contacts": {"records": [{"attributes": {"type": "Contact", "referenceId": "r2"}, "LastName": "U"}]}}]});
    let (status, made) = session.post("composite/tree/Account", tree).await;
    assert_eq!((status, made["results"].as_array().unwrap().len()), (201, 2));
    let batch = json!({"batchRequests": [{"method": "GET", "url": "v66.0/limits"}, {"method": "GET", "url": "v66.0/nope"}]});
    let (_, batch) = session.post("composite/batch", batch).await;
    assert_eq!((&batch["hasErrors"], &batch["results"][0]["statusCode"]), (&json!(true), &json!(200)));
}

#[tokio::test]
async fn duplicate_rules_give_way_to_the_header_only_when_they_alert() {
    let rules = "objects: [{name: Lead, duplicateRules: [{name: Same, fields: [Email]}]}, {name: Contact, duplicateRules: [{name: S, fields: [Email], block: true}]}]";
    let session = Session::with(Emulator::builder().schema(rules)).await;
    for (object, body, allowed) in [
        ("Lead", json!({"LastName": "A", "Company": "B", "Email": "a@example.org"}), 201),
        ("Contact", json!({"LastName": "A", "Email": "a@example.org"}), 400),
    ] {
        let path = format!("sobjects/{object}");
        assert_eq!(session.post(&path, body.clone()).await.0, 201);
        assert_eq!(session.post(&path, body.clone()).await.1[0]["errorCode"], "DUPLICATES_DETECTED");
        let past = session.http.post(session.url(&path)).header("Sforce-Duplicate-Rule-Header", "allowSave=true").json(&body);
        assert_eq!(session.send(past).await.0, allowed);
    }
}

#[tokio::test]
async fn versions_resources_and_usage_are_told() {
    let session = Session::start().await;
    let versions: Value = session.http.get(format!("{}/services/data/", session.running.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(versions.as_array().unwrap().last().unwrap()["version"], "66.0");
    let answer = session.http.get(session.url("")).bearer_auth(&session.token).send().await.unwrap();
    assert!(answer.headers()["sforce-limit-info"].to_str().unwrap().starts_with("api-usage=1/"));
    let resources: Value = answer.json().await.unwrap();
    assert!(resources["identity"].as_str().unwrap().contains("/id/00D"));
    assert_eq!(session.send(session.http.get(format!("{}/services/data/v30.0/limits", session.running.url))).await.0, 410);
    let unknown = session.http.get(session.url("limits")).send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    assert_eq!(
        unknown.json::<Value>().await.unwrap(),
        json!([{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])
    );
    let seen = session.http.get(session.url("sobjects/Account/describe")).header("If-Modified-Since", "Tue, 01 Jan 2030 00:00:00 GMT");
    assert_eq!(session.send(seen).await.0, 304);
    assert!(DEFAULT_SCHEMA.contains("icao__c"));
}

#[tokio::test]
async fn the_daily_allowance_ends() {
    let session = Session::with(Emulator::builder().config(|config| config.limits.daily_api_requests = 2)).await;
    assert_eq!(session.get("limits").await.1["DailyApiRequests"], json!({"Max": 2, "Remaining": 1}));
    assert_eq!(session.get("limits").await.0, 200);
    let (status, error) = session.get("limits").await;
    assert_eq!((status, error[0]["errorCode"].as_str()), (403, Some("REQUEST_LIMIT_EXCEEDED")));
}
