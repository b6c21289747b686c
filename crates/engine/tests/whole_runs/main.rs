//! Whole imports against the emulator, in this process.

mod again;
mod blank_rows;
#[path = "../support/client.rs"]
mod client;
mod org;
mod zones;
