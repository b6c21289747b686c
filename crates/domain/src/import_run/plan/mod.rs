//! The children of an ImportRun: `anchor` and `pod`.

mod anchor;
mod pod;

pub use anchor::{AnchorText, TooLarge, anchor, snapshot};
pub use pod::pod;
