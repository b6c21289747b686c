//! How a Parquet file is read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Parquet file says everything of itself, so there is nothing to set. Fields of groups are columns by their path, as in `address.city`;
/// lists and maps are none.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParquetFormat {}
