//! What an org's objects and fields are like, reduced to what a load needs: a describe is 60 to 390 KB of JSON, this a few.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer};

use crate::client::{Client, LARGE, READ};
use crate::error::Error;

/// One object in the global list.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ObjectSummary {
    /// API name, as in `Account` or `Invoice__c`.
    pub name: String,
    /// What people see, in the language of the user.
    pub label: String,
    /// The first three characters of its records' ids, as in `001`. Absent for objects whose records have none of their own.
    pub key_prefix: Option<String>,
    /// Made in this org or by a package, and no standard object of Salesforce.
    pub custom: bool,
    /// The user may create records of it.
    pub createable: bool,
    /// The user may change records of it.
    pub updateable: bool,
    /// The user may delete records of it.
    pub deletable: bool,
    /// The user may query it with SOQL.
    pub queryable: bool,
}

/// An object and its fields, as far as the session's user may see them.
#[derive(Clone, Debug, PartialEq)]
pub struct Describe {
    /// API name in its exact spelling, whatever the one that was asked for.
    pub name: String,
    /// What people see, in the language of the user.
    pub label: String,
    /// The user may create records of it.
    pub createable: bool,
    /// The user may change records of it.
    pub updateable: bool,
    /// The user may delete records of it.
    pub deletable: bool,
    /// Deleted rows can be brought back.
    pub undeletable: bool,
    /// The user may query it with SOQL.
    pub queryable: bool,
    /// All fields that the user may see, in the order of the answer; [`Describe::field`] finds one by its name.
    pub fields: Vec<Field>,
    by_name: HashMap<String, usize>,
}

/// A field of an object, as far as the session's user may see and set it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// API name in its exact spelling, as in `LastName` or `Icao__c`.
    pub name: String,
    /// What people see, in the language of the user.
    pub label: String,
    /// What its values are; `type` on the wire.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Characters a text may have; zero where it does not apply.
    pub length: u32,
    /// It may be empty.
    pub nillable: bool,
    /// The user may set it when a record is created.
    pub createable: bool,
    /// The user may change it later.
    pub updateable: bool,
    /// Marked as an external id: an upsert may match by it, and a relationship column may name a parent by it.
    pub external_id: bool,
    /// An upsert may match by it: external ids, `Id` and, of some objects, a standard field such as `Email`.
    pub id_lookup: bool,
    /// Salesforce gives it a value when a record is created without one.
    pub defaulted_on_create: bool,
    /// No two records have the same value.
    pub unique: bool,
    /// Values that differ only in case are two; it counts where the field is unique or a key.
    pub case_sensitive: bool,
    /// Objects a reference may point to.
    #[serde(default)]
    pub reference_to: Vec<String>,
    /// How parents are named in queries and CSV headers, e.g. `Owner`.
    #[serde(default)]
    pub relationship_name: Option<String>,
    /// A picklist that takes no value but those listed; others gain one with every new text.
    #[serde(default)]
    pub restricted_picklist: bool,
    /// Active and inactive ones.
    #[serde(default)]
    pub picklist_values: Vec<PicklistValue>,
}

/// One value of a picklist.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct PicklistValue {
    /// What is stored and sent.
    pub value: String,
    /// What people see, in the language of the user.
    #[serde(default)]
    pub label: Option<String>,
}

/// What the values of a field are, by Salesforce's own names (`type` in a describe).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FieldType {
    /// A whole address, made of fields of their own (`BillingStreet`, …); cannot be written as one.
    Address,
    /// Whatever the row has, as the old and new values of a history object.
    AnyType,
    /// Bytes, such as the body of a file.
    Base64,
    /// `true` or `false`; never empty.
    Boolean,
    /// A text, with values to choose from.
    Combobox,
    /// An amount of money, in the record's currency.
    Currency,
    /// A day without a time.
    Date,
    /// A moment, with its offset from UTC.
    DateTime,
    /// A number with decimals.
    Double,
    /// An email address; its form is checked.
    Email,
    /// A text that Salesforce keeps encrypted and may show masked.
    EncryptedString,
    /// The id of the record itself: 15 characters, or 18 that do not depend on case.
    Id,
    /// A whole number of 32 bits.
    Int,
    /// A place on earth, made of two fields for latitude and longitude; cannot be written as one.
    Location,
    /// A whole number of 64 bits.
    Long,
    /// Any number of values of a list, separated by semicolons.
    MultiPicklist,
    /// A number in percent: 5 is 5 %.
    Percent,
    /// A telephone number, as text of any form.
    Phone,
    /// One value of a list, closed if [`Field::restricted_picklist`].
    Picklist,
    /// The id of another record, of one of the objects in [`Field::reference_to`].
    Reference,
    /// One line of text.
    String,
    /// Text of several lines.
    TextArea,
    /// A time of day without a date.
    Time,
    /// A web address, as text.
    Url,
    /// A type newer than this client.
    Other,
}

impl<'de> Deserialize<'de> for FieldType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(deserializer)?.as_str() {
            "address" => Self::Address,
            "anyType" => Self::AnyType,
            "base64" => Self::Base64,
            "boolean" => Self::Boolean,
            "combobox" => Self::Combobox,
            "currency" => Self::Currency,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "double" => Self::Double,
            "email" => Self::Email,
            "encryptedstring" => Self::EncryptedString,
            "id" => Self::Id,
            "int" => Self::Int,
            "location" => Self::Location,
            "long" => Self::Long,
            "multipicklist" => Self::MultiPicklist,
            "percent" => Self::Percent,
            "phone" => Self::Phone,
            "picklist" => Self::Picklist,
            "reference" => Self::Reference,
            "string" => Self::String,
            "textarea" => Self::TextArea,
            "time" => Self::Time,
            "url" => Self::Url,
            _ => Self::Other,
        })
    }
}

