//! `kubectl import …`: put this binary on the PATH and kubectl finds it.

use std::process::ExitCode;

fn main() -> ExitCode {
    dataimporter::plugin::main()
}
