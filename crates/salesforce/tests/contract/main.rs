//! The client against a server that behaves like Salesforce, over TLS, through the one dialer.

mod auth;
mod bulk;
mod org;
mod reads;
