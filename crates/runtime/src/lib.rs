//! The Kubernetes plumbing every controller shares. It knows how to watch, queue, write, elect and report; it does not
//! know what any of our kinds means.
//!
//! | file | one idea |
//! |---|---|
//! | `store` | what we last saw or wrote of a kind, never going back in time, with an index |
//! | `watch` | one stream per kind with its own backoff; errors are logged, counted and end there |
//! | `work` | keys to reconcile: one at a time per key, backoff per key, bounded concurrency |
//! | `write` | server-side apply, status, create, delete; every write counted and bounded in time |
//! | `events` | what a person sees in `kubectl describe` |
//! | `leader` | one writer at a time; a process that is not sure any more stops |
//! | `listen` | HTTP to strangers: seats, deadlines, paces |
//! | `causes` | an error with its causes, for people |
//! | `health` | `/livez`, `/readyz`, `/metrics` |
//! | `metrics`, `logs`, `shutdown` | what their names say |

#![warn(missing_docs)]

pub mod causes;
pub mod events;
pub mod health;
pub mod leader;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod shutdown;
pub mod store;
pub mod watch;
pub mod work;
pub mod write;
