//! Which namespaces a Tenant holds, who may do what in them, and the namespace its workers run in.
//!
//! `bindings` decides namespace by namespace; `rules` says how the Tenant stands as a whole; `plan` holds the children, one
//! file each; `leaving` is the way out, which asks for less than the way in, so that a bad spec never blocks a deletion.

mod bindings;
mod foreign;
mod leaving;
mod observed;
pub mod plan;
mod rules;
mod status;

pub use bindings::{Binding, bindings, concerns, holds, reserved};
pub use foreign::is_foreign;
pub use leaving::{Leaving, leaving};
pub use observed::{Living, Observed, RunNamespace, ServiceFacts, UnfinishedRun};
pub use rules::decide;
use rules::{RunNamespaceState, run_namespace_state};
pub use status::{Outcome, owned_part, status};

#[cfg(test)]
mod tests;
