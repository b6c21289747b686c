//! One field of a describe, with all the members a real one has.

use serde_json::{Value, json};

use crate::schema::{Field, FieldType, RUNNING_USER, Schema, Source};

pub(crate) fn field(schema: &Schema, field: &Field) -> Value {
    let kind = field.kind;
    let references: Vec<&str> = field.reference_to.iter().map(|object| schema.objects[*object].name.as_str()).collect();
    let values: Vec<Value> = field.values.iter().map(|value| picklist_value(field, value)).collect();
    let has_digits = kind.is_number() && kind != FieldType::Int;
    let mut all = json!({
        "aggregatable": field.filterable() && kind != FieldType::Boolean, "aiPredictionField": false, "autoNumber": field.source == Source::AutoNumber,
        "byteLength": field.length * if matches!(kind, FieldType::Id | FieldType::Reference | FieldType::Base64) { 1 } else { 3 },
        "calculated": false, "calculatedFormula": null, "cascadeDelete": field.cascade_delete && field.custom,
        "caseSensitive": field.case_sensitive, "compoundFieldName": field.compound, "controllerName": null, "createable": field.createable,
        "custom": field.custom, "defaultValue": default_value(field), "defaultValueFormula": null,
        "defaultedOnCreate": field.defaulted_on_create,
        "dependentPicklist": false, "deprecatedAndHidden": false,
        "digits": if kind == FieldType::Int { field.precision } else { 0 }, "displayLocationInDecimal": false,
        "encrypted": false, "externalId": field.external_id, "extraTypeInfo": extra_type(field),
        "filterable": field.filterable(), "filteredLookupInfo": null, "formulaTreatNullNumberAsZero": false,
    });
    let more = json!({
        "groupable": field.groupable(), "highScaleNumber": false,
        "htmlFormatted": false, "idLookup": field.id_lookup || field.external_id, "inlineHelpText": null, "label": field.label,
        "length": field.length, "mask": null, "maskType": null, "name": field.name, "nameField": field.name_field,
        "namePointing": field.is_polymorphic(), "nillable": !field.required, "permissionable": field.permissionable,
        "picklistValues": values, "polymorphicForeignKey": field.is_polymorphic(),
        "precision": if has_digits { field.precision } else { 0 }, "queryByDistance": false, "referenceTargetField": null,
        "referenceTo": references, "relationshipName": field.relationship, "relationshipOrder": null, "restrictedDelete": field.restricted_delete && field.custom,
        "restrictedPicklist": field.restricted, "scale": field.scale, "searchPrefilterable": is_lookup(field),
        "soapType": kind.soap_name(), "sortable": field.sortable(), "type": kind.name(), "unique": field.unique,
        "updateable": field.updateable, "writeRequiresMasterRead": false,
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut all, more) {
        all.extend(more);
    }
    all
}

/// References that a person may set can narrow a search.
fn is_lookup(field: &Field) -> bool {
    field.kind == FieldType::Reference && (field.createable || field.updateable) && field.default.is_none()
}

fn default_value(field: &Field) -> Value {
    match (field.kind, field.default.as_deref()) {
        (FieldType::Boolean, text) => json!(text == Some("true")),
        (_, Some(RUNNING_USER) | None) => Value::Null,
        (_, Some(text)) => json!(text),
    }
}

fn extra_type(field: &Field) -> Option<&str> {
    field.extra_type.as_deref().or((field.kind == FieldType::Textarea).then_some("plaintextarea"))
}

fn picklist_value(field: &Field, value: &str) -> Value {
    json!({
        "active": true, "defaultValue": field.default.as_deref() == Some(value), "label": value, "validFor": null, "value": value,
    })
}
