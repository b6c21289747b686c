//! Reasons that the errors of this crate give: words for conditions, with what each means and what to do about it.

/// A chunk of the record was altered, moved or damaged: restore it from a backup, or bring the content again.
pub(crate) const ALTERED: &str = "Altered";
/// A stored ring of keys cannot be read: restore it from a backup.
pub(crate) const BAD_RING: &str = "BadRing";
/// The root key file does not hold what a root key is; the message says what to write into it.
pub(crate) const BAD_ROOT_KEY_FILE: &str = "BadRootKeyFile";
/// The record belongs to another object, endpoint or installation, or was sealed under another key.
pub(crate) const BOUND_TO_ANOTHER: &str = "BoundToAnother";
/// The key was destroyed: what it sealed is gone for good.
pub(crate) const DESTROYED_KEY: &str = "DestroyedKey";
/// The ring is that of another Region, installation or tenant.
pub(crate) const FOREIGN_SCOPE: &str = "ForeignScope";
/// The key cannot take the step that was asked for in the state it is in.
pub(crate) const KEY_STATE: &str = "KeyState";
/// The record has content of a length that its purpose does not allow.
pub(crate) const MALFORMED: &str = "Malformed";
/// The bytes are no encrypted record.
pub(crate) const NOT_A_RECORD: &str = "NotARecord";
/// No key of the tenant is active, so nothing can be sealed until one is promoted.
pub(crate) const NO_ACTIVE_KEY: &str = "NoActiveKey";
/// No root key is active, so nothing can be wrapped.
pub(crate) const NO_ACTIVE_ROOT_KEY: &str = "NoActiveRootKey";
/// More was to be sealed than one record or file may hold, which is 4 PiB.
pub(crate) const TOO_LONG: &str = "TooLong";
/// The record was cut off: restore it from a backup, or bring the content again.
pub(crate) const TRUNCATED: &str = "Truncated";
/// The record was sealed under a key that is not in the ring of this tenant in this Region.
pub(crate) const UNKNOWN_KEY: &str = "UnknownKey";
/// The record has a format, cipher suite or purpose that this version does not know: a newer one may have written it.
pub(crate) const UNKNOWN_RECORD_VERSION: &str = "UnknownRecordVersion";
/// The keys were wrapped under a root key, or by a provider, that is not held here: put it back, or restore the ring that was wrapped
/// under the one that is.
pub(crate) const UNKNOWN_ROOT_KEY: &str = "UnknownRootKey";
/// The record was sealed under another key than the one it was opened with.
pub(crate) const WRONG_KEY: &str = "WrongKey";
/// The record is of another purpose than the one that was asked for.
pub(crate) const WRONG_PURPOSE: &str = "WrongPurpose";
