//! Holds what can be held by a machine: the rooms' arrows, licences, lengths, words, migrations, files that nobody
//! uses. Each test lists every fault that it finds, with its place and what would be right.

mod code;
mod licences;
mod rooms;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use code::{Code, Token};

/// A file has at most so many lines.
const LINES_MAX: usize = 600;
/// A line has at most so many columns.
const COLUMNS_MAX: usize = 120;
/// Files that are longer, with their length: they may shrink, and leave this list when they have, but not grow.
const LONGER_FILES: &[(&str, usize)] = &[];

/// Words in names that say nothing, or that are another project's; what is right instead.
const BANNED_IN_NAMES: &[(&str, &str)] = &[
    ("Manager", "name what it does"),
    ("Helper", "name what it does"),
    ("Registration", "RFC 8555 says account"),
    ("authz2", "RFC 8555 says authorization"),
];
/// Modules that become drawers for everything.
const BANNED_MODULES: &[&str] = &["util", "utils", "common", "base", "helpers", "misc"];
/// Macros that stand for code that isn't there.
const BANNED_MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

fn fail_on(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n  {}\n", faults.len(), faults.join("\n  "));
}

/// Marks of unfinished work. Put together here, so that this file doesn't contain them.
fn unfinished_marks() -> [String; 3] {
    [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|halves| halves.concat())
}

#[test]
fn files_are_short() {
    let mut faults = Vec::new();
    for file in tree::rust_files() {
        let (name, lines) = (tree::name(&file), tree::read(&file).lines().count());
        let listed = LONGER_FILES.iter().find(|(listed, _)| *listed == name).map(|(_, length)| *length);
        match listed {
            None if lines > LINES_MAX => faults.push(format!("{name}: {lines} lines, at most {LINES_MAX}; divide it")),
            Some(length) if lines > length => {
                faults.push(format!("{name}: grew from {length} to {lines} lines; divide it"))
            }
            Some(length) if lines < length => {
                faults.push(format!(
                    "{name}: shrank to {lines} lines; say so in LONGER_FILES, or take it out of that list"
                ));
            }
            Some(_) | None => {}
        }
    }
    fail_on(&faults);
}

#[test]
fn lines_are_narrow() {
    let mut faults = Vec::new();
    for file in tree::rust_files().into_iter().chain(tree::scripts()) {
        for (number, line) in (1..).zip(tree::read(&file).lines()) {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                faults.push(format!("{}:{number}: {columns} columns, at most {COLUMNS_MAX}", tree::name(&file)));
            }
        }
    }
    fail_on(&faults);
}

#[test]
fn names_say_something() {
    let mut faults = Vec::new();
    for file in tree::rust_files() {
        let code = Code::of(&tree::read(&file));
        let name = tree::name(&file);
        for (at, token) in code.tokens().iter().enumerate() {
            let Token { line, text } = token;
            let mut fault = |what: String| faults.push(format!("{name}:{line}: {text}: {what}"));
            for (word, instead) in BANNED_IN_NAMES {
                let snake = text.split('_').any(|part| part == word.to_lowercase());
                if text.contains(word) || snake {
                    fault((*instead).to_owned());
                }
            }
            if text.len() > "Impl".len() && text.ends_with("Impl") {
                fault("name it for what it is, not for being an implementation".to_owned());
            }
            let before = at.checked_sub(1).map(|before| code.tokens()[before].text.as_str());
            if before == Some("fn") && text.starts_with("get_") {
                fault(format!("say {}", text.trim_start_matches("get_")));
            }
            if before == Some("mod") && BANNED_MODULES.contains(&text.as_str()) {
                fault("name the module for what is in it".to_owned());
            }
            let after = code.tokens().get(at + 1).map(|after| after.text.as_str());
            if after == Some("!") && BANNED_MACROS.contains(&text.as_str()) {
                fault("write the code".to_owned());
            }
        }
    }
    fail_on(&faults);
}

#[test]
fn nothing_is_left_to_be_done() {
    let marks = unfinished_marks();
    let mut faults = Vec::new();
    for file in tree::rust_files().into_iter().chain(tree::scripts()).chain(tree::documents()) {
        for (number, line) in (1..).zip(tree::read(&file).lines()) {
            let words = line.split(|letter: char| !letter.is_alphanumeric());
            if let Some(mark) = words.into_iter().find(|word| marks.iter().any(|mark| mark == word)) {
                faults.push(format!("{}:{number}: {mark}: do it, or leave it out", tree::name(&file)));
            }
        }
    }
    fail_on(&faults);
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    let workspace = tree::toml(&tree::root().join("Cargo.toml"));
    let level = &workspace["workspace"]["lints"]["rust"]["unsafe_code"];
    let mut faults = Vec::new();
    if !matches!(level.as_str(), Some("deny" | "forbid")) {
        faults.push(format!("Cargo.toml: workspace.lints.rust.unsafe_code is {level}, not \"deny\""));
    }
    for room in tree::crates() {
        let manifest = tree::toml(&room.join("Cargo.toml"));
        let inherited = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
        if inherited != Some(true) {
            faults.push(format!("{}/Cargo.toml: lacks [lints] workspace = true", tree::name(&room)));
        }
    }
    fail_on(&faults);
}

