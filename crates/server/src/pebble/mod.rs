//! `cairn pebble`, and `cairn` under the name `pebble`: a server that takes Pebble's arguments, configuration and
//! variables, for the tests of ACME clients. It is `serve --dev` in a temporary folder.

mod addresses;
pub mod arguments;
pub mod json;
mod setup;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ca::ports::Random;

use crate::cli;
use crate::serve;
use crate::telemetry::{self, LogFormat};
use crate::world::{self, SystemRandom};
use arguments::{ArgumentError, Arguments, USAGE};
use json::PebbleConfig;

/// Where Pebble looks for its configuration.
const CONFIG_DEFAULT: &str = "test/config/pebble-config.json";
/// Where Pebble's own configuration has the management interface. A configuration that names none has none.
const MANAGEMENT_DEFAULT: &str = "0.0.0.0:15000";

/// Runs it with the words of its command line, the program's name left out.
pub fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let arguments = match Arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(ArgumentError::Help) => {
            eprint!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprint!("pebble: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if arguments.version {
        println!("Cairn {} in the place of Pebble", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("pebble: {message}");
            ExitCode::from(1)
        }
    }
}

fn serve(arguments: &Arguments) -> Result<(), String> {
    telemetry::start(LogFormat::Text);
    let pebble = read(arguments.config.as_deref())?;
    if !pebble.unknown.is_empty() {
        tracing::warn!(fields = pebble.unknown.join(", "), "the configuration has fields that Pebble does not know");
    }
    let folder = TemporaryFolder::new().map_err(|error| format!("no temporary folder can be made: {error}"))?;
    let config = setup::config(&folder.path().join("data"), &pebble, arguments, &world::variables())
        .map_err(|error| error.to_string())?;
    cli::runtime()
        .map_err(|failure| failure.to_string())?
        .block_on(serve::serve(config))
        .map_err(|error| error.to_string())
}

/// The file that is named, or that where Pebble looks; without either Pebble's defaults.
fn read(named: Option<&Path>) -> Result<PebbleConfig, String> {
    let path = named.unwrap_or(Path::new(CONFIG_DEFAULT));
    let octets = match fs::read(path) {
        Ok(octets) => octets,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            tracing::info!("there is no {CONFIG_DEFAULT}: taking Pebble's defaults and a certificate of our own");
            let management_listen_address = Some(MANAGEMENT_DEFAULT.to_owned());
            return Ok(PebbleConfig { management_listen_address, ..PebbleConfig::default() });
        }
        Err(error) => {
            return Err(format!("{}: can't be read ({error}); name a readable file with -config", path.display()));
        }
    };
    json::parse(&octets).map_err(|error| format!("{}: {error}", path.display()))
}

/// A folder for one run, removed at its end.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> std::io::Result<Self> {
        let mut random = [0; 8];
        SystemRandom.fill(&mut random);
        let path = std::env::temp_dir().join(format!("cairn-pebble-{}", data_encoding::HEXLOWER.encode(&random)));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "the temporary folder could not be removed");
        }
    }
}
