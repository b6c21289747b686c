//! The program of every pod, and of `dataimporter run`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dataimporter::cli::main()
}
