//! `dataimporter keeper`: the one process that opens credentials and files. It takes secrets in, keeps them sealed, hands workers what
//! their run may have and nothing else, passes files in and out, and erases what has had its time.
//!
//! | file | one idea |
//! |---|---|
//! | `installation`, `authority`, `serve` | who we are, and TLS that proves it |
//! | `farewell` | the end of the installation |
//! | `clock` | what time it is for everything that expires |
//! | `records`, `bound` | our own Secrets, and what their content is bound to |
//! | `custody`, `key_rings`, `rotation`, `reseal` | root keys, tenant keys, rotation |
//! | `credentials`, `sessions` | stored credentials, access tokens |
//! | `lane`, `storage`, `files`, `sweeper` | volumes that may hang, ciphertext on them, file keys apart from it, their end |
//! | `room` | how much a tenant's files may take |
//! | `ownerless` | records of Connections that went without us, and their tokens |
//! | `audit`, `opening` | what was decided and opened, in chains that nobody else can write; no opening without a line |
//! | `entrance` | who is let in, and how many of each |
//! | `workers/`, `gateway/` | the two listeners |
//! | `regions`, `tenants`, `connections/`, `uploads` | one controller per kind |

mod args;
mod audit;
mod authority;
mod bound;
mod clock;
mod connections;
mod credentials;
mod custody;
mod entrance;
mod error;
mod farewell;
mod files;
mod gateway;
mod installation;
mod key_rings;
mod lane;
mod opening;
mod ownerless;
mod records;
mod regions;
mod reseal;
mod room;
mod rotation;
mod serve;
mod sessions;
mod start;
mod state;
mod storage;
mod sweeper;
mod tenants;
mod uploads;
mod workers;

pub use args::{Args, VerifyAudit};
pub use audit::{Broken, verify as verify_audit};
pub use start::{Running, keep, run, start, start_later};
