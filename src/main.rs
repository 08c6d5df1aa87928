//! The binary: runs the command its arguments name.

use std::process::ExitCode;

fn main() -> ExitCode {
    mintage::cli::run(|_config| Ok(()))
}
