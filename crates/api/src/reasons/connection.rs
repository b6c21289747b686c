//! Reasons of a Connection.

/// Tokens for this audience would open the cluster itself, and are shown to nobody: name that of the other side.
pub const AUDIENCE_REFUSED: &str = "AudienceRefused";
/// The owner of the Secret has not agreed to this Connection and endpoint; the message has the annotation to add.
pub const CONSENT_MISSING: &str = "ConsentMissing";
/// The owner of the Secret took the consent back: tokens are revoked and what was stored is destroyed.
pub const CONSENT_WITHDRAWN: &str = "ConsentWithdrawn";
/// The credential was taken in and is stored encrypted.
pub const CREDENTIAL_STORED: &str = "CredentialStored";
/// The Connection is being disconnected and waits for runs that use it.
pub const DISCONNECTING: &str = "Disconnecting";
/// The API server refuses the finalizer without which nothing is stored for this Connection; the message has its words.
pub const FINALIZER_REFUSED: &str = "FinalizerRefused";
/// The Secret is still readable in the namespace: `afterIntake: Delete` removes it.
pub const KEPT: &str = "Kept";
/// The Secret lacks entries that the message names: add them.
pub const KEYS_MISSING: &str = "KeysMissing";
/// No Tenant lists the namespace of this Connection, or it holds another one of that name: list it in one.
pub const NAMESPACE_NOT_HELD: &str = "NamespaceNotHeld";
/// What is stored was given for another endpoint or by another Secret: bring the Secret with its consent to this endpoint, or point the
/// Connection back.
pub const NEEDS_REAUTHENTICATION: &str = "NeedsReauthentication";
/// The Secret should have been deleted after its intake and is still there; condition `Ready` says what is in the way.
pub const NOT_DELETED: &str = "NotDeleted";
/// Access tokens could not be revoked and may live until their session ends, at most a day; the stored credential is destroyed.
pub const REVOCATION_FAILED: &str = "RevocationFailed";
/// Tokens could not be revoked yet; that is tried until the time in the message.
pub const REVOCATION_PENDING: &str = "RevocationPending";
/// The Connection is disconnected here; the message says what the system itself still has to be told.
pub const REVOKED_LOCALLY: &str = "RevokedLocally";
/// The key that the credential was sealed to is none of this Region's, or was destroyed after its 90 days: seal it again.
pub const SEAL_KEY_UNKNOWN: &str = "SealKeyUnknown";
/// The sealed credential does not open here: it was sealed for another Connection, endpoint, namespace, Tenant, Region or installation, or altered.
pub const SEALED_FOR_ANOTHER: &str = "SealedForAnother";
/// The Secret was deleted after its intake, as `afterIntake: Delete` asks.
pub const SOURCE_DELETED: &str = "SourceDeleted";
/// The keeper may not read the Secret, or not ask for tokens of the ServiceAccount; the message has the Role to apply.
pub const SOURCE_FORBIDDEN: &str = "SourceForbidden";
/// The Secret is managed by a tool that would bring it back after its deletion: use `afterIntake: Keep`, or create the Secret by hand.
pub const SOURCE_MANAGED: &str = "SourceManaged";
/// The Secret is not there: create it with the entries that the message names.
pub const SOURCE_MISSING: &str = "SourceMissing";
/// The keeper may not delete the Secret, as `afterIntake: Delete` asks; the message has the rule to add.
pub const SOURCE_NOT_DELETED: &str = "SourceNotDeleted";
/// What the Connection describes was shown to nobody yet and is not while it is suspended: set `spec.suspend` to false.
pub const SUSPENDED: &str = "Suspended";
/// The spec names no system, or no way to log in to it, that this version of the keeper knows: name one that it knows, or upgrade
/// Dataimporter.
pub const UNKNOWN_SYSTEM: &str = "UnknownSystem";
/// As many of the Tenant's Connections are being verified as may be at a time: this one has its turn later.
pub const VERIFICATION_WAITS: &str = "VerificationWaits";
/// The system took the credential; `status.metadata` says which system and which user.
pub const VERIFIED: &str = "Verified";
/// The credential is being shown to the system.
pub const VERIFYING: &str = "Verifying";
