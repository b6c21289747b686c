//! The standard objects that ordinary files are made for: they take what is sent, and what they work out themselves is right.

use crate::support::Session;
use serde_json::{Value, json};

async fn made(session: &Session, object: &str, body: Value) -> (String, Value) {
    let (status, answer) = session.post(&format!("sobjects/{object}"), body).await;
    assert_eq!(status, 201, "{object}: {answer}");
    let id = answer["id"].as_str().unwrap().to_owned();
    let (_, row) = session.get(&format!("sobjects/{object}/{id}")).await;
    (id, row)
}

#[tokio::test]
async fn ordinary_fields_of_ordinary_files_are_there() {
    let session = Session::start().await;
    let row = |object: &str| match object {
        "Account" => json!({"Name": "A", "Jigsaw": "J", "SicDesc": "Cargo", "DunsNumber": "123456789", "Tradestyle": "T"}),
        "Contact" => json!({"LastName": "C", "OtherPhone": "1", "AssistantName": "N", "AssistantPhone": "2", "HasOptedOutOfEmail": true}),
        "Lead" => json!({"LastName": "L", "Company": "C", "Fax": "3", "DoNotCall": true}),
        "Case" => json!({"IsEscalated": true, "Comments": "seen", "Subject": "S"}),
        "Opportunity" => {
            json!({"Name": "O", "StageName": "Prospecting", "CloseDate": "2026-01-31", "IsPrivate": true, "ForecastCategoryName": "Best Case"})
        }
        "User" => {
            json!({"Username": "u@example.org", "LastName": "U", "Alias": "u", "Email": "u@example.org", "TimeZoneSidKey": "GMT", "LocaleSidKey": "en_US",
            "LanguageLocaleKey": "en_US", "EmailEncodingKey": "UTF-8", "Title": "T", "Department": "D", "EmployeeNumber": "7", "City": "Bonn"})
        }
        "Campaign" => json!({"Name": "Fair", "Status": "Planned", "StartDate": "2026-01-01", "NumberSent": 10, "IsActive": true}),
        "Product2" => json!({"Name": "Bolt", "ProductCode": "B1", "IsActive": true, "Family": "None"}),
        "Pricebook2" => json!({"Name": "Retail", "IsActive": true}),
        "Asset" => json!({"Name": "Engine", "SerialNumber": "S1", "Status": "Installed", "Quantity": 2, "Price": 10}),
        "Task" => json!({"Subject": "Call", "Status": "Completed", "Priority": "High", "ActivityDate": "2026-01-31"}),
        _ => {
            json!({"Subject": "Meeting", "StartDateTime": "2026-01-31T09:00:00Z", "EndDateTime": "2026-01-31T10:00:00Z", "Location": "Here"})
        }
    };
    let profile = session.query("SELECT Id FROM Profile").await.1["records"][0]["Id"].clone();
    for object in
        ["Account", "Contact", "Lead", "Case", "Opportunity", "User", "Campaign", "Product2", "Pricebook2", "Asset", "Task", "Event"]
    {
        let mut body = row(object);
        if object == "User" {
            body["ProfileId"] = profile.clone();
        }
        let (_, found) = made(&session, object, body.clone()).await;
        for (field, value) in body.as_object().unwrap() {
            let found = &found[field];
            let same = found == value
                || found.as_f64().is_some_and(|number| Some(number) == value.as_f64())
                || found.as_str().is_some_and(|text| value.as_str().is_some_and(|sent| text.starts_with(sent.trim_end_matches('Z'))));
            assert!(same, "{object}.{field}: {found} for {value}");
        }
    }
}

#[tokio::test]
async fn stages_and_states_say_whether_they_are_closed() {
    let session = Session::start().await;
    let deal = |stage: &str| json!({"Name": "O", "StageName": stage, "CloseDate": "2026-01-31"});
    let state = |row: &Value| ["IsClosed", "IsWon", "Probability", "ForecastCategoryName"].map(|field| row[field].clone());
    let (id, open) = made(&session, "Opportunity", deal("Qualification")).await;
    assert_eq!(state(&open), [json!(false), json!(false), json!(10.0), json!("Pipeline")]);
    let (_, won) = made(&session, "Opportunity", deal("Closed Won")).await;
    assert_eq!(state(&won), [json!(true), json!(true), json!(100.0), json!("Closed")]);
    session.patch(&format!("sobjects/Opportunity/{id}"), json!({"StageName": "Closed Lost", "Probability": 5})).await;
    let (_, lost) = session.get(&format!("sobjects/Opportunity/{id}")).await;
    assert_eq!(state(&lost), [json!(true), json!(false), json!(5.0), json!("Omitted")]);
    assert_eq!(session.query("SELECT COUNT() FROM Opportunity WHERE IsClosed = true AND IsWon = false").await.1["totalSize"], 1);
    let refused = session.patch(&format!("sobjects/Opportunity/{id}"), json!({"IsClosed": false})).await;
    assert_eq!(refused.1[0]["errorCode"], "INVALID_FIELD_FOR_INSERT_UPDATE");
    let (_, case) = made(&session, "Case", json!({"Status": "Closed"})).await;
    let (_, task) = made(&session, "Task", json!({"Subject": "Call", "Status": "Completed"})).await;
    assert_eq!((&case["IsClosed"], &task["IsClosed"], &task["IsHighPriority"]), (&json!(true), &json!(true), &json!(false)));
}

