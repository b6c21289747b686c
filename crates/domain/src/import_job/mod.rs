//! Is an ImportJob valid and armed, and does a run start now? Editing a job never starts a run; suspending or deleting it never
//! stops one.

mod observed;
pub mod plan;
mod references;
mod rules;
mod schedule;
mod status;

pub use observed::Observed;
pub use references::{Use, uses};
pub(crate) use references::{connection_trouble, region_trouble, upload_expired, upload_over, upload_trouble};
pub(crate) use rules::FOLLOW_GRACE;
pub use rules::{Decision, Start, decide, once_name, refusals};
use schedule::Cron;
pub use status::{owned_part, status, trigger};

#[cfg(test)]
mod tests;
