//! The command `sockeye-loadtest`.

use std::process::ExitCode;

use clap::Parser;
use sockeye_loadtest::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sockeye-loadtest: {error:#}");
            ExitCode::from(3)
        }
    }
}
