//! One field of a describe, with all the members a real one has.

use serde_json::{Value, json};

use crate::schema::{Field, FieldType, Schema, Source};

pub(crate) fn field(schema: &Schema, field: &Field) -> Value {
    let kind = field.kind;
    let references: Vec<&str> = field.reference_to.iter().map(|object| schema.objects[*object].name.as_str()).collect();
    let values: Vec<Value> = field.values.iter().map(|value| picklist_value(field, value)).collect();
    let has_digits = kind.is_number() && kind != FieldType::Int;
    let mut all = json!({
        "aggregatable": kind != FieldType::Textarea, "aiPredictionField": false, "autoNumber": field.source == Source::AutoNumber,
        "byteLength": field.length * if matches!(kind, FieldType::Id | FieldType::Reference) { 1 } else { 3 },
        "calculated": false, "calculatedFormula": null, "cascadeDelete": field.cascade_delete,
        "caseSensitive": field.case_sensitive, "compoundFieldName": null, "controllerName": null, "createable": field.createable,
        "custom": field.custom, "defaultValue": default_value(field), "defaultValueFormula": null,
        "defaultedOnCreate": field.default.is_some() || !field.createable && field.source != Source::Stored,
        "dependentPicklist": false, "deprecatedAndHidden": false,
        "digits": if kind == FieldType::Int { field.precision } else { 0 }, "displayLocationInDecimal": false,
        "encrypted": false, "externalId": field.external_id, "extraTypeInfo": extra_type(field),
        "filterable": kind != FieldType::Textarea, "filteredLookupInfo": null, "formulaTreatNullNumberAsZero": false,
    });
    let more = json!({
        "groupable": !matches!(kind, FieldType::Textarea | FieldType::Datetime) && !has_digits, "highScaleNumber": false,
        "htmlFormatted": false, "idLookup": field.id_lookup || field.external_id, "inlineHelpText": null, "label": field.label,
        "length": field.length, "mask": null, "maskType": null, "name": field.name, "nameField": field.name_field,
        "namePointing": field.is_polymorphic(), "nillable": !field.required, "permissionable": field.createable && !field.required,
        "picklistValues": values, "polymorphicForeignKey": field.is_polymorphic(),
        "precision": if has_digits { field.precision } else { 0 }, "queryByDistance": false, "referenceTargetField": null,
        "referenceTo": references, "relationshipName": field.relationship, "relationshipOrder": null, "restrictedDelete": false,
        "restrictedPicklist": field.restricted, "scale": field.scale, "searchPrefilterable": kind == FieldType::Reference,
        "soapType": kind.soap_name(), "sortable": kind != FieldType::Textarea, "type": kind.name(), "unique": field.unique,
        "updateable": field.updateable, "writeRequiresMasterRead": false,
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

fn default_value(field: &Field) -> Value {
    match (field.kind, field.default.as_deref()) {
        (FieldType::Boolean, Some(text)) => json!(text == "true"),
        (FieldType::Boolean, None) => json!(false),
        _ => Value::Null,
    }
}

fn extra_type(field: &Field) -> Value {
    match field.kind {
        FieldType::Textarea => json!("plaintextarea"),
        FieldType::String if field.source == Source::PersonName => json!("personname"),
        _ => Value::Null,
    }
}

fn picklist_value(field: &Field, value: &str) -> Value {
    json!({
        "active": true, "defaultValue": field.default.as_deref() == Some(value), "label": value, "validFor": null, "value": value,
    })
}
