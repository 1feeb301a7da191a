//! The audit log of a real server: what it says, and what `cairn audit` makes of it.

use std::fs;

use crate::support::server::Server;

#[tokio::test]
async fn a_first_start_that_was_killed_after_it_made_the_hierarchy_leaves_it_in_the_log() {
    let mut server = Server::start("").await;
    assert!(server.terminate().await.success());
    // As it was when certificates and keys were on disk, and nothing else.
    let data = server.data();
    fs::remove_dir_all(data.join("audit")).expect("it has an audit log");
    for file in ["cairn.db", "nonces"] {
        fs::remove_file(data.join(file)).expect("it has a store");
    }
    fs::write(data.join("keys/intermediate.pem.new"), "half a k").expect("a file can be written");
    server.start_again();
    server.wait_until_it_serves().await;
    let log = fs::read_to_string(data.join("audit/00000000.jsonl")).expect("it has an audit log");
    assert_eq!(log.matches("\"event\":\"authority\"").count(), 2, "the root and the intermediate");
    assert!(!data.join("keys/intermediate.pem.new").exists(), "nobody writes it any more");
    server.assert_sound().await;
}
