//! Describe against what real organisations answer for the standard objects.

use crate::support::Session;
use serde_json::{Value, json};

struct Described(Value);

impl Described {
    async fn of(session: &Session, object: &str) -> Self {
        let (status, described) = session.get(&format!("sobjects/{object}/describe")).await;
        assert_eq!(status, 200, "{object}: {described}");
        Self(described)
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.0["fields"].as_array().unwrap().iter().find(|field| field["name"] == name)
    }

    fn get(&self, field: &str, key: &str) -> Value {
        self.field(field).unwrap_or_else(|| panic!("{} has no {field}", self.0["name"]))[key].clone()
    }
}

#[tokio::test]
async fn standard_fields_are_described_as_they_are_recorded() {
    let session = Session::start().await;
    for (object, field, key, expected) in [
        ("Contact", "AccountId", "cascadeDelete", json!(false)),
        ("Opportunity", "AccountId", "cascadeDelete", json!(false)),
        ("Lead", "Status", "nillable", json!(false)),
        ("Contact", "Name", "nillable", json!(false)),
        ("Lead", "Name", "nillable", json!(false)),
        ("Case", "CaseNumber", "nillable", json!(false)),
        ("Case", "CaseNumber", "groupable", json!(false)),
        ("Case", "Status", "nillable", json!(true)),
        ("Lead", "Status", "defaultValue", json!("Open - Not Contacted")),
        ("Case", "Status", "defaultValue", json!("New")),
        ("Case", "Priority", "defaultValue", json!("Medium")),
        ("Lead", "Status", "defaultedOnCreate", json!(true)),
        ("Contact", "Name", "defaultedOnCreate", json!(false)),
        ("Account", "OwnerId", "defaultedOnCreate", json!(true)),
        ("Opportunity", "Probability", "defaultedOnCreate", json!(true)),
        ("Opportunity", "ContactId", "relationshipName", Value::Null),
        ("Opportunity", "ContactId", "referenceTo", json!(["Contact"])),
        ("Account", "BillingCity", "compoundFieldName", json!("BillingAddress")),
        ("Account", "Name", "compoundFieldName", json!("Name")),
        ("Lead", "City", "compoundFieldName", json!("Address")),
        ("Contact", "LastName", "compoundFieldName", json!("Name")),
        ("Contact", "Name", "compoundFieldName", Value::Null),
        ("Account", "Phone", "compoundFieldName", Value::Null),
        ("Account", "Name", "extraTypeInfo", json!("switchablepersonname")),
        ("Contact", "Name", "extraTypeInfo", json!("personname")),
        ("Contact", "Salutation", "extraTypeInfo", json!("personname")),
        ("Account", "Description", "extraTypeInfo", json!("plaintextarea")),
        ("Account", "PhotoUrl", "extraTypeInfo", json!("imageurl")),
        ("Contact", "FirstName", "permissionable", json!(false)),
        ("Contact", "LastName", "permissionable", json!(false)),
        ("Contact", "Phone", "permissionable", json!(true)),
        ("Opportunity", "IsPrivate", "permissionable", json!(true)),
        ("Opportunity", "ExpectedRevenue", "permissionable", json!(true)),
        ("Case", "Status", "permissionable", json!(false)),
        ("Account", "BillingStreet", "filterable", json!(true)),
        ("Account", "Description", "filterable", json!(false)),
        ("Account", "Description", "sortable", json!(false)),
        ("Account", "Description", "aggregatable", json!(false)),
        ("Account", "IsDeleted", "aggregatable", json!(false)),
        ("Account", "AnnualRevenue", "groupable", json!(false)),
        ("Contact", "AccountId", "searchPrefilterable", json!(true)),
        ("Contact", "CreatedById", "searchPrefilterable", json!(false)),
        ("Event", "Subject", "type", json!("combobox")),
        ("Event", "WhoId", "polymorphicForeignKey", json!(true)),
        // Custom fields: the detail side of a master follows it, and says so itself.
        ("Runway__c", "Airport__c", "cascadeDelete", json!(true)),
    ] {
        assert_eq!(Described::of(&session, object).await.get(field, key), expected, "{object}.{field} {key}");
    }
}

#[tokio::test]
async fn a_default_is_marked_among_the_values_too() {
    let session = Session::start().await;
    let described = Described::of(&session, "Case").await;
    let values = described.get("Priority", "picklistValues");
    let marked: Vec<&Value> =
        values.as_array().unwrap().iter().filter(|value| value["defaultValue"] == true).map(|value| &value["value"]).collect();
    assert_eq!(marked, ["Medium"]);
}

#[tokio::test]
async fn rows_that_never_go_to_the_recycle_bin_have_no_mark_of_it() {
    let session = Session::start().await;
    for object in ["User", "Group", "Profile", "RecordType", "Organization"] {
        assert!(Described::of(&session, object).await.field("IsDeleted").is_none(), "{object}");
        let (_, error) = session.query(&format!("SELECT IsDeleted FROM {object}")).await;
        assert_eq!(error[0]["errorCode"], "INVALID_FIELD", "{object}");
    }
    assert!(Described::of(&session, "Account").await.field("IsDeleted").is_some());
}

#[tokio::test]
async fn a_field_with_a_default_may_be_left_out_but_not_emptied() {
    let session = Session::start().await;
    let (status, made) = session.post("sobjects/Lead", json!({"LastName": "A", "Company": "B", "Status": null})).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("sobjects/Lead/{}", made["id"].as_str().unwrap());
    assert_eq!(session.get(&path).await.1["Status"], "Open - Not Contacted");
    let (status, error) = session.patch(&path, json!({"Status": null})).await;
    assert_eq!((status, error[0]["errorCode"].as_str()), (400, Some("REQUIRED_FIELD_MISSING")));
    // Where null is allowed it stays, default or not.
    let (_, made) = session.post("sobjects/Case", json!({"Priority": null})).await;
    let (_, case) = session.get(&format!("sobjects/Case/{}", made["id"].as_str().unwrap())).await;
    assert_eq!((&case["Priority"], &case["Status"]), (&Value::Null, &json!("New")));
}
