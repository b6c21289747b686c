//! What fields of different objects have to do with each other, once all of them are known by number.

use super::spec::{FieldSpec, ObjectSpec, SchemaError};
use super::{Child, Object, Otherwise, Source};

/// Where fields read from while nothing is stored in them; then which fields every new row must bring.
pub(super) fn link_origins(specs: &[ObjectSpec], objects: &mut [Object]) -> Result<(), SchemaError> {
    for number in 0..objects.len() {
        for spec in &specs[number].fields {
            let Some(field) = objects[number].field(&spec.name) else { continue };
            if let Some(otherwise) = origin(spec, number, objects)? {
                objects[number].fields[field].otherwise = Some(otherwise);
            }
        }
        let needed = objects[number].fields.iter().enumerate().filter(|(_, field)| field.needs_value());
        objects[number].needed = needed.map(|(field, _)| field).collect();
    }
    Ok(())
}

fn origin(spec: &FieldSpec, number: usize, objects: &[Object]) -> Result<Option<Otherwise>, SchemaError> {
    let object = &objects[number];
    let unknown =
        |target: &str| SchemaError::UnknownOrigin { object: object.name.clone(), field: spec.name.clone(), target: target.to_owned() };
    if let Some(by_value) = &spec.by_value {
        let field = object.field(&by_value.field).ok_or_else(|| unknown(&by_value.field))?;
        let values = by_value.values.clone().into_iter().collect();
        return Ok(Some(Otherwise::ByValue { field, values, rest: by_value.rest.clone() }));
    }
    let Some(path) = &spec.of_parent else { return Ok(None) };
    let parent = path.split_once('.').and_then(|(relationship, name)| {
        let reference = object.relationship(relationship)?;
        let parent = *object.fields[reference].reference_to.first()?;
        Some(Otherwise::OfParent { reference, object: parent, field: objects[parent].field(name)? })
    });
    parent.map(Some).ok_or_else(|| unknown(path))
}

pub(super) fn link_children(objects: &mut [Object]) {
    let mut links = Vec::new();
    for (i, object) in objects.iter().enumerate() {
        for (j, field) in object.fields.iter().enumerate().filter(|(_, field)| field.source == Source::Stored) {
            for &target in &field.reference_to {
                let child = Child {
                    object: i,
                    field: j,
                    relationship: field.child_relationship.clone(),
                    cascade_delete: field.cascade_delete,
                    restricted_delete: field.restricted_delete,
                };
                links.push((target, child));
            }
        }
    }
    links.into_iter().for_each(|(target, child)| objects[target].children.push(child));
}
