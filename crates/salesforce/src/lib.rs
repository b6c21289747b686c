//! Salesforce client: authorization, REST reads, SOQL, Bulk API 2.0.
//!
//! Every call says what it may be repeated for, repeats itself no further than that, and fails with a class that tells the caller what
//! to do ([`Class`]) and whether the server can have seen the request ([`Delivery`]). It knows nothing of Kubernetes, of mappings or of
//! where a token is kept; it gets its HTTP client from the one dialer and its sessions from a [`SessionSource`].

#![warn(missing_docs)]

pub mod auth;
pub mod bulk;
mod client;
mod describe;
mod error;
mod limits;
mod query;
mod reasons;
mod retry;
mod session;
mod versions;
mod wire_error;

pub use client::Client;
pub use describe::{Describe, Field, FieldType, ObjectSummary, PicklistValue};
pub use error::{Class, Delivery, Error, NetworkError};
pub use limits::{ApiUsage, Limit, Limits};
pub use query::{Records, quoted};
pub use retry::{Clock, Retry, RetryPolicy};
pub use session::{Session, SessionCache, SessionIssuer, SessionSource};
pub use versions::{ApiVersion, NotAVersion};
pub use wire_error::{ApiError, OAuthError, RowError};
