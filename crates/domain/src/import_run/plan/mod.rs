//! The children of an ImportRun: `anchor` and `pod`.

mod anchor;
mod pod;

pub use anchor::{AnchorText, anchor, snapshot};
pub use pod::pod;
