//! SOQL where its rules are easy to miss: empty text and null, booleans that are never null, parents of several kinds,
//! fields that no query may filter or sort, and the order of text.

use crate::support::Session;
use serde_json::{Value, json};

async fn make(session: &Session, object: &str, body: Value) -> String {
    let (status, answer) = session.post(&format!("sobjects/{object}"), body).await;
    assert_eq!(status, 201, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

/// One field of what a query finds, in order.
async fn column(session: &Session, soql: &str, field: &str) -> Vec<String> {
    let (status, body) = session.query(soql).await;
    assert_eq!(status, 200, "{soql}: {body}");
    body["records"].as_array().unwrap().iter().map(|row| row[field].as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn empty_text_is_null() {
    let session = Session::start().await;
    let account = make(&session, "Account", json!({"Name": "A"})).await;
    make(&session, "Contact", json!({"LastName": "With", "Email": "a@example.org", "AccountId": account})).await;
    make(&session, "Contact", json!({"LastName": "Without"})).await;
    for (condition, expected) in [
        ("Email = ''", vec!["Without"]),
        ("Email != ''", vec!["With"]),
        ("Email IN ('')", vec!["Without"]),
        ("Email IN ('', 'A@example.org')", vec!["With", "Without"]),
        ("Email NOT IN ('')", vec!["With"]),
        ("AccountId = ''", vec!["Without"]),
        ("AccountId != ''", vec!["With"]),
        ("AccountId IN ('')", vec!["Without"]),
        ("Account.Name = ''", vec!["Without"]),
        ("Email > ''", vec!["With"]),
        ("AccountId > ''", vec!["With"]),
        ("Account.Id >= ''", vec!["With"]),
    ] {
        let found = column(&session, &format!("SELECT LastName FROM Contact WHERE {condition} ORDER BY LastName"), "LastName").await;
        assert_eq!(found, expected, "{condition}");
    }
}

#[tokio::test]
async fn a_boolean_is_never_null() {
    let session = Session::start().await;
    let parent = make(&session, "Account", json!({"Name": "Yes", "Verified__c": true})).await;
    make(&session, "Account", json!({"Name": "No", "Verified__c": false})).await;
    make(&session, "Account", json!({"Name": "Unsaid"})).await;
    make(&session, "Contact", json!({"LastName": "Child", "AccountId": parent})).await;
    make(&session, "Contact", json!({"LastName": "Orphan"})).await;
    for (condition, expected) in [
        ("Verified__c = null", vec!["No", "Unsaid"]),
        ("Verified__c = false", vec!["No", "Unsaid"]),
        ("Verified__c != null", vec!["Yes"]),
        ("Verified__c IN (null)", vec!["No", "Unsaid"]),
    ] {
        assert_eq!(
            column(&session, &format!("SELECT Name FROM Account WHERE {condition} ORDER BY Name"), "Name").await,
            expected,
            "{condition}"
        );
    }
    // A parent that is not there has every box unticked.
    let orphans = column(&session, "SELECT LastName FROM Contact WHERE Account.Verified__c = false", "LastName").await;
    assert_eq!(orphans, ["Orphan"]);
}

#[tokio::test]
async fn the_parents_kind_is_a_field_where_there_are_several() {
    let session = Session::start().await;
    let queue = make(&session, "Group", json!({"Name": "First level", "DeveloperName": "First", "Type": "Queue"})).await;
    make(&session, "Lead", json!({"LastName": "Mine", "Company": "C"})).await;
    make(&session, "Lead", json!({"LastName": "Queued", "Company": "C", "OwnerId": queue})).await;
    let (_, body) = session.query("SELECT LastName, Owner.Type, Owner.Name, Owner.Profile.Name FROM Lead ORDER BY LastName").await;
    let owner = |row: usize, field: &str| body["records"][row]["Owner"][field].clone();
    assert_eq!([owner(0, "Type"), owner(0, "Name")], [json!("User"), json!("Integration")]);
    assert_eq!([owner(1, "Type"), owner(1, "Name"), owner(1, "Profile")], [json!("Queue"), json!("First level"), Value::Null]);
    assert_eq!(body["records"][0]["Owner"]["Profile"]["Name"], "System Administrator");
    // In either order.
    let (_, body) = session.query("SELECT Owner.Name, Owner.Type FROM Lead ORDER BY LastName").await;
    assert_eq!(body["records"][0]["Owner"]["Type"], "User");
    for (condition, expected) in [
        ("Owner.Type = 'queue'", vec!["Queued"]),
        ("Owner.Type = 'User'", vec!["Mine"]),
        ("Owner.Type IN ('User', 'Queue')", vec!["Mine", "Queued"]),
    ] {
        let found = column(&session, &format!("SELECT LastName FROM Lead WHERE {condition} ORDER BY LastName"), "LastName").await;
        assert_eq!(found, expected, "{condition}");
    }
    // Where a parent is of one kind, Type is a field of that object or none.
    let (status, error) = session.query("SELECT Owner.Type FROM Account").await;
    assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some("INVALID_FIELD")));
}

#[tokio::test]
async fn long_text_is_neither_filtered_nor_sorted_nor_grouped() {
    let session = Session::start().await;
    make(&session, "Account", json!({"Name": "A", "BillingStreet": "Main Street 1", "Description": "Long"})).await;
    for (rest, code, words) in [
        ("WHERE Description = 'Long'", "INVALID_FIELD", "field 'Description' can not be filtered in a query call"),
        ("WHERE Description LIKE 'L%'", "INVALID_FIELD", "field 'Description' can not be filtered in a query call"),
        ("WHERE Description = null", "INVALID_FIELD", "field 'Description' can not be filtered in a query call"),
        ("WHERE Description IN ('Long')", "INVALID_FIELD", "field 'Description' can not be filtered in a query call"),
        ("WHERE Parent.Description = 'x'", "INVALID_FIELD", "field 'Description' can not be filtered in a query call"),
        ("ORDER BY Description", "MALFORMED_QUERY", "field 'Description' can not be sorted in a query call"),
        ("ORDER BY Segments__c", "MALFORMED_QUERY", "field 'Segments__c' can not be sorted in a query call"),
    ] {
        let (status, error) = session.query(&format!("SELECT Id FROM Account {rest}")).await;
        assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some(code)), "{rest}: {error}");
        assert!(error[0]["message"].as_str().unwrap().ends_with(words), "{rest}: {error}");
    }
    let (status, error) = session.query("SELECT COUNT(Id) FROM Account GROUP BY Description").await;
    assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some("MALFORMED_QUERY")), "{error}");
    let streets = column(&session, "SELECT Name FROM Account WHERE BillingStreet LIKE 'main%' ORDER BY BillingStreet", "Name").await;
    assert_eq!(streets, ["A"]);
}

