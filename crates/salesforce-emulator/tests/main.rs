//! The emulator over real HTTP: one program, because each would hold all of the server and of its client.

mod access;
mod bulk;
mod deletes;
mod describe;
mod differences;
mod program;
mod records;
mod rest;
mod soql;
mod standard_objects;
mod support;
mod values;
