//! The keeper on a real API server, with the rights of its chart, against the emulator as the Salesforce org.

#[path = "../../crates/connect/tests/support/answers.rs"]
mod answers;
mod audit;
mod authority;
mod bookmarks;
mod bucket_storage;
mod buckets;
mod check_installation;
mod connections;
mod consent;
mod crash;
mod farewell;
mod files;
mod flood;
mod hostile;
mod identities;
mod keys;
mod lead;
mod leases;
mod limits;
mod namespaces;
mod ownerless;
mod plugin;
mod proxy;
mod rebind;
mod sealed;
mod two_keepers;
mod volumes;
mod waits;
mod worker_crash;
mod worker_refused;
mod worker_results;
mod world;
