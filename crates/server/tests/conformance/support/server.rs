//! A Cairn of our own.

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::world::within;

/// Where a server validates, and whom it asks for names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings {
    pub(crate) http: u16,
    pub(crate) tls: u16,
    pub(crate) dns: SocketAddr,
}

/// `cairn serve --dev` in a temporary folder. It ends with this value.
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
    ports: [u16; 3],
    surroundings: Surroundings,
}

impl Server {
    /// Starts one, and waits until it serves. `configuration` is added to its configuration file.
    pub(crate) async fn start(surroundings: Surroundings, configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let ports = std::array::from_fn(|_| free_port());
        let process = spawn(folder.path(), ports, surroundings, configuration);
        let mut server = Self { process, folder, ports, surroundings };
        server.wait_until_it_serves().await;
        server
    }

    /// Ends it and starts it again, with another configuration.
    pub(crate) async fn start_again(&mut self, configuration: &str) {
        self.process.kill().await.expect("our own child can be killed");
        self.process = spawn(self.folder.path(), self.ports, self.surroundings, configuration);
        self.wait_until_it_serves().await;
    }

    async fn wait_until_it_serves(&mut self) {
        let mut lines = BufReader::new(self.process.stdout.take().expect("its output is piped")).lines();
        let told = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("directory") && line.contains("/dir") {
                    return true;
                }
            }
            false
        };
        assert!(within("cairn serves", told).await, "cairn ended; its log:\n{}", self.log());
        // What it still prints is read, so that it can be written.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    }

    /// What a command on its data folder answers in JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cairn"));
        command.args(arguments).arg("--json").arg("--data").arg(self.folder.path().join("data"));
        let output = within("the command ends", command.output()).await.expect("cairn can be started");
        assert!(output.status.success(), "cairn {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("with --json it writes JSON")
    }

    /// The URL of its directory.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.ports[0])
    }

    /// Its root certificate.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("data/root.pem")
    }

    /// Its log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

fn spawn(folder: &Path, ports: [u16; 3], surroundings: Surroundings, configuration: &str) -> Child {
    let ([port, status, admin], Surroundings { http, tls, dns }) = (ports, surroundings);
    let tables = format!(
        "status-url = \"http://localhost:{status}\"\n{configuration}\n\
         [listen]\nacme = \"127.0.0.1:{port}\"\nstatus = \"127.0.0.1:{status}\"\nadmin = \"127.0.0.1:{admin}\"\n\
         [validation]\nhttp-port = {http}\ntls-alpn-port = {tls}\n"
    );
    fs::write(folder.join("cairn.toml"), tables).expect("a file can be written");
    let log = OpenOptions::new().create(true).append(true).open(folder.join("server.log"));
    Command::new(env!("CARGO_BIN_EXE_cairn"))
        .args(["serve", "--dev", "--data", "data", "--config", "cairn.toml", "--dns-server", &dns.to_string()])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.expect("a file can be made"))
        .kill_on_drop(true)
        .spawn()
        .expect("cairn can be started")
}

/// A port that nobody listens on. Those below 32768 are not given to outgoing connections; each is handed out once in
/// this process, and other processes begin elsewhere.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 2000).unwrap_or(0) * 10;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000;
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
}
