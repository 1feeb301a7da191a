//! The licences of everything that is built in: permissive ones.

use std::process::Command;

use serde_json::Value;

use crate::fail_on;
use crate::rooms::{list, metadata, text};

/// SPDX names.
const ALLOWED: &[&str] = &[
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "OpenSSL",
    // For data: the roots that Mozilla trusts.
    "CDLA-Permissive-2.0",
];

#[test]
fn licences_are_permissive() {
    let metadata = all_packages();
    let packages = list(&metadata, "packages");
    assert!(packages.len() > 50, "cargo metadata names {} packages only", packages.len());
    let mut faults = Vec::new();
    for package in packages {
        let expression = text(package, "license");
        if !Expression::of(expression).permits() {
            let (name, version) = (text(package, "name"), text(package, "version"));
            faults.push(format!("{name} {version}: licence {expression:?} is not in the list of permitted ones"));
        }
    }
    fail_on(&faults);
}

/// All packages of the lock file, for every platform; or, where those of other platforms were never fetched and there
/// is no network, those of this one.
fn all_packages() -> Value {
    metadata(&["--locked"]).unwrap_or_else(|error| {
        let host = host();
        eprintln!("only the packages for {host} are looked at: {}", error.lines().next().unwrap_or_default());
        metadata(&["--filter-platform", &host]).expect("cargo metadata for this platform")
    })
}

fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV names the host");
    host.to_owned()
}

/// An SPDX expression: `(MIT OR Apache-2.0) AND Unicode-3.0`. AND binds closer than OR; `/` is an old way to write OR.
struct Expression {
    words: Vec<String>,
    at: usize,
}

impl Expression {
    fn of(text: &str) -> Self {
        let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
        Self { words: spaced.split_whitespace().map(str::to_owned).collect(), at: 0 }
    }

    fn permits(mut self) -> bool {
        let allowed = self.any();
        allowed && self.at == self.words.len()
    }

    fn takes(&mut self, word: &str) -> bool {
        let is_next = self.words.get(self.at).is_some_and(|next| next == word);
        self.at += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> bool {
        let mut allowed = self.all();
        while self.takes("OR") {
            allowed |= self.all();
        }
        allowed
    }

    fn all(&mut self) -> bool {
        let mut allowed = self.one();
        while self.takes("AND") {
            allowed &= self.one();
        }
        allowed
    }

    fn one(&mut self) -> bool {
        if self.takes("(") {
            let allowed = self.any();
            return self.takes(")") && allowed;
        }
        let licence = self.words.get(self.at).cloned();
        self.at += 1; // Past the end if there is none: then the expression is refused as a whole.
        let Some(mut licence) = licence else { return false };
        if self.takes("WITH") {
            licence = format!("{licence} WITH {}", self.words.get(self.at).map_or("", String::as_str));
            self.at += 1;
        }
        ALLOWED.contains(&licence.as_str())
    }
}

#[test]
fn licence_expressions_are_understood() {
    for allowed in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0-only OR MIT",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        "ISC AND (Apache-2.0 OR ISC) AND (MIT OR LGPL-3.0)",
    ] {
        assert!(Expression::of(allowed).permits(), "{allowed}");
    }
    for refused in ["", "GPL-3.0-only", "MIT AND GPL-2.0", "MIT OR", "(MIT", "Apache-2.0 WITH Other-exception", "MIT)"]
    {
        assert!(!Expression::of(refused).permits(), "{refused}");
    }
}
