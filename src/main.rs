//! The program `flatnet`: reads the command line, has [`cli`] act on it, and turns the outcome into an exit code.
#![deny(unsafe_code)]

mod cli;

use std::process::ExitCode;

/// 0 done, 1 failed, 2 wrong usage; 130, 143, 129 interrupted by SIGINT, SIGTERM, SIGHUP.
fn main() -> ExitCode {
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(outcome) => return outcome,
    };
    match cli::run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            cli::complain(&cli::told(&error));
            ExitCode::FAILURE
        }
    }
}
