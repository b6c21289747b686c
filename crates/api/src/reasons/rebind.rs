//! Reasons of a request to take over what was kept for a Region or Tenant of before a restore.

/// What was kept for the one of before is this one's; the annotation can go.
pub const DONE: &str = "Done";
/// The keys of the one of before are not among the keeper's Secrets: restore them, or take the annotation off.
pub const KEYS_GONE: &str = "KeysGone";
/// The Region has made keys of its own already, so those of before stay apart. The message says what that means.
pub const OWN_KEYS: &str = "OwnKeys";
/// The annotation has no UID, or that of an object that is still there.
pub const REFUSED: &str = "Refused";
/// What is waited for is in the message: objects that are not there yet, access tokens that are not revoked yet, records that do not open.
pub const WAITING: &str = "Waiting";
