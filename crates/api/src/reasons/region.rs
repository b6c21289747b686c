//! Reasons of a Region.

/// This cluster serves one Region only, so what the Region promises about place can be proved here.
pub const CELL: &str = "Cell";
/// The Region promises isolation `Cell` and another Region is in the same cluster: delete one of them, or set isolation `Placement`.
pub const CELL_NOT_ALONE: &str = "CellNotAlone";
/// A line of the audit was changed, removed or added; the message names the chain and the line. Find out who could write to the Region's
/// storage.
pub const CHAIN_BROKEN: &str = "ChainBroken";
/// The keeper has not said yet whether storage and keys work; it does so by itself.
pub const CHECKING_STORAGE: &str = "CheckingStorage";
/// The keeper's clock and the API server's differ by more than they may: set the wrong one right.
pub const CLOCKS_DIFFER: &str = "ClocksDiffer";
/// The keeper's clock and the API server's differ by more than they may, so nothing is served; condition `ClockSkew` says by how much.
pub const CLOCK_SKEW: &str = "ClockSkew";
/// The root key is a file that is mounted into the keeper.
pub const FILE: &str = "File";
/// The root key is a Secret of this cluster, which is for trials only: use `rootKey.file` for anything real.
pub const IN_CLUSTER: &str = "InCluster";
/// Files that had their time are still there; the keeper tries again by itself, and its log says what is in the way.
pub const NOT_ERASED: &str = "NotErased";
/// Isolation `Placement` proves where pods run and not where data stays: set isolation `Cell` where that has to be proved.
pub const NOT_PROVIDED: &str = "NotProvided";
/// No node carries the label of this Region: label one.
pub const NO_NODES: &str = "NoNodes";
/// The Region is served from this cluster.
pub const SERVED: &str = "Served";
/// The keeper cannot use the Region's storage; the message has the reason and the words of condition `StorageReady`, which say what to do.
pub const STORAGE_NOT_READY: &str = "StorageNotReady";
/// The keeper wrote an object to the Region's storage, read it and deleted it.
pub const WRITABLE: &str = "Writable";
