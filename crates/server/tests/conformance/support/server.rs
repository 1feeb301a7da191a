//! A Cairn of our own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::world::within;

/// `cairn serve --dev` in a temporary folder. It ends with this value.
pub(crate) struct Server {
    _process: Child,
    folder: TempDir,
    port: u16,
}

impl Server {
    /// Starts one, which validates on these ports by http-01 and tls-alpn-01, and waits until it serves.
    /// `configuration` is added to its configuration file.
    pub(crate) async fn start([http, tls]: [u16; 2], dns: SocketAddr, configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let [port, status, admin] = std::array::from_fn(|_| free_port());
        let tables = format!(
            "status-url = \"http://localhost:{status}\"\n{configuration}\n\
             [listen]\nacme = \"127.0.0.1:{port}\"\nstatus = \"127.0.0.1:{status}\"\nadmin = \"127.0.0.1:{admin}\"\n\
             [validation]\nhttp-port = {http}\ntls-alpn-port = {tls}\n"
        );
        fs::write(folder.path().join("cairn.toml"), tables).expect("a file can be written");
        let log = File::create(folder.path().join("server.log")).expect("a file can be made");
        let mut process = Command::new(env!("CARGO_BIN_EXE_cairn"))
            .args(["serve", "--dev", "--data", "data", "--config", "cairn.toml", "--dns-server", &dns.to_string()])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("cairn can be started");
        let mut lines = BufReader::new(process.stdout.take().expect("its output is piped")).lines();
        let told = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("directory") && line.contains("/dir") {
                    return true;
                }
            }
            false
        };
        let serves = within("cairn serves", told).await;
        // What it still prints is read, so that it can be written.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let server = Self { _process: process, folder, port };
        assert!(serves, "cairn ended; its log:\n{}", server.log());
        server
    }

    /// The URL of its directory.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
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
