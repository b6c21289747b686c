//! What to do about a Connection: take its secret in, ask for it again, verify it, or leave it alone.

mod intake;
mod source;

pub use intake::{Decision, Observed, Source, decide};
pub use source::{managed_by, missing_keys, required_keys};

use jiff::SignedDuration;

/// The source Secret is looked at this often.
pub const SOURCE_INTERVAL: SignedDuration = SignedDuration::from_secs(60);
/// A credential that was accepted is shown to the system again after this long.
pub const VERIFY_INTERVAL: SignedDuration = SignedDuration::from_hours(1);
/// Revocation is tried this long; then what is left is reported and the object let go.
pub const REVOKE_LIMIT: SignedDuration = SignedDuration::from_mins(10);
