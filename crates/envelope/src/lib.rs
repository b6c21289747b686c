//! Everything this product keeps encrypted: the record format, file streams, keys and their rotation.
//!
//! The format is written down in `docs/formats/record.md`; names here are the names there.
//!
//! - [`record`] seals and opens small things in one call, [`stream`] files of any size as they pass by.
//! - [`KeyRing`] holds a tenant's opened keys and is what most callers use; [`TenantRing`] is the same ring as stored, keys wrapped.
//! - [`sealed`] is for credentials that lie in Git: anybody seals them, and a Region's own ring opens them.
//! - [`Ring::decide`] says which rotation step is due at a moment.
//! - [`TenantRing`] is given keys wrapped and unwrapped; [`RootCustody`] is a root key that is held here, in the clear. A holder that must be asked
//!   over a network is its caller's.
//!
//! It knows nothing of Kubernetes, HTTP, files or clocks: callers bring bytes, the time and a source of randomness.
//!
//! Key types have no `Debug`, so that no log line can hold one; ids have.
//! ```
//! fn loggable<T: std::fmt::Debug>() {}
//! loggable::<envelope::Kid>();
//! ```
//! ```compile_fail,E0277
//! fn loggable<T: std::fmt::Debug>() {}
//! loggable::<envelope::TenantKey>();
//! ```

#![warn(missing_docs)]

mod audit;
mod cobblestone;
mod context;
mod digest;
mod error;
mod header;
mod keys;
mod reasons;
pub mod record;
mod ring;
mod root;
pub mod sealed;
pub mod stream;
#[cfg(test)]
mod vectors;

pub use audit::AuditKey;
pub use context::{EncryptionContext, Scope};
pub use error::{CustodyError, MessageTooLong, OpenError, RingError};
pub use header::{HEADER_LEN, Header, Purpose};
pub use keys::{FileKey, Kid, KidError, TenantKey};
pub use ring::{Entry, KeyRing, KeyState, Observed, Opened, Policy, Request, Ring, RootRing, Step, TenantRing, WrappedKey};
pub use root::{FileRoot, RootCustody, SecretRoot};
