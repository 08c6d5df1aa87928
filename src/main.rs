//! The binary: runs the command its arguments name.

use std::process::ExitCode;

fn main() -> ExitCode {
    mintage::cli::run(|config| mintage::app::run(config).map_err(|error| error.to_string()))
}
