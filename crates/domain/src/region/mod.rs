//! Is a Region served here, and what may be said about where its data is?

mod observed;
mod rules;
mod status;

pub use observed::Observed;
pub use rules::decide;
pub use status::{owned_part, status};