#[test]
fn unsafe_is_nowhere_but_in_keys() {
    let mut faults = Vec::new();
    for file in tree::rust_files() {
        let name = tree::name(&file);
        if name.starts_with("crates/keys/") {
            continue;
        }
        for token in Code::of(&tree::read(&file)).tokens() {
            if token.text == "unsafe" || token.text == "unsafe_code" {
                faults.push(format!("{name}:{}: only keys may hold `unsafe`, with its reason", token.line));
            }
        }
    }
    fail_on(&faults);
}

#[test]
fn migrations_are_numbered_without_gaps_and_used() {
    let store = tree::root().join("crates/store");
    let sources: String = tree::files(&store.join("src"), "rs").iter().map(|file| tree::read(file)).collect();
    let files = tree::files(&store.join("migrations"), "sql");
    assert!(!files.is_empty(), "crates/store/migrations has no migration");
    let mut faults = Vec::new();
    let engines: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    for engine in engines {
        let mut names: Vec<String> =
            files.iter().filter(|file| file.parent() == Some(engine)).map(|file| file_name(file)).collect();
        names.sort();
        for (number, name) in (1..).zip(&names) {
            if !name.starts_with(&format!("{number:04}_")) {
                faults.push(format!("{}/{name}: expected number {number:04}", tree::name(engine)));
            }
            if !sources.contains(&format!("{}/{name}", file_name(engine))) {
                faults.push(format!("{}/{name}: no source file includes it", tree::name(engine)));
            }
        }
    }
    fail_on(&faults);
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[test]
fn every_source_file_belongs_to_a_crate() {
    let mut faults = Vec::new();
    for room in tree::crates() {
        let mut reached = BTreeSet::new();
        for root in tree::crate_roots(&room) {
            reach(&root, true, &mut reached, &mut faults);
        }
        for folder in ["src", "tests", "examples", "benches"] {
            for file in tree::files(&room.join(folder), "rs") {
                if !reached.contains(&file) {
                    faults.push(format!("{}: no `mod` leads to it", tree::name(&file)));
                }
            }
        }
    }
    fail_on(&faults);
}

/// The path that an attribute right above a declaration gives its module: what two crates of tests share.
fn named_path(text: &str, line: usize) -> Option<&str> {
    let above: Vec<&str> = text.lines().take(line.saturating_sub(1)).collect();
    let mut attributes = above.into_iter().rev().take_while(|line| line.starts_with("#["));
    attributes.find_map(|attribute| attribute.strip_prefix("#[path = \"")?.strip_suffix("\"]"))
}

/// Follows the `mod` declarations of a file. A crate's root and `mod.rs` have their modules beside them, all others in
/// a folder of their name.
fn reach(file: &Path, root: bool, reached: &mut BTreeSet<PathBuf>, faults: &mut Vec<String>) {
    if !reached.insert(file.to_owned()) {
        return;
    }
    let beside = root || file_name(file) == "mod.rs";
    let folder = if beside { file.parent().unwrap_or(file).to_owned() } else { file.with_extension("") };
    let text = tree::read(file);
    for (line, module) in Code::of(&text).declared_modules() {
        let mut candidates = vec![folder.join(format!("{module}.rs")), folder.join(&module).join("mod.rs")];
        candidates.extend(named_path(&text, line).map(|path| folder.join(path)));
        match candidates.iter().find(|candidate| candidate.exists()) {
            Some(found) => reach(found, false, reached, faults),
            None => faults.push(format!("{}:{line}: mod {module} has no file", tree::name(file))),
        }
    }
}

#[test]
fn readme_shows_a_first_certificate_in_five_lines() {
    let readme = tree::read(&tree::root().join("README.md"));
    let (_, section) = readme.split_once("\n## A first certificate\n").expect("README.md has the section");
    let (_, block) = section.split_once("```sh\n").expect("the section has a block of commands");
    let (commands, _) = block.split_once("```").expect("the block ends");
    assert_eq!(commands.lines().count(), 5, "{commands}");
    for part in ["cairn serve --dev", "first.localhost", "REQUESTS_CA_BUNDLE", "--http-01-port 5002"] {
        assert!(commands.contains(part), "the lines lack {part}:\n{commands}");
    }
}
