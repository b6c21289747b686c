//! The schema file: reads YAML, merges files in order, fills in what every object has, resolves names to numbers.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::link::{link_children, link_origins};
use super::{DuplicateRule, Field, FieldType, Object, Schema, Source, ValidationRule};

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum SchemaError {
    #[error("the schema is not readable as YAML")]
    Yaml(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("object {object}: field {field} refers to {target}, which is not in the schema")]
    UnknownTarget { object: String, field: String, target: String },
    #[error("object {object}: rule {rule} names the field {field}, which the object does not have")]
    UnknownRuleField { object: String, rule: String, field: String },
    #[error("object {object}: field {field} takes its value from {target}, which is not there")]
    UnknownOrigin { object: String, field: String, target: String },
    #[error("object {object}: the key prefix {prefix:?} must be three letters or digits of its own")]
    Prefix { object: String, prefix: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSpec {
    objects: Vec<ObjectSpec>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ObjectSpec {
    name: String,
    label: Option<String>,
    plural: Option<String>,
    prefix: Option<String>,
    #[serde(default)]
    setup: bool,
    createable: Option<bool>,
    deletable: Option<bool>,
    undeletable: Option<bool>,
    /// Rows that never go to the Recycle Bin have no IsDeleted.
    recyclable: Option<bool>,
    /// The objects that may own a row; none means rows have no owner.
    #[serde(default)]
    owner: Vec<String>,
    #[serde(default)]
    pub(super) fields: Vec<FieldSpec>,
    #[serde(default)]
    validation_rules: Vec<ValidationRule>,
    #[serde(default)]
    duplicate_rules: Vec<DuplicateRuleSpec>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DuplicateRuleSpec {
    name: String,
    fields: Vec<String>,
    #[serde(default)]
    block: bool,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FieldSpec {
    pub(super) name: String,
    label: Option<String>,
    #[serde(rename = "type")]
    kind: FieldType,
    length: Option<u32>,
    precision: Option<u32>,
    #[serde(default)]
    scale: u32,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    external_id: bool,
    #[serde(default)]
    id_lookup: bool,
    #[serde(default)]
    case_sensitive: bool,
    #[serde(default)]
    name_field: bool,
    createable: Option<bool>,
    updateable: Option<bool>,
    #[serde(default)]
    reference_to: Vec<String>,
    relationship: Option<String>,
    child_relationship: Option<String>,
    #[serde(default)]
    cascade_delete: bool,
    #[serde(default)]
    restricted_delete: bool,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    restricted: bool,
    default: Option<String>,
    #[serde(default)]
    source: Source,
    pub(super) by_value: Option<ByValueSpec>,
    /// `Relationship.Field`: what the field reads is the parent's.
    pub(super) of_parent: Option<String>,
    defaulted_on_create: Option<bool>,
    permissionable: Option<bool>,
    compound: Option<String>,
    extra_type: Option<String>,
}

/// What a field reads while nothing is stored in it, by the value of another one.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByValueSpec {
    pub(super) field: String,
    pub(super) values: BTreeMap<String, String>,
    pub(super) rest: Option<String>,
}

pub(super) fn build(files: &[&str]) -> Result<Schema, SchemaError> {
    let mut specs: Vec<ObjectSpec> = Vec::new();
    for text in files {
        let file: FileSpec = serde_saphyr::from_str(text).map_err(|error| SchemaError::Yaml(Box::new(error)))?;
        file.objects.into_iter().for_each(|object| merge(&mut specs, object));
    }
    let by_name: HashMap<String, usize> = specs.iter().enumerate().map(|(i, spec)| (spec.name.to_ascii_lowercase(), i)).collect();
    let prefixes = prefixes(&specs)?;
    let mut objects = specs.iter().zip(&prefixes).map(|(spec, prefix)| object(spec, prefix, &by_name)).collect::<Result<Vec<_>, _>>()?;
    link_origins(&specs, &mut objects)?;
    link_children(&mut objects);
    let by_prefix = prefixes.into_iter().enumerate().map(|(i, prefix)| (prefix, i)).collect();
    Ok(Schema { objects, by_name, by_prefix })
}

/// A later file adds to an object or replaces its fields by name.
fn merge(specs: &mut Vec<ObjectSpec>, later: ObjectSpec) {
    let Some(known) = specs.iter_mut().find(|spec| spec.name.eq_ignore_ascii_case(&later.name)) else {
        specs.push(later);
        return;
    };
    for field in later.fields {
        known.fields.retain(|old| !old.name.eq_ignore_ascii_case(&field.name));
        known.fields.push(field);
    }
    known.validation_rules.extend(later.validation_rules);
    known.duplicate_rules.extend(later.duplicate_rules);
    known.label = later.label.or(known.label.take());
    known.plural = later.plural.or(known.plural.take());
    known.createable = later.createable.or(known.createable);
    known.deletable = later.deletable.or(known.deletable);
    known.undeletable = later.undeletable.or(known.undeletable);
    known.recyclable = later.recyclable.or(known.recyclable);
}

/// Custom objects without a prefix get a00, a01, … in their order.
fn prefixes(specs: &[ObjectSpec]) -> Result<Vec<String>, SchemaError> {
    let mut next = 0;
    let mut seen = Vec::new();
    for spec in specs {
        let prefix = spec.prefix.clone().unwrap_or_else(|| {
            let made = format!("a{next:02}");
            next += 1;
            made
        });
        if prefix.len() != 3 || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) || seen.contains(&prefix) {
            return Err(SchemaError::Prefix { object: spec.name.clone(), prefix });
        }
        seen.push(prefix);
    }
    Ok(seen)
}

fn object(spec: &ObjectSpec, prefix: &str, by_name: &HashMap<String, usize>) -> Result<Object, SchemaError> {
    let specs = system_fields(spec).into_iter().chain(spec.fields.iter().cloned());
    let fields = specs.map(|field| field_of(spec, field, by_name)).collect::<Result<Vec<_>, _>>()?;
    let names: HashMap<String, usize> = fields.iter().enumerate().map(|(i, field)| (field.name.to_ascii_lowercase(), i)).collect();
    let relationships =
        fields.iter().enumerate().filter_map(|(i, field)| field.relationship.as_ref().map(|name| (name.to_ascii_lowercase(), i))).collect();
    let known = |rule: &str, field: &str| {
        names.get(&field.to_ascii_lowercase()).copied().ok_or_else(|| SchemaError::UnknownRuleField {
            object: spec.name.clone(),
            rule: rule.to_owned(),
            field: field.to_owned(),
        })
    };
    let duplicate_rules = spec
        .duplicate_rules
        .iter()
        .map(|rule| {
            let fields = rule.fields.iter().map(|field| known(&rule.name, field)).collect::<Result<_, _>>()?;
            Ok(DuplicateRule { fields, block: rule.block })
        })
        .collect::<Result<_, SchemaError>>()?;
    for rule in &spec.validation_rules {
        rule.field.iter().try_for_each(|field| known(&rule.name, field).map(drop))?;
    }
    let label = spec.label.clone().unwrap_or_else(|| spec.name.trim_end_matches("__c").replace('_', " "));
    Ok(Object {
        name: spec.name.clone(),
        plural: spec.plural.clone().unwrap_or_else(|| format!("{label}s")),
        label,
        prefix: prefix.to_owned(),
        custom: spec.name.ends_with("__c"),
        setup: spec.setup,
        createable: spec.createable.unwrap_or(true),
        deletable: spec.deletable.unwrap_or(true),
        undeletable: spec.undeletable.unwrap_or(spec.name.ends_with("__c")),
        fields,
        children: Vec::new(),
        validation_rules: spec.validation_rules.clone(),
        duplicate_rules,
        needed: Vec::new(),
        by_name: names,
        by_relationship: relationships,
    })
}

fn system_fields(spec: &ObjectSpec) -> Vec<FieldSpec> {
    let system = |name: &str, label: &str, kind, source| FieldSpec {
        name: name.to_owned(),
        label: Some(label.to_owned()),
        kind,
        length: None,
        precision: None,
        scale: 0,
        required: true,
        unique: false,
        external_id: false,
        id_lookup: source == Source::Id,
        case_sensitive: false,
        name_field: false,
        createable: Some(false),
        updateable: Some(false),
        reference_to: Vec::new(),
        relationship: None,
        child_relationship: None,
        cascade_delete: false,
        restricted_delete: false,
        values: Vec::new(),
        restricted: false,
        default: None,
        source,
        by_value: None,
        of_parent: None,
        defaulted_on_create: Some(true),
        permissionable: None,
        compound: None,
        extra_type: None,
    };
    let user = |name: &str, label: &str, relationship: &str| FieldSpec {
        reference_to: vec!["User".to_owned()],
        relationship: Some(relationship.to_owned()),
        ..system(name, label, FieldType::Reference, Source::RunningUser)
    };
    let mut fields = vec![
        system("Id", &format!("{} ID", spec.label.as_deref().unwrap_or("Record")), FieldType::Id, Source::Id),
        system("IsDeleted", "Deleted", FieldType::Boolean, Source::IsDeleted),
        system("CreatedDate", "Created Date", FieldType::Datetime, Source::Created),
        user("CreatedById", "Created By ID", "CreatedBy"),
        system("LastModifiedDate", "Last Modified Date", FieldType::Datetime, Source::Modified),
        user("LastModifiedById", "Last Modified By ID", "LastModifiedBy"),
        system("SystemModstamp", "System Modstamp", FieldType::Datetime, Source::Modified),
    ];
    if spec.recyclable == Some(false) {
        fields.retain(|field| field.source != Source::IsDeleted);
    }
    let owned_by = if spec.owner.is_empty() && spec.name.ends_with("__c") && !has_master(spec) {
        vec!["Group".to_owned(), "User".to_owned()]
    } else {
        spec.owner.clone()
    };
    if !owned_by.is_empty() {
        fields.push(FieldSpec {
            reference_to: owned_by,
            relationship: Some("Owner".to_owned()),
            createable: Some(true),
            updateable: Some(true),
            default: Some(super::RUNNING_USER.to_owned()),
            ..system("OwnerId", "Owner ID", FieldType::Reference, Source::Stored)
        });
    }
    fields
}

/// The detail side of a master-detail relationship has no owner of its own.
fn has_master(spec: &ObjectSpec) -> bool {
    spec.fields.iter().any(|field| field.cascade_delete && field.required)
}

fn field_of(object: &ObjectSpec, spec: FieldSpec, by_name: &HashMap<String, usize>) -> Result<Field, SchemaError> {
    let reference_to = spec
        .reference_to
        .iter()
        .map(|target| {
            by_name.get(&target.to_ascii_lowercase()).copied().ok_or_else(|| SchemaError::UnknownTarget {
                object: object.name.clone(),
                field: spec.name.clone(),
                target: target.clone(),
            })
        })
        .collect::<Result<_, _>>()?;
    let stored = spec.source == Source::Stored && spec.of_parent.is_none();
    let length = spec.length.unwrap_or(match spec.kind {
        FieldType::Id | FieldType::Reference => 18,
        kind if kind.is_text() => 255,
        _ => 0,
    });
    let (createable, updateable) = (spec.createable.unwrap_or(stored), spec.updateable.unwrap_or(stored));
    let is_box = spec.kind == FieldType::Boolean;
    let custom = spec.name.ends_with("__c");
    // A lookup that must have a value cannot be emptied when its parent goes.
    let must_stay = spec.kind == FieldType::Reference && spec.required && custom && !spec.cascade_delete;
    let default = spec.default.or_else(|| (is_box && stored && spec.by_value.is_none()).then(|| "false".to_owned()));
    Ok(Field {
        label: spec.label.unwrap_or_else(|| label_of(&spec.name)),
        kind: spec.kind,
        length,
        precision: spec.precision.unwrap_or(if spec.kind.is_number() { 18 } else { 0 }),
        scale: spec.scale,
        required: spec.required || is_box,
        unique: spec.unique,
        external_id: spec.external_id,
        id_lookup: spec.id_lookup,
        case_sensitive: spec.case_sensitive,
        name_field: spec.name_field,
        custom,
        createable,
        updateable,
        reference_to,
        relationship: spec.relationship,
        child_relationship: spec.child_relationship,
        cascade_delete: spec.cascade_delete,
        restricted_delete: spec.restricted_delete || must_stay,
        values: spec.values,
        restricted: spec.restricted,
        defaulted_on_create: spec.defaulted_on_create.unwrap_or(default.is_some() || is_box || spec.source == Source::AutoNumber),
        permissionable: spec.permissionable.unwrap_or(createable && updateable && (is_box || !spec.required)),
        default,
        otherwise: None,
        source: spec.source,
        compound: spec.compound,
        extra_type: spec.extra_type,
        name: spec.name,
    })
}

/// `BillingPostalCode` reads "Billing Postal Code".
fn label_of(name: &str) -> String {
    let mut label = String::new();
    for (i, c) in name.trim_end_matches("__c").replace('_', " ").chars().enumerate() {
        if i > 0 && c.is_ascii_uppercase() && !label.ends_with(' ') {
            label.push(' ');
        }
        label.push(c);
    }
    label
}
