//! `examples/gitops` as it is delivered from a Git server by other people's controllers.

pub(super) mod argo_cd;
pub(super) mod flux;
mod git;
mod repository;
mod servers;
