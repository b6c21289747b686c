//! What every room of the keeper stands on: the cluster as it is seen, the time, our own Secrets as sealed bytes, and what can go wrong.
//! Opens nothing.

pub(crate) mod bound;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod earlier;
pub(crate) mod error;
pub(crate) mod lane;
pub(crate) mod published;
pub(crate) mod reasons;
pub(crate) mod records;
pub(crate) mod run_status;
