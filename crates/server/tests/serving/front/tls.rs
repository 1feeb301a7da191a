//! TLS as OpenSSL sees it: 1.2 and 1.3, ephemeral keys and AEADs, no renegotiation.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::server::Server;
use crate::support::world::{PATIENCE, within};

/// What `openssl s_client` says, and whether it was content. It sends this, and then waits for the end of the
/// connection only if it is told to.
async fn s_client(server: &Server, arguments: &[&str], input: &str) -> (bool, String) {
    let mut process = Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{}", server.door().port()), "-servername", "localhost"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl can be started");
    let mut stdin = process.stdin.take().expect("its input is piped");
    // It may have ended already.
    let _gone = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = within(PATIENCE, "openssl ends", process.wait_with_output()).await.expect("it can be awaited");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn old_versions_and_weak_suites_are_refused() {
    let server = Server::start("").await;
    // So that it is the server who refuses: OpenSSL itself would not offer these any more.
    let weak = "ALL:COMPLEMENTOFALL:@SECLEVEL=0";
    for version in ["-tls1", "-tls1_1"] {
        let (good, said) = s_client(&server, &[version, "-cipher", weak], "").await;
        assert!(!good && said.contains("alert"), "{version}: {said}");
    }
    for suites in ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES128-CCM"]
    {
        let cipher = format!("{suites}:@SECLEVEL=0");
        let (good, said) = s_client(&server, &["-tls1_2", "-cipher", &cipher], "").await;
        assert!(!good && said.contains("handshake failure"), "{suites}: {said}");
    }
    for arguments in [
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
        &["-tls1_3"],
    ] {
        let (good, said) = s_client(&server, arguments, "").await;
        assert!(good, "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn renegotiation_is_refused() {
    let server = Server::start("").await;
    let (_, said) = s_client(&server, &["-tls1_2"], "R\n").await;
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
}

#[tokio::test]
async fn sessions_are_resumed_without_early_data() {
    let server = Server::start("").await;
    let file = server.path("session.pem");
    let file = file.to_str().expect("temporary folders have plain names");
    let request = "GET /new-nonce HTTP/1.0\r\nHost: localhost\r\n\r\n";
    for version in ["-tls1_2", "-tls1_3"] {
        let (_, said) = s_client(&server, &[version, "-ign_eof", "-sess_out", file], request).await;
        assert!(said.contains("New, TLS"), "{said}");
        let (_, said) = s_client(&server, &[version, "-ign_eof", "-sess_in", file], request).await;
        assert!(said.contains("Reused, TLS"), "{version}: {said}");
        assert!(!said.contains("Max Early Data: 1"), "{version}: {said}");
    }
}
