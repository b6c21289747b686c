//! Reasons of a Tenant.

/// A key of this tenant seals and opens its records.
pub const ACTIVE: &str = "Active";
/// The namespaces of the Tenant are being bound to it.
pub const BINDING: &str = "Binding";
/// All namespaces of the Tenant are bound to it.
pub const BOUND: &str = "Bound";
/// The Tenant left: its tokens are revoked, its files deleted and its keys destroyed.
pub const ERASED: &str = "Erased";
/// The Tenant left and its files and keys are gone, but access tokens could not be revoked: they may live until their session ends, at
/// most a day.
pub const ERASED_UNREVOKED: &str = "ErasedUnrevoked";
/// What the Tenant has cannot be erased now; that is tried again, and the message names the annotation that lets the Tenant go unerased.
pub const ERASURE_BLOCKED: &str = "ErasureBlocked";
/// The API server refuses the finalizer without which nothing is made for this Tenant; the message has its words.
pub const FINALIZER_REFUSED: &str = "FinalizerRefused";
/// What the Tenant has is being erased; the message says what is waited for.
pub const LEAVING: &str = "Leaving";
/// The API server refuses a step of the Tenant's end; the message has its words.
pub const LEAVING_REFUSED: &str = "LeavingRefused";
/// The API server refuses the RoleBindings of the Tenant's members; the message has its words.
pub const MEMBERS_REFUSED: &str = "MembersRefused";
/// A namespace that the Tenant lists does not exist: create it.
pub const NAMESPACE_NOT_FOUND: &str = "NamespaceNotFound";
/// The API server refuses what a namespace of the Tenant needs; the message has its words.
pub const NAMESPACE_REFUSED: &str = "NamespaceRefused";
/// A namespace of the Tenant was deleted and made anew: if that was its owner, annotate the Tenant as the message says.
pub const NAMESPACE_REPLACED: &str = "NamespaceReplaced";
/// The Tenant lists a namespace that can be no tenant's: take it out of `spec.namespaces`.
pub const NAMESPACE_RESERVED: &str = "NamespaceReserved";
/// A namespace is listed by two Tenants: remove it from one of them.
pub const NAMESPACE_TAKEN: &str = "NamespaceTaken";
/// A namespace of the Tenant is being deleted.
pub const NAMESPACE_TERMINATING: &str = "NamespaceTerminating";
/// A Connection was deleted past its finalizer; its access tokens are revoked now.
pub const OWNERLESS_REVOKED: &str = "OwnerlessRevoked";
/// The Region that the Tenant names does not exist: create it, or name another one.
pub const REGION_NOT_FOUND: &str = "RegionNotFound";
/// The Region was deleted and made anew, so it is another place: nothing of this Tenant runs there.
pub const REGION_REPLACED: &str = "RegionReplaced";
/// The Tenant was let go without being erased, as its annotation asks.
pub const RELEASED_UNERASED: &str = "ReleasedUnerased";
/// The API server refuses to take back what was made in a namespace that the Tenant lists no more; the message has its words.
pub const RELEASE_REFUSED: &str = "ReleaseRefused";
/// Objects that others made were found in the namespace of this Tenant's workers and removed.
pub const REMOVED: &str = "Removed";
/// A Connection was deleted past its finalizer and its access tokens could not be revoked: they may live until their session ends, at most
/// a day.
pub const REVOCATION_FAILED: &str = "RevocationFailed";
/// The API server refuses the namespace of this Tenant's workers, or what stands in it; the message has its words.
pub const RUN_NAMESPACE_REFUSED: &str = "RunNamespaceRefused";
/// The namespace for this Tenant's workers exists and was not made for it: delete it.
pub const RUN_NAMESPACE_TAKEN: &str = "RunNamespaceTaken";
