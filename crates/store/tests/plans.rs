//! What the server asks of its ledger and its logs costs the same however many records there are: no statement walks
//! through a table. The statements are those in the sources; SQLite says how it would run each.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::sqlite::{Database, OpenOptions};

/// Statements that walk, and why they may. One that does so no more has to leave this list.
const WALK: [(&str, &str); 16] = [
    ("ledger.serials", "a page of all, in the order of the rows: it ends at its limit"),
    ("ledger.external_account_keys", "a page of all, in the order of the rows"),
    ("ledger.responders", "a page of all, and there are few"),
    ("ledger.count_renewals", "for an operator, who is told so"),
    ("ledger.accept_time.generations", "a row for each change of the CRL shards, once after a wrong clock"),
    ("ledger.accept_time.revocations", "for an operator, along an index of what is revoked, once after a wrong clock"),
    ("ledger.first_terms_version.look", "the first row alone"),
    ("ledger.authorities", "there are few"),
    ("ledger.crl_generations", "there are few, by a limit"),
    ("ledger.renewal_rules", "there are few, by a limit"),
    ("ledger.recoveries", "there are few"),
    ("ledger.stops", "a page of all, the newest first: it ends at its limit"),
    ("ledger.recovery", "along an index of one row"),
    ("ledger.unsettled", "along an index of what a recovery has left open"),
    ("ledger.restore.signature", "along names, and only while a reference leads nowhere: none does"),
    ("ledger.ended_orders", "sorts what ended in the same millisecond"),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the sources are there").map(|entry| entry.expect("it is listed").path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// What stands between this place and the next quotation mark that is not escaped, as the compiler reads it.
fn literal(source: &str) -> String {
    let mut text = String::new();
    let mut octets = source.chars();
    while let Some(one) = octets.next() {
        match one {
            '"' => break,
            '\\' => match octets.next() {
                Some('n') => text.push('\n'),
                Some('\n') => {
                    let rest = octets.as_str().trim_start();
                    octets = rest.chars();
                }
                Some(other) => text.push(other),
                None => break,
            },
            other => text.push(other),
        }
    }
    text
}

/// Statements begin with their name. Constants that are formatted into them stand in the same file; all else that is,
/// are numbers.
fn statements(source: &str) -> Vec<String> {
    let begins = source.match_indices("\"-- ").map(|(place, _)| literal(&source[place + 1..]));
    begins
        .map(|mut statement| {
            while let Some((before, rest)) = statement.clone().split_once('{')
                && let Some((name, after)) = rest.split_once('}')
            {
                let constant =
                    source.split_once(&format!("const {name}: &str")).and_then(|(_, rest)| rest.split_once('"'));
                let formatted = constant.map_or_else(|| "1".to_owned(), |(_, constant)| literal(constant));
                statement = format!("{before}{formatted}{after}");
            }
            statement
        })
        .collect()
}

/// The steps that walk through a table or an index, or sort.
fn walks(connection: &Connection, statement: &str) -> Vec<String> {
    let mut explained = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    // Whatever is bound, the plan is the same.
    let steps = explained.raw_query().mapped(|row| row.get::<_, String>(3));
    let steps: Vec<String> = steps.map(|step| step.expect("a step is a text")).collect();
    let walks = |step: &String| {
        let scan = step.strip_prefix("SCAN ").is_some_and(|what| what != "CONSTANT ROW" && !what.starts_with('('));
        scan || step.contains("TEMP B-TREE")
    };
    steps.into_iter().filter(walks).collect()
}

#[test]
fn no_statement_of_ledger_and_logs_walks_through_a_table() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join("cairn.db");
    drop(Database::open(&path, OpenOptions::default()).expect("a store can be made"));
    let connection = Connection::open(&path).expect("it can be opened again");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sqlite");
    let files = sources(&here.join("ledger")).into_iter().chain([here.join("log_store.rs"), here.join("tally.rs")]);
    let (mut seen, mut unexpected, mut expected) = (0, Vec::new(), Vec::new());
    for file in files {
        let source = fs::read_to_string(&file).expect("a source can be read");
        for statement in statements(&source) {
            seen += 1;
            let name = statement.lines().next().unwrap_or_default().trim_start_matches("-- ").to_owned();
            let walks = walks(&connection, &statement);
            if walks.is_empty() {
                continue;
            }
            match WALK.iter().find(|(known, _)| *known == name) {
                Some((known, _)) => expected.push(*known),
                None => unexpected.push(format!("{name} ({}): {walks:?}", file.display())),
            }
        }
    }
    assert!(seen > 100, "only {seen} statements were found");
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    let idle: Vec<_> = WALK.iter().filter(|(known, _)| !expected.contains(known)).collect();
    assert!(idle.is_empty(), "these do not walk any more: {idle:?}");
}
