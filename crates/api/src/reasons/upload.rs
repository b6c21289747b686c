//! Reasons of an Upload.

/// The file is whole and readable until the time in the message, when it is erased.
pub const COMPLETE: &str = "Complete";
/// The file and its key were erased: upload the file again under a new name.
pub const EXPIRED: &str = "Expired";
/// The file is waited for: send it with `kubectl import upload`.
pub const WAITING_FOR_FILE: &str = "WaitingForFile";
