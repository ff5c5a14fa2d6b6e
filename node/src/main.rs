//! The program `sockeye`: one node of a cluster, ready to run.
//!
//! # Map of this program
//!
//! * `app::cli`: the options and their help
//! * `app::config`: from options to checked settings, with all that is wrong with them at once
//! * `app::http`: the options of HTTP, from help to settings
//! * `app::run`: puts everything together and runs it until a signal comes
//! * `app::demo`, `app::rooms`: what the node does with events of clients: the demo's page and handlers, joining rooms
//! * `app::log`: where the log goes

mod app;

use std::process::ExitCode;

use app::{cli::Cli, config::Config};

/// The exit status for options that cannot be used; the same as for options that do not exist.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // Fails only if there is one already, and nobody was there before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match Config::new(Cli::read(), &|path| std::fs::read_to_string(path)) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(USAGE);
        }
    };
    app::log::start(&config.log);
    match app::run::run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ app::run::RunError::Settings(_)) => {
            eprintln!("error: {error}");
            ExitCode::from(USAGE)
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
