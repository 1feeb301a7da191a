//! The README's first certificate, exactly as it stands there.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::server::scripts;

/// A network with its own loopback, where fixed ports are free; all processes in it end with the first.
const OWN_NETWORK: [&str; 5] = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
const AS_USER: [&str; 2] = ["--user", "--map-root-user"];

/// The block of commands under a heading of the README.
fn commands(heading: &str) -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let text = fs::read_to_string(readme).expect("the README is in the workspace");
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("the README has this heading");
    let (_, block) = section.split_once("```sh\n").expect("there is a block of commands");
    block.split_once("```").expect("the block ends").0.to_owned()
}

/// What starts a command in a network of its own, if this is allowed here.
fn own_network() -> Option<Vec<&'static str>> {
    let ways = [OWN_NETWORK.to_vec(), [&AS_USER[..], &OWN_NETWORK[..]].concat()];
    ways.into_iter().find(|way| {
        let tried = Command::new("unshare").args(way).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    })
}

#[test]
fn readme_leads_to_a_first_certificate() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let lines = commands("A first certificate");
    assert_eq!(lines.lines().count(), 5, "{lines}");
    let script = folder.path().join("lines.sh");
    fs::write(&script, lines).expect("a file can be written");
    let cairn = Path::new(env!("CARGO_BIN_EXE_cairn")).parent().expect("the binary is in a folder");

    let network = own_network();
    let mut command = match &network {
        Some(way) => {
            let mut command = Command::new("unshare");
            command.args(way).args(["bash", "-euc", "ip link set lo up; PATH=$1:$PATH bash -eu $2", "lines"]);
            command
        }
        None => {
            let mut command = Command::new("bash");
            command.args(["-euc", "PATH=$1:$PATH exec bash -eu $2", "lines"]);
            command
        }
    };
    command.arg(cairn).arg(&script).current_dir(folder.path()).stdin(Stdio::null()).process_group(0);
    let log = fs::File::create(folder.path().join("log")).expect("a file can be made");
    command.stdout(log.try_clone().expect("a file can be opened twice")).stderr(log);
    let mut process = command.spawn().expect("the lines can be run");
    let status = process.wait();
    // The server that the lines leave running, where it has no namespace to end with. None: it is gone already.
    let group = format!("-{}", process.id());
    let _gone = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();

    let said = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    assert!(status.is_ok_and(|status| status.success()), "the lines failed:\n{said}");
    let verified = Command::new("bash")
        .args(["-c", ". \"$CLIENTS/checks.sh\"; verified \"$1\" first.localhost", "check"])
        .arg("certbot/live/first.localhost/fullchain.pem")
        .current_dir(folder.path())
        .env("CLIENTS", scripts())
        .env("ROOT", "cairn-data/root.pem")
        .output()
        .expect("bash can be started");
    assert!(verified.status.success(), "{}\n{said}", String::from_utf8_lossy(&verified.stderr));
}
