//! Describe: what the schema looks like in Salesforce's JSON. Pure functions of the schema.

mod field;

use serde_json::{Map, Value, json};

use crate::schema::{Object, Schema};

pub(crate) use field::field;

pub(crate) fn global(schema: &Schema, version: &str) -> Value {
    let objects: Vec<Value> = schema.objects.iter().map(|object| Value::Object(summary(object, version))).collect();
    json!({"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects})
}

/// `GET /sobjects/{X}`: the entry of the global list and recently seen rows, of which there are none.
pub(crate) fn basic(object: &Object, version: &str) -> Value {
    json!({"objectDescribe": summary(object, version), "recentItems": []})
}

pub(crate) fn full(schema: &Schema, object: &Object, version: &str) -> Value {
    let mut all = summary(object, version);
    let fields: Vec<Value> = object.fields.iter().map(|spec| field(schema, spec)).collect();
    let children: Vec<Value> = object
        .children
        .iter()
        .map(|child| {
            let other = &schema.objects[child.object];
            json!({
                "cascadeDelete": child.cascade_delete, "childSObject": other.name, "deprecatedAndHidden": false,
                "field": other.fields[child.field].name, "junctionIdListNames": [], "junctionReferenceTo": [],
                "relationshipName": child.relationship, "restrictedDelete": child.restricted_delete,
            })
        })
        .collect();
    let more = json!({
        "actionOverrides": [], "childRelationships": children, "compactLayoutable": true, "defaultImplementation": null,
        "extendedBy": null, "extendsInterfaces": null, "fields": fields, "implementedBy": null, "implementsInterfaces": null,
        "listviewable": null, "lookupLayoutable": null, "namedLayoutInfos": [], "networkScopeFieldName": null,
        "recordTypeInfos": [{
            "active": true, "available": true, "defaultRecordTypeMapping": true, "developerName": "Master", "master": true,
            "name": "Master", "recordTypeId": "012000000000000AAA",
            "urls": {"layout": format!("{}/describe/layouts/012000000000000AAA", url(object, version))},
        }],
        "searchLayoutable": true, "sobjectDescribeOption": "FULL",
        "supportedScopes": [{"label": format!("All {}", object.plural.to_lowercase()), "name": "everything"}],
    });
    if let Value::Object(more) = more {
        all.extend(more);
    }
    Value::Object(all)
}

fn summary(object: &Object, version: &str) -> Map<String, Value> {
    let base = url(object, version);
    let writable = object.createable && !object.setup || object.name == "User";
    let summary = json!({
        "activateable": false, "associateEntityType": null, "associateParentEntity": null, "createable": writable,
        "custom": object.custom, "customSetting": false, "deepCloneable": false, "deletable": object.deletable && writable,
        "deprecatedAndHidden": false, "feedEnabled": false, "hasSubtypes": false, "isInterface": false, "isSubtype": false,
        "keyPrefix": object.prefix, "label": object.label, "labelPlural": object.plural, "layoutable": true,
        "mergeable": matches!(object.name.as_str(), "Account" | "Contact" | "Lead"), "mruEnabled": true, "name": object.name,
        "queryable": true, "replicateable": true, "retrieveable": true, "searchable": true, "triggerable": true,
        "undeletable": object.undeletable, "updateable": writable,
        "urls": {
            "compactLayouts": format!("{base}/describe/compactLayouts"), "rowTemplate": format!("{base}/{{ID}}"),
            "describe": format!("{base}/describe"), "layouts": format!("{base}/describe/layouts"), "sobject": base,
        },
    });
    match summary {
        Value::Object(summary) => summary,
        _ => Map::new(),
    }
}

fn url(object: &Object, version: &str) -> String {
    format!("/services/data/v{version}/sobjects/{}", object.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::DEFAULT_SCHEMA;

    #[test]
    fn required_on_insert_can_be_read_off() {
        let schema = Schema::parse(DEFAULT_SCHEMA).unwrap();
        let lead = full(&schema, &schema.objects[schema.standard("Lead")], "66.0");
        let required = |field: &&Value| field["createable"] == true && field["nillable"] == false && field["defaultedOnCreate"] == false;
        let names: Vec<&str> =
            lead["fields"].as_array().unwrap().iter().filter(required).map(|field| field["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["LastName", "Company"]);
    }

    #[test]
    fn a_field_has_every_key_a_real_describe_has() {
        let schema = Schema::parse(DEFAULT_SCHEMA).unwrap();
        let account = &schema.objects[schema.standard("Account")];
        let name = field(&schema, &account.fields[account.field("Name").unwrap()]);
        assert_eq!(name.as_object().unwrap().len(), 57);
        assert_eq!((name["length"].as_u64(), name["byteLength"].as_u64()), (Some(255), Some(765)));
    }
}