impl Field {
    /// Salesforce refuses an insert without a value here. Booleans are never nillable but defaulted.
    pub fn required_on_insert(&self) -> bool {
        self.createable && !self.nillable && !self.defaulted_on_create
    }

    /// Rows can be found by this field: as key of an upsert or in a relationship column.
    pub fn is_key(&self) -> bool {
        self.id_lookup || self.external_id
    }

    /// The reference may point to more than one object. (`polymorphicForeignKey` says something else.)
    pub fn is_polymorphic(&self) -> bool {
        self.reference_to.len() > 1
    }
}

impl Describe {
    /// Finds a field; Salesforce does not mind the case of names.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.by_name.get(&name.to_ascii_lowercase()).map(|&at| &self.fields[at])
    }
}

impl<'de> Deserialize<'de> for Describe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            name: String,
            label: String,
            createable: bool,
            updateable: bool,
            deletable: bool,
            #[serde(default)]
            undeletable: bool,
            queryable: bool,
            fields: Vec<Field>,
        }
        let Wire { name, label, createable, updateable, deletable, undeletable, queryable, fields } = Wire::deserialize(deserializer)?;
        let by_name = fields.iter().enumerate().map(|(at, field)| (field.name.to_ascii_lowercase(), at)).collect();
        Ok(Self { name, label, createable, updateable, deletable, undeletable, queryable, fields, by_name })
    }
}

impl Client {
    /// Lists the org's objects. Harmless to repeat.
    pub async fn describe_global(&self) -> Result<Vec<ObjectSummary>, Error> {
        #[derive(Deserialize)]
        struct Wire {
            sobjects: Vec<ObjectSummary>,
        }
        let wire: Wire = self.get_json(READ.named("list the objects").at_most(LARGE), &["sobjects"], &[]).await?;
        Ok(wire.sobjects)
    }

    /// Describes one object. Harmless to repeat. An object that does not exist, or that the user may not see, is `NOT_FOUND`.
    pub async fn describe(&self, object: &str) -> Result<Describe, Error> {
        self.get_json(READ.named("describe the object").at_most(LARGE), &["sobjects", object, "describe"], &[]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, kind: &str, edit: impl Fn(&mut serde_json::Value)) -> serde_json::Value {
        let mut value = serde_json::json!({
            "name": name, "label": name, "type": kind, "length": 80, "nillable": true, "createable": true, "updateable": true,
            "externalId": false, "idLookup": false, "defaultedOnCreate": false, "unique": false, "caseSensitive": false,
            "referenceTo": [], "relationshipName": null, "byteLength": 240
        });
        edit(&mut value);
        value
    }

    fn contact() -> Describe {
        let fields = [
            field("Id", "id", |f| {
                f["createable"] = false.into();
                f["idLookup"] = true.into();
                f["nillable"] = false.into();
                f["defaultedOnCreate"] = true.into();
            }),
            field("LastName", "string", |f| f["nillable"] = false.into()),
            field("DoNotCall", "boolean", |f| {
                f["nillable"] = false.into();
                f["defaultedOnCreate"] = true.into();
            }),
            field("OwnerId", "reference", |f| f["referenceTo"] = serde_json::json!(["Group", "User"])),
            field("Shape__c", "hologram", |_| ()),
            field("Level__c", "picklist", |f| {
                f["restrictedPicklist"] = true.into();
                f["picklistValues"] = serde_json::json!([
                    {"active": true, "defaultValue": false, "label": "Primary", "validFor": null, "value": "1"},
                    {"active": false, "defaultValue": false, "label": null, "validFor": null, "value": "2"},
                ]);
            }),
        ];
        serde_json::from_value(serde_json::json!({
            "name": "Contact", "label": "Contact", "createable": true, "updateable": true, "deletable": true, "undeletable": true,
            "queryable": true, "fields": fields, "childRelationships": []
        }))
        .unwrap()
    }

    #[test]
    fn required_means_createable_without_default() {
        let contact = contact();
        let required: Vec<_> = contact.fields.iter().filter(|f| f.required_on_insert()).map(|f| f.name.as_str()).collect();
        assert_eq!(required, ["LastName"]);
    }

    #[test]
    fn fields_are_found_whatever_their_case_and_keep_their_exact_name() {
        assert_eq!(contact().field("lastname").unwrap().name, "LastName");
        assert!(contact().field("Nope").is_none());
    }

    #[test]
    fn a_picklist_has_its_values_active_or_not() {
        let contact = contact();
        let level = contact.field("Level__c").unwrap();
        let values: Vec<_> = level.picklist_values.iter().map(|value| (value.value.as_str(), value.label.as_deref())).collect();
        assert_eq!((level.restricted_picklist, values), (true, vec![("1", Some("Primary")), ("2", None)]));
        assert!(!contact.field("LastName").unwrap().restricted_picklist);
    }

    #[test]
    fn keys_references_and_unknown_types_are_told() {
        let contact = contact();
        assert!(contact.field("Id").unwrap().is_key());
        assert!(!contact.field("LastName").unwrap().is_key());
        assert!(contact.field("OwnerId").unwrap().is_polymorphic());
        assert_eq!(contact.field("Shape__c").unwrap().kind, FieldType::Other);
    }
}
