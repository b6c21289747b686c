//! The child of an ImportJob: `run`.

mod run;

pub use run::import_run;