#[tokio::test]
async fn products_have_prices_and_prices_are_in_opportunities() {
    let session = Session::start().await;
    let (product, _) = made(&session, "Product2", json!({"Name": "Bolt", "ProductCode": "B1"})).await;
    let (_, standard) = session.query("SELECT Name FROM Pricebook2 WHERE IsStandard = true").await;
    assert_eq!(standard["records"][0]["Name"], "Standard Price Book");
    let (book, _) = made(&session, "Pricebook2", json!({"Name": "Retail"})).await;
    let (entry, price) = made(&session, "PricebookEntry", json!({"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 2.5})).await;
    assert_eq!((&price["Name"], &price["ProductCode"]), (&json!("Bolt"), &json!("B1")));
    let deal = json!({"Name": "O", "StageName": "Prospecting", "CloseDate": "2026-01-31", "Pricebook2Id": book});
    let (deal, _) = made(&session, "Opportunity", deal).await;
    let line = json!({"OpportunityId": deal, "PricebookEntryId": entry, "Quantity": 3, "UnitPrice": 2});
    let (_, line) = made(&session, "OpportunityLineItem", line).await;
    assert_eq!((&line["Name"], &line["ListPrice"]), (&json!("Bolt"), &json!(2.5)));
    let (_, error) = session.post("sobjects/PricebookEntry", json!({"Pricebook2Id": book, "UnitPrice": 1})).await;
    assert_eq!(error[0]["fields"], json!(["Product2Id"]));
    // A price that is in use keeps its product.
    let delete = session.send(session.http.delete(session.url(&format!("sobjects/Product2/{product}")))).await;
    assert_eq!(delete.1[0]["errorCode"], "DELETE_FAILED");
}

#[tokio::test]
async fn activities_are_about_several_kinds_of_rows() {
    let session = Session::start().await;
    session.run(json!({"object": "Contact", "operation": "insert"}), "LastName,Email,External_Id__c\nC,c@example.org,C1\n").await;
    session.run(json!({"object": "Lead", "operation": "insert"}), "LastName,Company,Email\nL,C,l@example.org\n").await;
    let task = json!({"object": "Task", "operation": "insert"});
    let done = session.run(task.clone(), "Subject,Lead:Who.Email\nCall,l@example.org\n").await;
    assert_eq!((done.created(), done.errors()), (vec!["true".to_owned()], vec![]));
    session.run(task.clone(), "Subject,Contact:Who.External_Id__c\nWrite,C1\n").await;
    let (_, body) = session.query("SELECT Subject, Who.Type, Who.Name FROM Task ORDER BY Subject").await;
    let who = |row: usize| (body["records"][row]["Who"]["Type"].clone(), body["records"][row]["Who"]["Name"].clone());
    assert_eq!([who(0), who(1)], [(json!("Lead"), json!("L")), (json!("Contact"), json!("C"))]);
    let refused = session.run(task, "Subject,Who.Email\nCall,l@example.org\n").await;
    assert_eq!(refused.info["errorMessage"], "InvalidBatch : Field name not found : Who.Email");
    let (_, children) = session.query("SELECT (SELECT Subject FROM Tasks) FROM Lead").await;
    assert_eq!(children["records"][0]["Tasks"]["totalSize"], 1);
}

#[tokio::test]
async fn a_case_shows_how_its_contact_is_reached() {
    let session = Session::start().await;
    let (contact, _) = made(&session, "Contact", json!({"LastName": "C", "Phone": "1", "Email": "c@example.org"})).await;
    let (_, case) = made(&session, "Case", json!({"ContactId": contact})).await;
    assert_eq!((&case["ContactPhone"], &case["ContactEmail"], &case["ContactFax"]), (&json!("1"), &json!("c@example.org"), &Value::Null));
    let (_, alone) = made(&session, "Case", json!({})).await;
    assert_eq!(alone["ContactPhone"], Value::Null);
}
