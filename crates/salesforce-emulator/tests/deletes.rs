//! What a deletion takes along, what it only lets go of, and what holds it back.

use crate::support::Session;
use salesforce_emulator::Emulator;
use serde_json::{Value, json};

async fn make(session: &Session, object: &str, body: Value) -> String {
    let (status, answer) = session.post(&format!("sobjects/{object}"), body).await;
    assert_eq!(status, 201, "{object}: {answer}");
    answer["id"].as_str().unwrap().to_owned()
}

async fn delete(session: &Session, object: &str, id: &str) -> (u16, Value) {
    session.send(session.http.delete(session.url(&format!("sobjects/{object}/{id}")))).await
}

async fn undelete(session: &Session, id: &str) {
    let envelope = format!(
        "<env:Envelope xmlns:env=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns=\"urn:partner.soap.sforce.com\"><env:Header>\
         <SessionHeader><sessionId>{}</sessionId></SessionHeader></env:Header><env:Body><undelete><ids>{id}</ids></undelete></env:Body></env:Envelope>",
        session.token
    );
    let url = format!("{}/services/Soap/u/66.0", session.running.url);
    let (_, answer) = session.send(session.http.post(url).header("content-type", "text/xml").body(envelope)).await;
    assert!(answer.to_string().contains("<success>true</success>"), "{answer}");
}

