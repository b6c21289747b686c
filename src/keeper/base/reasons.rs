//! Reasons that the keeper's errors give: words for conditions, with what each means and what to do about it.

/// The API server cannot be reached, or fails; the message says what was being done. It is tried again.
pub(crate) const API_SERVER: &str = "APIServer";
/// The API server says no to the keeper; the message has what was being done and the server's words.
pub(crate) const API_SERVER_REFUSED: &str = "APIServerRefused";
/// A line cannot be written to the audit, so nothing that needs one is done; the message says why.
pub(crate) const AUDIT_FAILED: &str = "AuditFailed";
/// A Secret that the keeper wrote cannot be read any more: restore it from a backup.
pub(crate) const BAD_RECORD: &str = "BadRecord";
/// The bucket overwrites an object in spite of a condition that does not hold: use a server of S3 that knows conditional writes.
pub(crate) const BUCKET_IGNORES_CONDITIONS: &str = "BucketIgnoresConditions";
/// The bucket keeps versions, so what is deleted stays: use one in which versions were never turned on.
pub(crate) const BUCKET_KEEPS_VERSIONS: &str = "BucketKeepsVersions";
/// The Secret with the access key of the bucket does not exist, or lacks an entry: the message names both.
pub(crate) const BUCKET_KEY_MISSING: &str = "BucketKeyMissing";
/// The keeper cannot make or use its TLS certificate; the message says why.
pub(crate) const CERTIFICATE: &str = "Certificate";
/// The clock of the keeper's machine and the API server's differ by more than they may, or the latter is not known yet: set the wrong one
/// right.
pub(crate) const CLOCK_SKEW: &str = "ClockSkew";
/// The Connection is being disconnected: nothing is stored or issued for it any more.
pub(crate) const DISCONNECTING: &str = "Disconnecting";
/// The Region's volume has no room for files beside what is kept for the audit: try again when files there have had their time, or enlarge
/// the volume.
pub(crate) const FULL: &str = "Full";
/// The Region's volume is not mounted into the keeper: correct the chart's values.
pub(crate) const NOT_MOUNTED: &str = "NotMounted";
/// The Region's storage does not respond; it is tried again.
pub(crate) const NOT_RESPONDING: &str = "NotResponding";
/// A part of the Region has no key that this version of the keeper knows, or more than one: set exactly one that it knows, or upgrade
/// Dataimporter.
pub(crate) const NOT_UNDERSTOOD: &str = "NotUnderstood";
/// The Region does not exist.
pub(crate) const REGION_UNKNOWN: &str = "RegionUnknown";
/// The file with the root key cannot be read: mount it as `rootKey.file` says.
pub(crate) const ROOT_KEY_FILE_UNREADABLE: &str = "RootKeyFileUnreadable";
/// The Region's storage fails; the message says at what.
pub(crate) const STORAGE_FAILED: &str = "StorageFailed";
/// The tenant for which the credential was stored is gone.
pub(crate) const TENANT_GONE: &str = "TenantGone";
/// The Tenant is not bound to its Region yet.
pub(crate) const TENANT_NOT_READY: &str = "TenantNotReady";
