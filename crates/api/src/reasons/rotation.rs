//! Reasons of a request for new keys, which a Region and a Tenant take.

/// The annotation has a time in the future: write the present time.
pub const IN_THE_FUTURE: &str = "InTheFuture";
/// The root key is a file: put a new key on its first line, and leave the old one below it.
pub const KEY_FILE: &str = "KeyFile";
/// So many older keys still open records that none is made; the records are being sealed again first.
pub const TOO_MANY: &str = "TooMany";
/// As many keys were made within a day as may be made on request; the message says when the next one is.
pub const TOO_OFTEN: &str = "TooOften";
/// The annotation is no time: write the present one, as `date -u +%FT%TZ` prints it.
pub const UNREADABLE: &str = "Unreadable";
