//! The keeper on a real API server, with the rights of its chart, against the emulator as the Salesforce org.

mod connections;
mod files;
mod keys;
mod leases;
mod world;
