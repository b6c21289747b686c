//! What to do about a Connection: take its secret in, ask for it again, verify it, or leave it alone.

mod awaited;
mod budget;
mod consent;
mod intake;
mod remedy;
mod source;
mod verification;

pub use awaited::{Awaited, Seen, TURN, Wanted};
pub use budget::{A_MINUTE, AT_ONCE, Budget};
pub use consent::Consent;
pub use intake::{Decision, Observed, Seal, SealRefusal, Source, decide};
pub use remedy::{allowance, in_words, remedy};
pub use source::{managed_by, required_keys};
pub use verification::{Due, Shown, ShownThrough, again, due};

use api::ConnectionSpec;
use api::connection::CredentialSource;
use jiff::SignedDuration;

/// The source Secret is looked at this often.
pub const SOURCE_INTERVAL: SignedDuration = SignedDuration::from_secs(60);
/// A credential that was accepted is shown to the system again after this long.
pub const VERIFY_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// Revocation is tried this long; then what is left is reported and the object let go.
pub const REVOKE_LIMIT: SignedDuration = SignedDuration::from_mins(10);

/// What is known of a stored credential without opening it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredCredential {
    /// Counted from 1 for each Connection; a version is never given twice.
    pub version: i64,
    /// Digest of the endpoint that it was given for, as `ConnectionSpec::endpoint_digest` writes it.
    pub endpoint_digest: String,
    /// What it was taken from, with the consent of its owner.
    pub source: Option<CredentialSource>,
}

impl StoredCredential {
    /// Whether it was given for what the Connection describes, by the Secret or ServiceAccount that the Connection names.
    pub fn serves(&self, spec: &ConnectionSpec) -> bool {
        let source = spec.credentials.source();
        self.endpoint_digest == spec.endpoint_digest() && source.is_some() && self.source == source
    }
}
