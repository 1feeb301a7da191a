//! A server for one test.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::client::Client;
use super::connection::Door;
use super::ports::Ports;
use super::responder::responder;
use super::world::{PATIENCE, within};

/// So much of a server's log is shown when a test fails.
const LOG_LINES_SHOWN: usize = 40;

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    /// The command that runs it, with its arguments, if it isn't run directly: a tracer.
    pub(crate) through: Vec<OsString>,
    /// Variables of its environment.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// The command that runs it, and every other command on its data folder, in another namespace.
    pub(crate) inside: Vec<OsString>,
    /// How this process reaches the data folder that is in that namespace.
    pub(crate) data: Option<PathBuf>,
}

/// `cairn serve --dev` in a temporary folder. It ends with this value.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
    ports: Ports,
    /// How it is started the next time.
    pub(crate) launch: Launch,
}

impl Server {
    /// Starts one, and waits until it serves. `configuration` is added to its configuration file: keys first, then
    /// tables. Without a `status-url` in it there is one all the same.
    pub(crate) async fn start(configuration: &str) -> Self {
        Self::start_in(configuration, temporary_folder(), Launch::default()).await
    }

    /// As [`Server::start`], in this folder and in this way.
    pub(crate) async fn start_in(configuration: &str, folder: TempDir, launch: Launch) -> Self {
        let ports = Ports::free();
        fs::write(folder.path().join("cairn.toml"), configured(ports, configuration)).expect("a file can be written");
        let process = spawn(&folder, &launch);
        let mut server = Self { process, folder, ports, launch };
        server.wait_until_it_serves().await;
        server
    }

    /// Starts it again, after its end, on the same folder and ports.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.folder, &self.launch);
    }

    /// Stops it, and starts it with another configuration.
    pub(crate) async fn reconfigure(&mut self, configuration: &str) {
        assert!(self.terminate().await.success(), "a server that is asked to stop does");
        let file = self.path("cairn.toml");
        fs::write(file, configured(self.ports, configuration)).expect("a file can be written");
        self.start_again();
        self.wait_until_it_serves().await;
    }

    /// The lines that it prints for people name the directory; its ports are taken by then.
    pub(crate) async fn wait_until_it_serves(&mut self) {
        let mut lines = BufReader::new(self.process.stdout.take().expect("its output is piped")).lines();
        let told = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("directory") && line.contains("/dir") {
                    return true;
                }
            }
            false
        };
        assert!(within(PATIENCE, "cairn serves", told).await, "cairn ended; its log ends with:\n{}", self.log());
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("our own child can be killed");
    }

    /// SIGTERM, and what it came to.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM").await;
        self.terminated().await
    }

    /// Waits for its end.
    pub(crate) async fn terminated(&mut self) -> ExitStatus {
        within(PATIENCE, "cairn ends", self.process.wait()).await.expect("our own child can be awaited")
    }

    /// Sends a signal to its process.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.process.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} could not be sent");
    }

    /// Its data folder, as this process reaches it.
    pub(crate) fn data(&self) -> PathBuf {
        self.launch.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    /// A path in the folder that holds its data folder and configuration.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The way to its ACME listener.
    pub(crate) fn door(&self) -> Door {
        Door::new(self.ports.acme, &self.data().join("root.pem"))
    }

    /// The way to its admin listener.
    pub(crate) fn admin_door(&self) -> Door {
        Door::new(self.ports.admin, &self.data().join("root.pem"))
    }

    /// The port of its status listener.
    pub(crate) const fn status_port(&self) -> u16 {
        self.ports.status
    }

    /// A new client of it.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.door())
    }

    /// Runs a command on its data folder.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Output {
        self.command_in(self.folder.path(), arguments).await
    }

    /// The same, in a working folder.
    pub(crate) async fn command_in(&self, folder: &std::path::Path, arguments: &[&str]) -> Output {
        let cairn = OsString::from(env!("CARGO_BIN_EXE_cairn"));
        let words: Vec<&OsString> = self.launch.inside.iter().chain([&cairn]).collect();
        let data = self.folder.path().join("data");
        run(Command::new(words[0]).current_dir(folder).args(&words[1..]).args(arguments).arg("--data").arg(data)).await
    }

    /// What a command on its data folder answers in JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.command(&[arguments, &["--json"]].concat()).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cairn {arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).expect("with --json it writes JSON")
    }

    /// The invariants hold, and the audit log verifies.
    pub(crate) async fn assert_sound(&self) {
        let config = self.path("cairn.toml");
        let config = config.to_str().expect("temporary folders have plain names");
        for arguments in [&["fsck", "--config", config][..], &["audit", "verify"]] {
            let output = self.command(arguments).await;
            let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "cairn {arguments:?}:\n{said}\n{errors}");
        }
    }

    /// How many lines of its log hold this text.
    pub(crate) fn logged(&self, what: &str) -> usize {
        let text = fs::read_to_string(self.path("server.log")).expect("it has a log");
        text.lines().filter(|line| line.contains(what)).count()
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.path("server.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log ends with:\n{}", self.log());
        }
        // It has to be gone before its folder is removed.
        if self.process.start_kill().is_ok() {
            while matches!(self.process.try_wait(), Ok(None)) {
                std::thread::yield_now();
            }
        }
    }
}

fn configured(ports: Ports, configuration: &str) -> String {
    let Ports { acme, status, admin } = ports;
    let http = responder().port();
    let tables = configuration.find('[').unwrap_or(configuration.len());
    let (keys, tables) = configuration.split_at(tables);
    let url =
        if keys.contains("status-url") { String::new() } else { format!("status-url = \"http://localhost:{status}\"") };
    format!(
        "{url}\n{keys}\n\
         [listen]\nacme = \"127.0.0.1:{acme}\"\nstatus = \"127.0.0.1:{status}\"\nadmin = \"127.0.0.1:{admin}\"\n\
         [validation]\nhttp-port = {http}\n{tables}\n"
    )
}

pub(crate) fn temporary_folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn spawn(folder: &TempDir, launch: &Launch) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(folder.path().join("server.log"));
    let cairn = OsString::from(env!("CARGO_BIN_EXE_cairn"));
    let words: Vec<&OsString> = launch.inside.iter().chain(&launch.through).chain([&cairn]).collect();
    Command::new(words[0])
        .args(&words[1..])
        .args(["serve", "--dev", "--data"])
        .arg(folder.path().join("data"))
        .arg("--config")
        .arg(folder.path().join("cairn.toml"))
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.expect("a file can be made"))
        .kill_on_drop(true)
        .spawn()
        .expect("cairn can be started")
}

/// Runs a command to its end, which has to come.
pub(crate) async fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    within(PATIENCE, "the command ends", output).await.expect("the command can be started")
}
