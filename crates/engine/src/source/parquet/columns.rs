//! The schema → the columns that a row has a cell of, and the lists and maps that are none.

use parquet::basic::{ConvertedType, LogicalType, Repetition};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::shape::Shape;

/// What a schema has.
#[derive(Default)]
pub(super) struct Columns {
    /// In the order of the schema.
    pub(super) columns: Vec<Column>,
    /// Paths of lists and maps.
    lists: Vec<String>,
    /// Columns so far, those within lists and maps included.
    leaves: usize,
}

/// A column with at most one value in a row.
pub(super) struct Column {
    /// Its path, as in `address.city`.
    pub(super) name: String,
    /// Which column of the file it is.
    pub(super) leaf: usize,
    pub(super) shape: Shape,
}

impl Columns {
    pub(super) fn of(schema: &SchemaDescriptor) -> Self {
        let mut found = Self::default();
        for field in schema.root_schema().get_fields() {
            found.walk(schema, field, "", false);
        }
        found
    }

    /// How deep it goes was counted before.
    fn walk(&mut self, schema: &SchemaDescriptor, field: &Type, above: &str, in_list: bool) {
        let path = if above.is_empty() { field.name().to_owned() } else { format!("{above}.{}", field.name()) };
        let is_list = is_list(field);
        if is_list && !in_list {
            self.lists.push(path.clone());
        }
        let in_list = in_list || is_list;
        if field.is_primitive() {
            if !in_list {
                self.columns.push(Column { name: path, leaf: self.leaves, shape: Shape::of(&schema.column(self.leaves)) });
            }
            self.leaves += 1;
        } else {
            for field in field.get_fields() {
                self.walk(schema, field, &path, in_list);
            }
        }
    }

    /// The list or map that is called so, or that has something which is called so in it.
    pub(super) fn list(&self, name: &str) -> Option<&str> {
        let within = |list: &&String| name.strip_prefix(list.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.lists.iter().find(within).map(String::as_str)
    }
}

fn is_list(field: &Type) -> bool {
    let info = field.get_basic_info();
    let repeated = info.has_repetition() && info.repetition() == Repetition::REPEATED;
    let converted = matches!(info.converted_type(), ConvertedType::LIST | ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE);
    repeated || field.is_group() && (converted || matches!(info.logical_type_ref(), Some(LogicalType::List | LogicalType::Map)))
}
