//! A server for one test, and what runs against it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::dns::DnsServer;

/// A server on a small machine, busy with other tests, has answered long before.
const START_TIME_MAX: Duration = Duration::from_secs(60);
/// No client takes nearly as long.
const CLIENT_SECONDS_MAX: &str = "300";
/// So much of a server's log is shown when a test fails.
const LOG_LINES_SHOWN: usize = 60;

/// Where a server listens, and where it asks for challenges.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) acme: u16,
    pub(crate) status: u16,
    pub(crate) admin: u16,
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) tls: u16,
}

impl Ports {
    fn free() -> Self {
        let [acme, status, admin, http, https, tls] = std::array::from_fn(|_| free_port());
        Self { acme, status, admin, http, https, tls }
    }

    fn configuration(&self) -> String {
        let Self { acme, status, admin, http, https, tls } = self;
        format!(
            "status-url = \"http://ca.example.com:{status}\"\n\
             [listen]\nacme = \"127.0.0.1:{acme}\"\nstatus = \"127.0.0.1:{status}\"\nadmin = \"127.0.0.1:{admin}\"\n\
             [validation]\nhttp-port = {http}\nhttps-port = {https}\ntls-alpn-port = {tls}\n"
        )
    }
}

/// A port that nobody listens on. Those below 32768 are not given to outgoing connections, so that it stays free until
/// somebody listens; each is handed out once in this process, and other processes begin elsewhere.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 2000).unwrap_or(0) * 10;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 22_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// `cairn serve --dev` in a temporary folder, with a DNS server of its own. It ends with this value.
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
    pub(crate) ports: Ports,
    pub(crate) dns: DnsServer,
}

impl Server {
    /// Starts it, and waits until it says that it serves. `configuration` is added to its configuration file.
    pub(crate) fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let records = folder.path().join("dns");
        fs::create_dir(&records).expect("a folder can be made");
        let (dns, ports) = (DnsServer::start(records), Ports::free());
        fs::write(folder.path().join("cairn.toml"), ports.configuration() + configuration)
            .expect("a file can be written");
        let log = File::create(folder.path().join("server.log")).expect("a file can be made");
        let process = Command::new(env!("CARGO_BIN_EXE_cairn"))
            .args(["serve", "--dev", "--data", "data", "--config", "cairn.toml", "--dns-server"])
            .arg(dns.address().to_string())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("cairn can be started");
        let mut server = Self { process, folder, ports, dns };
        server.wait_until_it_serves();
        server
    }

    /// The lines that it prints for people name the directory; its ports are taken by then.
    fn wait_until_it_serves(&mut self) {
        let output = BufReader::new(self.process.stdout.take().expect("its output is piped"));
        let (serves, served) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if line.contains("directory") && line.contains("/dir") {
                    // Nobody waits any more after the limit; the rest is read so that the server can write it.
                    let _late = serves.send(());
                }
            }
        });
        if served.recv_timeout(START_TIME_MAX).is_err() {
            panic!("cairn did not start; its log ends with:\n{}", self.log());
        }
    }

    fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }

    /// Runs one of the scripts of `tests/clients` to its end, in an empty folder.
    pub(crate) fn run(&self, script: &str, arguments: &[&str]) {
        let path = |name: &str| self.folder.path().join(name);
        fs::create_dir(path("work")).expect("a folder can be made");
        let output = File::create(path("client.log")).expect("a file can be made");
        let ports = &self.ports;
        let status = Command::new("timeout")
            .args(["--kill-after", "5", CLIENT_SECONDS_MAX])
            .arg(scripts().join(script))
            .args(arguments)
            .current_dir(path("work"))
            .env("CLIENTS", scripts())
            .env("INSTALLED", installed())
            .env("CAIRN", env!("CARGO_BIN_EXE_cairn"))
            .env("DIRECTORY", format!("https://localhost:{}/dir", ports.acme))
            .env("ADMIN", format!("https://localhost:{}", ports.admin))
            .env("DATA", path("data"))
            .env("ROOT", path("data/root.pem"))
            .env("HTTP_PORT", ports.http.to_string())
            .env("TLS_PORT", ports.tls.to_string())
            .env("DNS_SERVER", self.dns.address().to_string())
            .env("DNS_RECORDS", path("dns"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file can be opened twice"))
            .stderr(output)
            .status()
            .expect("timeout can be started");
        if !status.success() {
            let said = fs::read_to_string(path("client.log")).unwrap_or_default();
            panic!("{script}: {status}\n{said}\n--- the server's log ends with\n{}", self.log());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// The folder of the clients' scripts.
pub(crate) fn scripts() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients");
    folder.canonicalize().expect("the scripts are in the workspace")
}

/// Where `./test` puts what isn't installed as a package.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("Cargo's folder is in the target folder").to_owned()
}
