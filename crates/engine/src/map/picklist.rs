//! The values of a picklist, and whether a cell holds one. Case is not minded, as Salesforce does not. A value that is no
//! longer offered is still one: what a record type or a past value allows is Salesforce's to say.

use std::collections::HashSet;
use std::sync::Arc;

use salesforce::{Field, FieldType};

/// How many values a message lists.
const SHOWN: usize = 5;

#[derive(Clone, Debug)]
pub(super) struct Picklist {
    lists: Arc<Lists>,
    /// Several values with semicolons between them.
    multiple: bool,
    pub(super) restricted: bool,
}

#[derive(Debug)]
struct Lists {
    values: HashSet<Box<[u8]>>,
    /// In the order of the org, as messages list them.
    ordered: Vec<Box<str>>,
    labels: Vec<Box<str>>,
}

/// A value that is not in the list.
#[derive(Debug, PartialEq)]
pub(super) struct Stranger<'c>(pub(super) &'c [u8]);

impl Picklist {
    /// Nothing for other fields, and for lists that the org does not tell.
    pub(super) fn of(field: &Field) -> Option<Self> {
        let multiple = match field.kind {
            FieldType::Picklist => false,
            FieldType::MultiPicklist => true,
            _ => return None,
        };
        let known = &field.picklist_values;
        if known.is_empty() {
            return None;
        }
        let lists = Lists {
            values: known.iter().map(|known| known.value.as_bytes().into()).collect(),
            ordered: known.iter().map(|known| known.value.as_str().into()).collect(),
            labels: known.iter().filter_map(|known| known.label.as_deref()).map(Into::into).collect(),
        };
        Some(Self { lists: Arc::new(lists), multiple, restricted: field.restricted_picklist })
    }

    /// The cell's first value that the list does not have.
    pub(super) fn check<'c>(&self, cell: &'c [u8]) -> Result<(), Stranger<'c>> {
        if self.lists.values.contains(cell) {
            return Ok(());
        }
        if !self.multiple {
            return if self.has(cell) { Ok(()) } else { Err(Stranger(cell)) };
        }
        let mut values = cell.split(|byte| *byte == b';').map(crate::cells::trim);
        values.find(|value| !value.is_empty() && !self.has(value)).map_or(Ok(()), |value| Err(Stranger(value)))
    }

    /// Whether a restricted list has it: labels, too, which some orgs take in place of values.
    fn has(&self, value: &[u8]) -> bool {
        let Lists { values, ordered, labels } = &*self.lists;
        let Ok(text) = std::str::from_utf8(value) else { return false };
        let labels = if self.restricted { labels.as_slice() } else { &[] };
        values.contains(value) || ordered.iter().chain(labels).any(|known| same(known, text))
    }

    /// What a person probably meant, else what there is to choose from.
    pub(super) fn advice(&self, value: &str) -> String {
        let names = &self.lists.ordered;
        let near = formula::nearest_few(value, names.iter().map(AsRef::as_ref), SHOWN);
        if near.is_empty() {
            let more = if names.len() > SHOWN { ", …" } else { "" };
            return format!("it has {}{more}", listed(names.iter().take(SHOWN).map(AsRef::as_ref)));
        }
        format!("did you mean {}?", listed(near.into_iter()))
    }
}

fn listed<'v>(values: impl Iterator<Item = &'v str>) -> String {
    values.map(|value| formula::Shown(value).to_string()).collect::<Vec<_>>().join(", ")
}

fn same(known: &str, text: &str) -> bool {
    known.eq_ignore_ascii_case(text)
        || !(known.is_ascii() && text.is_ascii())
            && known.chars().flat_map(char::to_lowercase).eq(text.chars().flat_map(char::to_lowercase))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn picklist(kind: &str, restricted: bool) -> Picklist {
        let value = |value: &str, label: &str, active: bool| json!({"active": active, "label": label, "value": value});
        let field: Field = serde_json::from_value(json!({
            "name": "Rating__c", "label": "Rating", "type": kind, "length": 255, "nillable": true, "createable": true, "updateable": true,
            "externalId": false, "idLookup": false, "defaultedOnCreate": false, "unique": false, "caseSensitive": false,
            "restrictedPicklist": restricted,
            "picklistValues": [value("Hot", "Heiß", true), value("Warm", "Warm", true), value("Übrig", "Übrig", false)],
        }))
        .unwrap();
        Picklist::of(&field).unwrap()
    }

    fn stranger(list: &Picklist, cell: &str) -> Option<String> {
        list.check(cell.as_bytes()).err().map(|Stranger(value)| String::from_utf8(value.to_vec()).unwrap())
    }

    #[test]
    fn values_are_found_in_any_case_and_strangers_are_told() {
        for restricted in [true, false] {
            let list = picklist("picklist", restricted);
            for good in ["Hot", "HOT", "warm", "übrig"] {
                assert_eq!(stranger(&list, good), None, "{good}");
            }
            for bad in ["Hott", "Hot;Warm", "null", "Cold"] {
                assert_eq!(stranger(&list, bad).as_deref(), Some(bad));
            }
        }
        // In an open list a label becomes a value of its own.
        assert_eq!(stranger(&picklist("picklist", true), "heiß"), None);
        assert_eq!(stranger(&picklist("picklist", false), "Heiß").as_deref(), Some("Heiß"));
    }

    #[test]
    fn several_values_are_looked_at_one_by_one() {
        let list = picklist("multipicklist", true);
        assert_eq!(stranger(&list, "Hot; warm ;"), None);
        assert_eq!(stranger(&list, "Hot;Cold;Icy").as_deref(), Some("Cold"));
    }

    #[test]
    fn advice_names_the_nearest_values_or_some() {
        let list = picklist("picklist", true);
        assert_eq!(list.advice("Hott"), "did you mean \"Hot\"?");
        assert_eq!(list.advice("Freezing"), "it has \"Hot\", \"Warm\", \"Übrig\"");
    }

    #[test]
    fn a_list_that_the_org_does_not_tell_is_no_list() {
        let mut field: serde_json::Value = json!({
            "name": "A", "label": "A", "type": "picklist", "length": 255, "nillable": true, "createable": true, "updateable": true,
            "externalId": false, "idLookup": false, "defaultedOnCreate": false, "unique": false, "caseSensitive": false,
        });
        assert!(Picklist::of(&serde_json::from_value(field.clone()).unwrap()).is_none());
        field["type"] = "combobox".into();
        field["picklistValues"] = json!([{"value": "a", "label": "a"}]);
        assert!(Picklist::of(&serde_json::from_value(field).unwrap()).is_none());
    }
}
