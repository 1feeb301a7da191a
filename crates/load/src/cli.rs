//! The command line.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::{fill, limit, run};

/// An ACME load client for any CA.
#[derive(Debug, Parser)]
#[command(name = "cairn-load", version, about, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    // In a box, since it is many times larger than the other.
    Run(Box<run::Arguments>),
    Limit(limit::Arguments),
    Fill(fill::Arguments),
}

/// Runs the command; exit code 0: all went well, 1: an order failed or the run could not begin, 2: wrong arguments.
pub fn main() -> ExitCode {
    match perform(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cairn-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => {
            let json = arguments.json;
            let report = runtime(arguments.threads)?.block_on(run::run(*arguments))?;
            if json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print!("{report}");
            }
            Ok(if report.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Limit(arguments) => {
            let limit = limit::measure(&arguments)?;
            if arguments.json {
                println!("{}", serde_json::to_string_pretty(&limit)?);
            } else {
                print!("{limit}");
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Fill(arguments) => {
            let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(64));
            let report = runtime(u16::try_from(threads).unwrap_or(1))?.block_on(fill::fill(&arguments))?;
            if arguments.json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                print!("{report}");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn runtime(threads: u16) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = if threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(usize::from(threads));
        builder
    };
    builder.enable_all().build().context("cannot start the runtime")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn refused(arguments: &[&str]) -> (ErrorKind, String) {
        let error = Cli::try_parse_from(["cairn-load"].iter().chain(arguments)).unwrap_err();
        (error.kind(), error.to_string())
    }

    fn refused_run(arguments: &[&str]) -> (ErrorKind, String) {
        refused(&[&["run", "--directory", "https://ca.test/dir"], arguments].concat())
    }

    #[test]
    fn definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn directory_must_be_given_and_be_an_https_url() {
        assert_eq!(refused(&["run"]).0, ErrorKind::MissingRequiredArgument);
        let (kind, message) = refused(&["run", "--directory", "http://ca.test/dir"]);
        assert_eq!(kind, ErrorKind::ValueValidation);
        assert!(message.contains("https://"), "{message}");
    }

    #[test]
    fn number_and_time_of_orders_exclude_each_other() {
        assert_eq!(refused_run(&["--orders", "5", "--seconds", "5"]).0, ErrorKind::ArgumentConflict);
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for arguments in
            [["--orders", "0"], ["--concurrency", "0"], ["--names", "101"], ["--accounts", "0"], ["--threads", "0"]]
        {
            assert_eq!(refused_run(&arguments).0, ErrorKind::ValueValidation, "{arguments:?}");
        }
    }

    #[test]
    fn domain_under_which_no_name_can_be_is_refused() {
        let (kind, message) = refused_run(&["--domain", "not_a_host.test"]);
        assert_eq!(kind, ErrorKind::ValueValidation);
        assert!(message.contains("underscore") || message.contains("not_a_host"), "{message}");
        assert_eq!(refused_run(&["--domain", &"a.".repeat(120)]).0, ErrorKind::ValueValidation);
    }

    #[test]
    fn unknown_key_kind_is_refused_with_those_that_are_known() {
        let (kind, message) = refused_run(&["--key", "dsa"]);
        assert_eq!(kind, ErrorKind::InvalidValue);
        assert!(message.contains("p256") && message.contains("rsa2048"), "{message}");
    }

    #[test]
    fn a_store_is_filled_with_what_was_said_and_for_nothing_else() {
        let fill = |more: &[&str]| refused(&[&["fill", "--data", "x"], more].concat()).0;
        assert_eq!(fill(&[]), ErrorKind::MissingRequiredArgument);
        assert_eq!(fill(&["--certificates", "1", "--accounts", "0"]), ErrorKind::ValueValidation);
        assert_eq!(fill(&["--certificates", "1", "--names", "101"]), ErrorKind::ValueValidation);
        assert_eq!(fill(&["--certificates", "1", "--domain", "not_a_host.test"]), ErrorKind::ValueValidation);
    }

    #[test]
    fn several_process_ids_are_taken() {
        let arguments = ["cairn-load", "run", "--directory", "https://ca.test/dir", "--pid", "1", "2", "--pid", "3"];
        match Cli::try_parse_from(arguments).unwrap().command {
            Command::Run(arguments) => assert_eq!(arguments.pid, [1, 2, 3]),
            Command::Limit(_) | Command::Fill(_) => panic!("`run` was asked for"),
        }
    }
}
