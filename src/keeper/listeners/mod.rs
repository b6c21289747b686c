//! The two listeners: the API for workers and the gateway for people. They speak HTTP over TLS; what they answer, the rooms above decide.

pub(crate) mod gateway;
pub(crate) mod serve;
pub(crate) mod workers;
