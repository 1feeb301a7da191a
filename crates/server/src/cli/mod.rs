//! The command line. Exit codes: 0 done; 1 it could not be done, or a check found something; 2 the command itself is
//! wrong; 3 a check could not look; 4 `cairn recover` has to restore the ledger first.

mod inspect;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use keys::KeyAlgorithm;

use crate::assembly::AssemblyError;
use crate::config::{self, Choices, Config, File};
use crate::serve::ServeError;
use crate::telemetry::{self, LogFormat};
use crate::{dev, pebble, serve, world};

/// Who restarts servers need not try again after this one.
const EXIT_NEEDS_RESTORATION: u8 = 4;

/// A certificate authority for ACME: precertificates, lints, CT, CAA, CRLs and OCSP in one binary.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the CA; the first start makes everything that it needs
    Serve(Serve),
    /// Runs it in the place of Pebble, for tests of ACME clients: with Pebble's arguments, configuration and variables
    #[command(disable_help_flag = true)]
    Pebble {
        /// Pebble's arguments; -help shows them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
        arguments: Vec<String>,
    },
    #[command(flatten)]
    Inspect(inspect::Command),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// The folder of its keys, store and audit log
    #[arg(long, value_name = "DIR", default_value = "cairn-data")]
    data: PathBuf,
    /// A configuration file (docs/cairn.toml documents every key)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For tests of ACME clients: Pebble's ports (http-01 on 5002, tls-alpn-01 on 5001), loopback allowed, names under
    /// .localhost need no DNS
    #[arg(long)]
    dev: bool,
    /// The DNS server to ask, instead of those of /etc/resolv.conf
    #[arg(long, value_name = "IP:PORT")]
    dns_server: Option<SocketAddr>,
    /// The key of a new root and intermediate: p256, p384, rsa2048, rsa3072 or rsa4096 [default: p256]
    #[arg(long, value_name = "KIND", value_parser = issuer_key)]
    key: Option<KeyAlgorithm>,
    /// Where ACME is served [default: 0.0.0.0:14000]
    #[arg(long, value_name = "IP:PORT")]
    acme: Option<SocketAddr>,
    /// Where OCSP, CRLs and issuers' certificates are served [default: 0.0.0.0:14080]
    #[arg(long, value_name = "IP:PORT")]
    status: Option<SocketAddr>,
    /// Where metrics and the built-in logs are served [default: 127.0.0.1:15000]
    #[arg(long, value_name = "IP:PORT")]
    admin: Option<SocketAddr>,
    /// How log lines are written to standard error; CAIRN_LOG filters them
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

fn issuer_key(text: &str) -> Result<KeyAlgorithm, String> {
    match text.parse() {
        Ok(KeyAlgorithm::Ed25519) | Err(_) => Err("expected p256, p384, rsa2048, rsa3072 or rsa4096".to_owned()),
        Ok(
            key @ (KeyAlgorithm::P256
            | KeyAlgorithm::P384
            | KeyAlgorithm::Rsa2048
            | KeyAlgorithm::Rsa3072
            | KeyAlgorithm::Rsa4096),
        ) => Ok(key),
    }
}

/// Why a command ends with an exit code that is not 0.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command itself is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It could not be done: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// A check could not look, or not repair: exit code 3, so that nobody takes it for a finding.
    #[error("{0}")]
    Unable(String),
    /// The ledger has to be restored first: exit code 4.
    #[error("{0}")]
    NeedsRestoration(String),
}

impl Failure {
    pub(crate) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    /// A CA that could not be put together.
    pub(crate) fn assembly(error: &AssemblyError) -> Self {
        let message = error.to_string();
        if error.needs_restoration() { Self::NeedsRestoration(message) } else { Self::Failed(message) }
    }
}

/// Runs the command that this process was started with. A link named `pebble` is `cairn pebble`.
pub fn run() -> ExitCode {
    let mut words = std::env::args_os();
    let name = words.next().map(PathBuf::from);
    if name.as_deref().and_then(std::path::Path::file_stem).is_some_and(|name| name == "pebble") {
        return pebble::run(words.map(|word| word.to_string_lossy().into_owned()));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no faults; what is one says so itself, with a hint.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _closed = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match cli.command {
        Command::Serve(serve) => run_serve(serve),
        Command::Pebble { arguments } => return pebble::run(arguments),
        Command::Inspect(command) => inspect::run(command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("cairn: {message}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(message)) => {
            eprintln!("cairn: {message}");
            ExitCode::from(1)
        }
        Err(Failure::Unable(message)) => {
            eprintln!("cairn: {message}");
            ExitCode::from(3)
        }
        Err(Failure::NeedsRestoration(message)) => {
            eprintln!("cairn: {message}");
            ExitCode::from(EXIT_NEEDS_RESTORATION)
        }
    }
}

fn run_serve(serve: Serve) -> Result<(), Failure> {
    telemetry::start(serve.log_format);
    let usage = |error: config::ConfigError| Failure::Usage(error.to_string());
    let file = serve.config.as_deref().map_or_else(|| Ok(File::default()), config::read).map_err(usage)?;
    let choices = Choices {
        dev: serve.dev,
        dns_server: serve.dns_server,
        key: serve.key,
        listen: config::Listen { acme: serve.acme, status: serve.status, admin: serve.admin },
        variables: development_variables(),
        s3_variables: world::s3_variables(),
        pebble: None,
    };
    let config = Config::new(serve.data, &file, &choices).map_err(usage)?;
    config::require_dev_for_faults(&config, &file, &choices).map_err(usage)?;
    runtime()?.block_on(serve::serve(config)).map_err(|error| match error {
        ServeError::Assembly(error) => Failure::assembly(&error),
        other @ (ServeError::Bind { .. }
        | ServeError::ExternalAccountKey(_)
        | ServeError::Own(_)
        | ServeError::Publication(_)
        | ServeError::Tls(_)
        | ServeError::AdminSocket(_)
        | ServeError::Signals(_)) => Failure::failed(other),
    })
}

fn development_variables() -> std::collections::BTreeMap<String, String> {
    let mut variables = world::variables();
    variables.retain(|name, _| name.starts_with(dev::VARIABLE_PREFIX));
    variables
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the runtime can't be started: {error}")))
}
