//! What is wrong enough that only OpenSSL makes it.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What `openssl` says to these arguments, parted by spaces, and this input.
pub(crate) async fn openssl(arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = command.spawn().expect("openssl is installed");
    let mut pipe = running.stdin.take().expect("its input is piped");
    // Where it reads nothing, it may have ended before this.
    let _unread = pipe.write_all(input).await;
    drop(pipe);
    let output = running.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "openssl {arguments}: {}", output.status);
    output.stdout
}

/// A certificate request in DER with a new key of this kind, and these further arguments of `openssl req`.
pub(crate) async fn csr(key: &str, arguments: &str) -> Vec<u8> {
    openssl(&format!("req -new -newkey {key} -nodes -keyout /dev/null -outform DER {arguments}"), b"").await
}

/// A key that nobody objects to, for [`csr`].
pub(crate) const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
