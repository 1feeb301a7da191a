//! The files of the project.

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is two folders up")
}

/// A path as people write it: from the workspace's folder on.
pub(crate) fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", name(path)))
}

pub(crate) fn toml(path: &Path) -> toml::Value {
    toml::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", name(path)))
}

/// All files below a folder with this extension, sorted. A folder that isn't there has none.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|is| is == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.expect("a folder can be read").path()).collect(),
        Err(_) => Vec::new(),
    }
}

/// The folders of the crates.
pub(crate) fn crates() -> Vec<PathBuf> {
    let mut crates: Vec<PathBuf> =
        entries(&root().join("crates")).into_iter().filter(|path| path.join("Cargo.toml").exists()).collect();
    crates.sort();
    assert!(crates.len() >= 9, "the rooms were not found");
    crates
}

/// The files with which a crate's library, binaries, tests, examples and benchmarks begin.
pub(crate) fn crate_roots(room: &Path) -> Vec<PathBuf> {
    let mut roots = vec![room.join("src/lib.rs"), room.join("src/main.rs")];
    for folder in ["src/bin", "tests", "examples", "benches"] {
        for path in entries(&room.join(folder)) {
            roots.push(if path.is_dir() { path.join("main.rs") } else { path });
        }
    }
    roots.retain(|root| root.extension().is_some_and(|is| is == "rs") && root.exists());
    roots
}

/// Every Rust file.
pub(crate) fn rust_files() -> Vec<PathBuf> {
    let root = root();
    let mut found = files(&root.join("crates"), "rs");
    found.extend(files(&root.join("fuzz/fuzz_targets"), "rs"));
    found
}

/// Every script.
pub(crate) fn scripts() -> Vec<PathBuf> {
    let root = root();
    let mut scripts = files(&root.join("tests"), "sh");
    scripts.extend(files(&root.join("tests"), "py"));
    scripts.extend([root.join("test"), root.join("fuzz/run"), root.join(".ci/run")]);
    scripts
}

/// Every text for people.
pub(crate) fn documents() -> Vec<PathBuf> {
    let root = root();
    let mut documents = files(&root.join("docs"), "md");
    documents.push(root.join("fuzz/README.md"));
    documents.extend(entries(&root).into_iter().filter(|path| path.extension().is_some_and(|is| is == "md")));
    documents
}
