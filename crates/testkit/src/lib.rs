//! For tests: a real API server of their own, and helpers to fill and watch it. It runs etcd and kube-apiserver and
//! nothing else: no controllers, no nodes, so pods stay as they are written and deleted namespaces never quite go. Knows
//! nothing of our controllers.

#![warn(missing_docs)]

mod api_server;
pub mod chart;
pub mod kstatus;
mod line;
mod network;
mod objects;
mod witness;

pub use api_server::ApiServer;
pub use line::{Call, Held, Line, Side};
pub use network::{ADDRESS, in_own_network};
pub use objects::{apply_yaml, wait_for};
pub use witness::{Rule, Witness};
