//! Reasons of an ImportJob.

/// A former job of this name ran with the same id: change `trigger.once.id` to run again.
pub const ALREADY_RAN: &str = "AlreadyRan";
/// Runs start by the clock, or when somebody creates an ImportRun.
pub const ARMED: &str = "Armed";
/// A Connection that the job names does not exist in its namespace, or is being deleted: create it.
pub const CONNECTION_NOT_FOUND: &str = "ConnectionNotFound";
/// A Connection that the job names is not verified, or its last change was not looked at yet; the message has the Connection's own reason.
pub const CONNECTION_NOT_READY: &str = "ConnectionNotReady";
/// A Connection that the job names is suspended: set its `spec.suspend` to false.
pub const CONNECTION_SUSPENDED: &str = "ConnectionSuspended";
/// The job was to run once and its run has ended: change `trigger.once.id` to run again.
pub const DONE: &str = "Done";
/// The cron expression or its time zone cannot be read, or names no date that ever comes; the message says where.
pub const INVALID_SCHEDULE: &str = "InvalidSchedule";
/// A value in the job's spec is none that its field takes, such as a time zone that nobody knows; the message says which, and what to write.
pub const INVALID_SPEC: &str = "InvalidSpec";
/// A part of the job has no key that this version knows, or more than one: set exactly one that it knows, or upgrade Dataimporter.
pub const NOT_UNDERSTOOD: &str = "NotUnderstood";
/// The namespace of the job belongs to no Tenant: list it in one.
pub const NO_TENANT: &str = "NoTenant";
/// The Region of the job's Tenant does not exist: create it.
pub const REGION_NOT_FOUND: &str = "RegionNotFound";
/// The Region of the job's Tenant cannot take runs now; the message has the Region's own reason.
pub const REGION_NOT_READY: &str = "RegionNotReady";
/// The Region is not the one that the job's Tenant was bound to: nothing runs there.
pub const REGION_REPLACED: &str = "RegionReplaced";
/// The API server refuses the job's ImportRun; the message has its words.
pub const RUN_REFUSED: &str = "RunRefused";
/// A run of the job starts, or is under way.
pub const STARTED: &str = "Started";
/// No run starts by itself: set `spec.suspend` to false.
pub const SUSPENDED: &str = "Suspended";
/// The Upload is past its hour: create another one and name it in `source.upload`.
pub const UPLOAD_EXPIRED: &str = "UploadExpired";
/// The Upload does not exist in the job's namespace: create it.
pub const UPLOAD_NOT_FOUND: &str = "UploadNotFound";
/// The Upload has no file yet: send it with `kubectl import upload`.
pub const UPLOAD_NOT_READY: &str = "UploadNotReady";
/// A Connection that the job names is of another system than the place where it stands needs: name another one.
pub const WRONG_CONNECTION_KIND: &str = "WrongConnectionKind";
