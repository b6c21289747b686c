use salesforce::{ApiVersion, Class, FieldType};
use salesforce_emulator::{Action, Emulator, Fault};
use serde::Deserialize;

use crate::bulk::load;
use crate::org::Org;
use salesforce::bulk::Operation;

#[tokio::test]
async fn the_org_speaks_our_version() {
    let versions = Org::start().await.client.versions().await.unwrap();
    assert!(versions.contains(&ApiVersion::default()), "{versions:?}");
}

#[tokio::test]
async fn a_describe_tells_what_a_load_needs_to_know() {
    let org = Org::start().await;
    let names: Vec<_> = org.client.describe_global().await.unwrap().into_iter().map(|object| object.name).collect();
    assert!(names.contains(&"Account".to_owned()) && names.contains(&"Runway__c".to_owned()), "{names:?}");
    let account = org.client.describe("Account").await.unwrap();
    assert!(account.createable && account.undeletable);
    let name = account.field("name").unwrap();
    assert!(name.required_on_insert() && name.kind == FieldType::String && name.length == 255);
    let icao = account.field("icao__c").unwrap();
    assert!(icao.external_id && icao.unique && icao.is_key() && !icao.required_on_insert());
    assert!(account.field("Id").unwrap().is_key());
    let runway = org.client.describe("runway__c").await.unwrap();
    let airport = runway.field("Airport__c").unwrap();
    assert_eq!((airport.kind, airport.relationship_name.as_deref()), (FieldType::Reference, Some("Airport__r")));
    assert_eq!(airport.reference_to, ["Account"]);
    assert!(airport.required_on_insert() && !airport.updateable);
}

#[tokio::test]
async fn an_object_that_does_not_exist_is_not_found() {
    let error = Org::start().await.client.describe("Nonsense__c").await.unwrap_err();
    assert!(error.is_not_found());
    assert_eq!((error.class(), error.code()), (Class::Permanent, Some("NOT_FOUND")));
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Account {
    name: String,
}

#[tokio::test]
async fn a_query_of_several_pages_survives_lost_answers_and_an_expired_session() {
    let org = Org::start().await;
    let rows: String = (0..4500).map(|n| format!("airport {n:04}\n")).collect();
    load(&org, Operation::Insert, &format!("Name\n{rows}")).await;
    org.running.inject(Fault::new(Action::DropAfter).on("GET", "*/query/*"));
    org.running.inject(Fault::new(Action::ExpireSession).on("GET", "*/query/*"));
    org.running.inject(Fault::new(Action::CutBody { bytes: 100 }).on("GET", "*/query/*"));
    let mut records = org.client.query::<Account>("SELECT Name FROM Account ORDER BY Name").await.unwrap();
    assert_eq!(records.total(), 4500);
    let mut names = Vec::new();
    while let Some(record) = records.next().await.unwrap() {
        names.push(record.name);
    }
    assert!(
        names.iter().map(String::as_str).eq((0..4500).map(|n| format!("airport {n:04}")).collect::<Vec<_>>().iter().map(String::as_str))
    );
    assert!(org.running.pending_faults().is_empty());
}

#[tokio::test]
async fn values_in_a_query_stay_values() {
    let org = Org::start().await;
    load(&org, Operation::Insert, "Name\n\"O'Hare \\ \"\"ORD\"\"\"\n").await;
    for (name, count) in [("O'Hare \\ \"ORD\"", 1), ("x' OR Name != '", 0)] {
        let soql = format!("SELECT COUNT() FROM Account WHERE Name = {}", salesforce::quoted(name));
        assert_eq!(org.client.query::<serde_json::Value>(&soql).await.unwrap().total(), count, "{name}");
    }
}

#[tokio::test]
async fn a_query_the_org_cannot_read_is_told_in_its_own_words() {
    let Err(error) = Org::start().await.client.query::<serde_json::Value>("SELECT Nope FROM Account").await else {
        panic!("no such field")
    };
    assert_eq!((error.class(), error.code()), (Class::Permanent, Some("INVALID_FIELD")));
}

#[tokio::test]
async fn limits_and_usage_agree_and_an_exhausted_allowance_is_a_quota() {
    let org = Org::of(Emulator::builder().config(|c| c.limits.daily_api_requests = 5)).await;
    let limits = org.client.limits().await.unwrap();
    assert_eq!(limits["DailyApiRequests"].max, 5);
    let usage = org.client.usage().unwrap();
    assert_eq!(usage.max, 5);
    let error = loop {
        if let Err(error) = org.client.limits().await {
            break error;
        }
    };
    assert_eq!((error.class(), error.code()), (Class::Quota, Some("REQUEST_LIMIT_EXCEEDED")));
}