#[tokio::test]
async fn plain_lookups_are_cleared_and_come_back_unless_they_were_set_again() {
    let session = Session::start().await;
    let parent = make(&session, "Account", json!({"Name": "Parent"})).await;
    let other = make(&session, "Account", json!({"Name": "Other"})).await;
    let kept = make(&session, "Account", json!({"Name": "Kept", "ParentId": parent})).await;
    let moved = make(&session, "Account", json!({"Name": "Moved", "ParentId": parent})).await;
    assert_eq!(delete(&session, "Account", &parent).await.0, 204);
    let parents = async || {
        let (_, body) = session.query("SELECT ParentId FROM Account WHERE Name IN ('Kept', 'Moved') ORDER BY Name").await;
        body["records"].as_array().unwrap().iter().map(|row| row["ParentId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(parents().await, [Value::Null, Value::Null]);
    // No query finds what is cleared by the parent that is gone.
    let (_, none) = session.query(&format!("SELECT Id FROM Account WHERE ParentId = '{parent}'")).await;
    assert_eq!(none["totalSize"], 0);
    assert_eq!(session.patch(&format!("sobjects/Account/{moved}"), json!({"ParentId": other})).await.0, 204);
    undelete(&session, &parent).await;
    assert_eq!(parents().await, [json!(parent), json!(other)]);
    assert_eq!(session.get(&format!("sobjects/Account/{kept}")).await.1["ParentId"], json!(parent));
}

#[tokio::test]
async fn children_follow_where_describe_says_so() {
    let session = Session::start().await;
    let account = make(&session, "Account", json!({"Name": "A"})).await;
    let contact = make(&session, "Contact", json!({"LastName": "C", "AccountId": account})).await;
    let deal = json!({"Name": "O", "StageName": "Prospecting", "CloseDate": "2026-01-01", "AccountId": account});
    let deal = make(&session, "Opportunity", deal).await;
    make(&session, "OpportunityContactRole", json!({"OpportunityId": deal, "ContactId": contact, "Role": "Evaluator"})).await;
    make(&session, "Task", json!({"Subject": "Call", "WhoId": contact, "WhatId": account})).await;
    let stranger = make(&session, "Contact", json!({"LastName": "S", "ReportsToId": contact})).await;
    for (object, parent, child, cascades) in [
        ("Account", "ParentId", "Account", false),
        ("Account", "AccountId", "Contact", true),
        ("Account", "AccountId", "Opportunity", true),
        ("Contact", "ContactId", "OpportunityContactRole", true),
        ("Contact", "WhoId", "Task", true),
        ("Contact", "ReportsToId", "Contact", false),
    ] {
        let (_, described) = session.get(&format!("sobjects/{object}/describe")).await;
        let all = described["childRelationships"].as_array().unwrap();
        let found = all.iter().find(|entry| entry["childSObject"] == child && entry["field"] == parent).unwrap();
        assert_eq!(found["cascadeDelete"], cascades, "{object} {child}.{parent}");
    }
    assert_eq!(delete(&session, "Account", &account).await.0, 204);
    let left = ["Account", "Contact", "Opportunity", "OpportunityContactRole", "Task"].map(|object| session.running.count(object));
    assert_eq!(left, [0, 1, 0, 0, 0]);
    assert_eq!(session.get(&format!("sobjects/Contact/{stranger}")).await.1["ReportsToId"], Value::Null);
}

#[tokio::test]
async fn a_child_with_a_restricted_relationship_holds_its_parent_back() {
    let schema = "objects:\n  - {name: Trip__c, fields: [{name: Name, type: string, nameField: true}, \
                  {name: Plane__c, type: reference, referenceTo: [Account], relationship: Plane__r, childRelationship: Trips__r, required: true}]}";
    let session = Session::with(Emulator::builder().schema(schema)).await;
    let account = make(&session, "Account", json!({"Name": "Held"})).await;
    let contact = make(&session, "Contact", json!({"LastName": "C", "AccountId": account})).await;
    let case = make(&session, "Case", json!({"ContactId": contact})).await;
    for (object, id) in [("Contact", &contact), ("Account", &account)] {
        let (status, error) = delete(&session, object, id).await;
        assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some("DELETE_FAILED")), "{error}");
        let words = error[0]["message"].as_str().unwrap();
        assert!(words.ends_with("could not be completed because it is associated with the following cases.: 00000001\n"), "{words}");
        assert!(words.starts_with("Your attempt to delete "), "{words}");
    }
    let delete_by_bulk = session.run(json!({"object": "Account", "operation": "delete"}), &format!("Id\n{account}\n")).await;
    assert!(delete_by_bulk.errors()[0].starts_with("DELETE_FAILED:Your attempt to delete Held could not be completed"));
    assert_eq!(["Account", "Contact", "Case"].map(|object| session.running.count(object)), [1, 1, 1], "nothing went");
    assert_eq!(delete(&session, "Case", &case).await.0, 204);
    assert_eq!(delete(&session, "Account", &account).await.0, 204);
    assert_eq!(session.running.count("Contact"), 0);
    // A lookup that must have a value cannot be cleared.
    let plane = make(&session, "Account", json!({"Name": "Plane"})).await;
    make(&session, "Trip__c", json!({"Name": "T", "Plane__c": plane})).await;
    assert_eq!(delete(&session, "Account", &plane).await.1[0]["errorCode"], "DELETE_FAILED");
    let (_, described) = session.get("sobjects/Account/describe").await;
    let restricted: Vec<&str> = described["childRelationships"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|child| child["restrictedDelete"] == true)
        .map(|child| child["childSObject"].as_str().unwrap())
        .collect();
    assert_eq!(restricted, ["Case", "Trip__c"]);
}

#[tokio::test]
async fn what_a_transaction_takes_back_has_its_lookups_again() {
    let session = Session::start().await;
    let parent = make(&session, "Account", json!({"Name": "Parent"})).await;
    let child = make(&session, "Account", json!({"Name": "Child", "ParentId": parent})).await;
    let ids = format!("composite/sobjects?ids={parent},0015e0000000zzz&allOrNone=true");
    session.send(session.http.delete(session.url(&ids))).await;
    assert_eq!(session.get(&format!("sobjects/Account/{child}")).await.1["ParentId"], json!(parent));
    let (_, found) = session.query(&format!("SELECT Id FROM Account WHERE ParentId = '{parent}'")).await;
    assert_eq!(found["totalSize"], 1);
}
