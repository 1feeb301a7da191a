//! Which room may use which, and what it must not use at all.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::code::Code;
use crate::{fail_on, tree};

/// A room: the rooms that it may use, and the packages that it must not.
struct Room {
    name: &'static str,
    uses: &'static [&'static str],
    never: &'static [&'static str],
    /// Parts of the standard library that its sources must not name.
    never_std: &'static [&'static [&'static str]],
}

const ASYNC: &[&str] =
    &["tokio", "futures", "futures-util", "futures-core", "async-trait", "rand", "getrandom", "hyper"];
const DISKS: &[&str] = &["rusqlite", "tokio-postgres", "redis"];
const HTTP: &[&str] = &["hyper", "hyper-util", "http", "axum", "tower", "rustls", "tokio-rustls", "hickory-proto"];
const IO: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "env"],
    &["TcpStream"],
    &["TcpListener"],
    &["UdpSocket"],
    &["SystemTime"],
    &["Instant"],
];

const ROOMS: &[Room] = &[
    Room { name: "acme", uses: &[], never: ASYNC, never_std: IO },
    Room { name: "pki", uses: &[], never: ASYNC, never_std: IO },
    Room {
        name: "ca",
        uses: &["acme", "pki"],
        never: &["tokio", "hyper", "hyper-util", "http", "axum", "rusqlite", "serde_json", "rand", "reqwest"],
        never_std: IO,
    },
    Room { name: "validation", uses: &["acme", "pki", "ca"], never: DISKS, never_std: &[] },
    Room { name: "ct", uses: &["acme", "pki", "ca"], never: DISKS, never_std: &[] },
    Room { name: "keys", uses: &["acme", "pki", "ca"], never: DISKS, never_std: &[] },
    Room { name: "store", uses: &["acme", "pki", "ca"], never: HTTP, never_std: &[] },
    // Not `server`: a CA is measured from outside, by its protocol. Its records alone are made here as well.
    Room { name: "load", uses: &["acme", "pki", "ca", "keys", "store"], never: DISKS, never_std: &[] },
    Room {
        name: "server",
        uses: &["acme", "pki", "ca", "validation", "ct", "keys", "store"],
        never: &[],
        never_std: &[],
    },
    Room {
        name: "sim",
        uses: &["acme", "pki", "ca", "validation", "ct", "keys", "store", "server"],
        never: DISKS,
        never_std: &[&["std", "thread"], &["SystemTime"], &["TcpStream"], &["TcpListener"], &["UdpSocket"]],
    },
];

/// What cargo says of the packages.
pub(crate) fn metadata(arguments: &[&str]) -> Result<Value, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1"])
        .args(arguments)
        .current_dir(tree::root())
        .output()
        .expect("cargo can be started");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("cargo metadata writes JSON"))
}

pub(crate) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

pub(crate) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn arrows_point_at_pure_code() {
    let metadata = metadata(&["--no-deps"]).expect("cargo metadata");
    let mut faults = Vec::new();
    for package in list(&metadata, "packages") {
        let name = text(package, "name");
        let Some(room) = ROOMS.iter().find(|room| room.name == name) else {
            faults.push(format!("{name}: is a room without arrows; give it some in tests/tidy/rooms.rs"));
            continue;
        };
        // Tests may use more: `kind` is null for what the crate itself is built of.
        for dependency in list(package, "dependencies").iter().filter(|one| text(one, "kind") != "dev") {
            let used = text(dependency, "name");
            let is_room = ROOMS.iter().any(|room| room.name == used);
            if is_room && !room.uses.contains(&used) {
                faults.push(format!("{name} uses {used}; it may use only {:?}", room.uses));
            }
            if room.never.contains(&used) {
                faults.push(format!("{name} uses {used}, which it must not"));
            }
        }
    }
    for room in ROOMS {
        if !list(&metadata, "packages").iter().any(|package| text(package, "name") == room.name) {
            faults.push(format!("{}: has arrows and is no room any more", room.name));
        }
    }
    fail_on(&faults);
}

#[test]
fn pure_rooms_and_the_domain_do_no_io() {
    let mut faults = Vec::new();
    for room in ROOMS {
        let sources = tree::root().join("crates").join(room.name).join("src");
        for file in tree::files(&sources, "rs").into_iter().filter(|file| !is_for_tests(file)) {
            let code = Code::of(&tree::read(&file));
            for path in room.never_std {
                if let Some(line) = code.contains_path(path) {
                    faults.push(format!(
                        "{}:{line}: {} reaches the world past the ports",
                        tree::name(&file),
                        path.join("::")
                    ));
                }
            }
        }
    }
    fail_on(&faults);
}

/// Tests may read what lies beside them.
fn is_for_tests(file: &Path) -> bool {
    file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing.rs")))
}
