//! What users write and read: the custom resource types of group `dataimporter.io/v1alpha1`, their conditions, names
//! and references, and the wire types of the keeper. Nothing here talks to a cluster, reads a clock or opens a file.

#![warn(missing_docs)]

pub mod conditions;
pub mod connection;
pub mod crds;
pub mod identity;
pub mod import_job;
pub mod import_run;
pub mod keeper;
pub mod limits;
pub mod meta;
pub mod names;
pub mod reasons;
pub mod region;
mod schema;
pub mod seal_key;
pub mod snapshot;
pub mod tenant;
pub mod text;
mod union;
pub mod upload;
mod zone;

pub use connection::{Connection, ConnectionSpec, ConnectionStatus};
pub use identity::{NamespaceName, Uid};
pub use import_job::{ImportJob, ImportJobSpec, ImportJobStatus};
pub use import_run::{ImportRun, ImportRunSpec, ImportRunStatus};
pub use region::{Region, RegionSpec, RegionStatus};
pub use tenant::{Tenant, TenantSpec, TenantStatus};
pub use upload::{Upload, UploadSpec, UploadStatus};
pub use zone::{UnknownZone, zone};

/// API group of every kind.
pub const GROUP: &str = "dataimporter.io";
/// The one served version.
pub const VERSION: &str = "v1alpha1";
