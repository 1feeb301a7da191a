//! A server in the place of Pebble, started as Pebble is: by that name, with a JSON file and variables.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::client::Client;
use super::connection::Door;
use super::ports::free_port;
use super::responder::responder;
use super::server::run;
use super::world::{PATIENCE, within};

/// It ends with this value.
pub(crate) struct Pebble {
    process: Child,
    folder: TempDir,
    acme: u16,
    management: u16,
}

impl Pebble {
    /// Starts it with these fields beside the ones that each needs, and these variables.
    pub(crate) async fn start(fields: Value, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::start_in(folder, fields, variables).await
    }

    /// Starts it with these arguments as well.
    pub(crate) async fn start_with(fields: Value, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        Self::spawn(folder, fields, arguments, variables).await
    }

    /// Starts it in the folder of an earlier one.
    pub(crate) async fn start_in(folder: TempDir, fields: Value, variables: &[(&str, &str)]) -> Self {
        Self::spawn(folder, fields, &[], variables).await
    }

    async fn spawn(folder: TempDir, fields: Value, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let (acme, management) = (free_port(), free_port());
        certify(folder.path()).await;
        let mut pebble = json!({
            "listenAddress": format!("127.0.0.1:{acme}"), "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": "tls.pem", "privateKey": "tls.key", "httpPort": responder().port(), "tlsPort": free_port(),
            "keyAlgorithm": "ecdsa",
        });
        let fields = fields.as_object().expect("fields are an object").clone();
        pebble.as_object_mut().expect("it is an object").extend(fields);
        fs::write(folder.path().join("pebble.json"), json!({ "pebble": pebble }).to_string()).expect("written");
        let log = File::create(folder.path().join("pebble.log")).expect("a file can be made");
        let process = command(folder.path(), &[&["-config", "pebble.json", "-strict"], arguments].concat(), variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("it can be started");
        let mut pebble = Self { process, folder, acme, management };
        let mut lines = BufReader::new(pebble.process.stdout.take().expect("its output is piped")).lines();
        let told = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("directory") && line.contains("/dir") {
                    return true;
                }
            }
            false
        };
        assert!(within(PATIENCE, "it serves", told).await, "it ended: {}", pebble.log());
        pebble
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("pebble.log")).unwrap_or_default()
    }

    /// A path in its working folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new client of it.
    pub(crate) fn client(&self) -> Client {
        Client::new(Door::new(self.acme, &self.path("tls-ca.pem")))
    }

    /// A new client of its management interface.
    pub(crate) fn management(&self) -> Client {
        Client::new(Door::new(self.management, &self.path("tls-ca.pem")))
    }

    /// SIGTERM, and its folder when it has ended in order.
    pub(crate) async fn terminate(mut self) -> TempDir {
        let id = self.process.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &id]).status().await.is_ok_and(|sent| sent.success()));
        let status = within(PATIENCE, "it ends", self.process.wait()).await.expect("our own child can be awaited");
        assert!(status.success(), "{status}: {}", self.log());
        self.folder
    }
}

/// The command under the name `pebble`, its temporary folders in this one.
pub(crate) fn command(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let name = folder.join("pebble");
    if !name.exists() {
        symlink(env!("CARGO_BIN_EXE_cairn"), &name).expect("a link can be made");
    }
    let mut command = Command::new(name);
    command.args(arguments).current_dir(folder).env("TMPDIR", folder).envs(variables.iter().copied());
    command
}

/// A certificate for the server's TLS, of a CA that is not ours.
async fn certify(folder: &Path) {
    if folder.join("tls.pem").exists() {
        return;
    }
    fs::write(
        folder.join("tls.extensions"),
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n",
    )
    .expect("a file can be written");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for line in [
        format!("req -x509 {key} -days 30 -subj /CN=tls -keyout ca.key -out tls-ca.pem"),
        format!("req {key} -subj /CN=localhost -keyout tls.key -out tls.csr"),
        "x509 -req -in tls.csr -CA tls-ca.pem -CAkey ca.key -days 30 -extfile tls.extensions -out tls.pem".to_owned(),
    ] {
        let output = run(Command::new("openssl").args(line.split_whitespace()).current_dir(folder)).await;
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