#[tokio::test]
async fn text_is_ordered_by_its_capitals() {
    let session = Session::start().await;
    for name in ["a_", "AB", "ab1", "Ab", "aZ", "a^"] {
        make(&session, "Account", json!({"Name": name})).await;
    }
    // Between the capitals and the small letters stand characters such as ^ and _.
    assert_eq!(column(&session, "SELECT Name FROM Account ORDER BY Name, Id", "Name").await, ["AB", "Ab", "ab1", "aZ", "a^", "a_"]);
    assert_eq!(column(&session, "SELECT Name FROM Account WHERE Name > 'az' ORDER BY Name", "Name").await, ["a^", "a_"]);
}

#[tokio::test]
async fn a_composite_step_may_ask_a_long_question() {
    let session = Session::start().await;
    let id = make(&session, "Account", json!({"Name": "Köln & Söhne"})).await;
    let composite = async |soql: &str| {
        let step = json!({"method": "GET", "url": format!("/services/data/v66.0/query/?q={soql}"), "referenceId": "q"});
        let (_, body) = session.post("composite", json!({"compositeRequest": [step]})).await;
        body["compositeResponse"][0].clone()
    };
    let head = "SELECT+Id+FROM+Account+WHERE+Id+IN+(";
    let list = format!("'{id}',").repeat((100_000 - head.len() - 1) / 21);
    let long = format!("{head}{})", list.trim_end_matches(','));
    assert!(long.len() > 99_000);
    let answer = composite(&long).await;
    assert_eq!((&answer["httpStatusCode"], &answer["body"]["totalSize"]), (&json!(200), &json!(1)), "{answer}");
    assert_eq!(composite("SELECT Id FROM Account WHERE Name = 'Köln %26 Söhne'").await["body"]["totalSize"], 1);
    let longer = format!("{head}{}'{id}')", list.repeat(2));
    assert_eq!(composite(&longer).await["body"][0]["errorCode"], "QUERY_TOO_COMPLICATED");
}
