//! Chains to other roots (RFC 8555 §7.4.2): those that a first start makes, and those that the operator adds.

use std::fs;
use std::path::Path;

use acme::Algorithm;
use pki::Certificate;
use tokio::process::Command;

use crate::support::account::Account;
use crate::support::client::{Client, certificates, text};
use crate::support::connection::Answer;
use crate::support::server::{Server, run};

/// Runs OpenSSL in a folder: its arguments as one text.
async fn openssl(folder: &Path, arguments: &str) {
    let output = run(Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder)).await;
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn pem(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| pki::pem::encode("CERTIFICATE", der)).collect()
}

/// The answer leads from its first certificate to this root alone, by OpenSSL's judgement.
async fn assert_leads_to(folder: &Path, answer: &Answer, root: &Path) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let chain = certificates(answer.text());
    fs::write(folder.join("leaf.pem"), pem(&chain[..1])).expect("a file can be written");
    fs::write(folder.join("above.pem"), pem(&chain[1..])).expect("a file can be written");
    fs::copy(root, folder.join("trusted.pem")).expect("a file can be copied");
    openssl(folder, "verify -x509_strict -purpose sslserver -CAfile trusted.pem -untrusted above.pem leaf.pem").await;
}

fn read(path: &Path) -> Vec<Vec<u8>> {
    certificates(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

async fn certificate(client: &mut Client) -> (Account, String) {
    let account = client.account(Algorithm::Es256).await;
    let issued = client.issued(&account, &["chains.localhost"]).await;
    let url = text(&issued.object["certificate"]).to_owned();
    (account, url)
}

#[tokio::test]
async fn a_certificate_can_be_had_with_a_chain_to_each_root() {
    let mut server = Server::start("[issuer]\nalternate-roots = 2\nchain-length = 3").await;
    let mut client = server.client();
    let (account, url) = certificate(&mut client).await;
    let own = client.post_as_get(&account, &url).await;
    let urls = [url.clone(), format!("{url}/1"), format!("{url}/2")];
    for (number, of_chain) in urls.iter().enumerate() {
        let answer = client.post_as_get(&account, of_chain).await;
        let root = match number {
            0 => server.data().join("root.pem"),
            _ => {
                let chain = read(&server.data().join(format!("chains/{number}.pem")));
                let root = server.path(&format!("root-{number}.pem"));
                fs::write(&root, pem(&chain[chain.len() - 1..])).expect("a file can be written");
                root
            }
        };
        assert_leads_to(server.path("").as_path(), &answer, &root).await;
        let chain = certificates(answer.text());
        assert_eq!(chain.len(), 4, "a leaf and three intermediates, no root");
        assert_eq!(chain[0], certificates(own.text())[0], "each chain has the same leaf");
        let others: Vec<&String> = urls.iter().filter(|other| *other != of_chain).collect();
        assert_eq!(answer.links("alternate"), others, "all others are linked from {of_chain}");
    }
    for wrong in ["/0", "/3", "/01", "/x"] {
        let answer = client.post_as_get(&account, &format!("{url}{wrong}")).await;
        assert_eq!(answer.status, 404, "{wrong}: {}", answer.text());
    }
    server.assert_sound().await;
    assert!(server.terminate().await.success());
    server.start_again();
    server.wait_until_it_serves().await;
    let answer = server.client().post_as_get(&account, &urls[2]).await;
    assert_eq!(certificates(answer.text())[0], certificates(own.text())[0], "a restart keeps the chains");
}

#[tokio::test]
async fn a_certificate_without_other_roots_has_no_alternate() {
    let server = Server::start("").await;
    let mut client = server.client();
    let (account, url) = certificate(&mut client).await;
    assert_eq!(client.post_as_get(&account, &url).await.links("alternate"), Vec::<&str>::new());
    assert_eq!(client.post_as_get(&account, &format!("{url}/1")).await.status, 404);
}

/// An older root, made by OpenSSL, that certifies one of our keys: `old.pem`, and `NAME-cross.pem` with it behind.
async fn cross_sign(server: &Server, name: &str, path_length: u8) {
    let own = Certificate::from_der(&read(&server.data().join(format!("{name}.pem")))[0]).expect("our certificate");
    let identifier = data_encoding::HEXUPPER.encode(own.key_identifier().expect("it has one"));
    cross_sign_as(server, name, path_length, &identifier).await;
}

/// The same, with this subjectKeyIdentifier.
async fn cross_sign_as(server: &Server, name: &str, path_length: u8, identifier: &str) {
    let folder = server.path("");
    let extensions = format!(
        "basicConstraints=critical,CA:TRUE,pathlen:{path_length}\nkeyUsage=critical,keyCertSign,cRLSign\n\
         subjectKeyIdentifier={identifier}\nauthorityKeyIdentifier=keyid:always\n"
    );
    fs::write(folder.join("extensions"), extensions).expect("a file can be written");
    if !folder.join("old.pem").exists() {
        let root = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=Old-Root \
                    -keyout old.key -out old.pem -addext basicConstraints=critical,CA:TRUE \
                    -addext keyUsage=critical,keyCertSign,cRLSign";
        openssl(&folder, root).await;
    }
    let data = server.data();
    let data = data.to_str().expect("temporary folders have plain names");
    openssl(&folder, &format!("x509 -x509toreq -in {data}/{name}.pem -signkey {data}/keys/{name}.pem -out {name}.csr"))
        .await;
    let sign = format!("x509 -req -in {name}.csr -CA old.pem -CAkey old.key -extfile extensions -days 20");
    openssl(&folder, &format!("{sign} -out {name}-cross.pem")).await;
    let chain = [read(&folder.join(format!("{name}-cross.pem"))), read(&folder.join("old.pem"))].concat();
    fs::write(folder.join(format!("{name}-cross.pem")), pem(&chain)).expect("a file can be written");
}

#[tokio::test]
async fn an_operator_adds_chains_to_an_older_root_and_removes_them() {
    let mut server = Server::start("").await;
    cross_sign(&server, "root", 1).await;
    cross_sign(&server, "intermediate", 0).await;
    let path = |name: &str| server.path(name).to_str().expect("temporary folders have plain names").to_owned();
    for (number, file) in [(1, "root-cross.pem"), (2, "intermediate-cross.pem")] {
        let added = server.json(&["chain", "add", &path(file)]).await;
        assert_eq!(added["chain"], number, "{added}");
    }
    let again = server.command(&["chain", "add", &path("root-cross.pem")]).await;
    assert_eq!(again.status.code(), Some(1), "a chain is not added twice");
    let listed = server.json(&["chain", "list"]).await;
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    let mut client = server.client();
    let (account, url) = certificate(&mut client).await;
    assert!(server.terminate().await.success());
    server.start_again();
    server.wait_until_it_serves().await;
    let mut client = server.client();
    let old = server.path("old.pem");
    for (number, length) in [(1, 3), (2, 2)] {
        let answer = client.post_as_get(&account, &format!("{url}/{number}")).await;
        assert_leads_to(server.path("").as_path(), &answer, &old).await;
        assert_eq!(certificates(answer.text()).len(), length, "the root is left out of chain {number}");
    }
    server.assert_sound().await;
    assert_eq!(server.json(&["chain", "remove", "1"]).await["chain"], 1);
    let gone = server.command(&["chain", "remove", "1"]).await;
    assert!(String::from_utf8_lossy(&gone.stderr).contains("there is no chain 1"), "{gone:?}");
    assert!(server.terminate().await.success());
    server.start_again();
    server.wait_until_it_serves().await;
    let answer = server.client().post_as_get(&account, &url).await;
    assert_eq!(answer.links("alternate"), [format!("{url}/2")], "numbers stay as they are");
}

#[tokio::test]
async fn a_chain_that_leads_nowhere_is_refused_with_its_fault() {
    let server = Server::start("").await;
    cross_sign(&server, "root", 0).await;
    cross_sign(&server, "intermediate", 0).await;
    let folder = server.path("");
    let root = read(&server.data().join("root.pem"));
    let own = [read(&server.data().join("intermediate.pem")), root.clone()].concat();
    let (cross, old) = (read(&folder.join("intermediate-cross.pem"))[..1].to_vec(), read(&folder.join("old.pem")));
    let mut forged = cross.clone();
    *forged[0].last_mut().expect("it has octets") ^= 1;
    for (text, part) in [
        (String::new(), "no PEM block"),
        (pki::pem::encode("PRIVATE KEY", b"x"), "PRIVATE KEY"),
        (pki::pem::encode("CERTIFICATE", b"x"), "certificate 1 can't be read"),
        (pem(&old), "not ours"),
        (pem(&cross), "append the certificate of"),
        (pem(&[cross.clone(), root].concat()), "was issued by"),
        (pem(&[forged, old.clone()].concat()), "is not signed by the next"),
        (pem(&read(&folder.join("root-cross.pem"))), "allows 0 intermediates below it, and 1 are"),
        (pem(&own), "has already"),
        (pem(&vec![old[0].clone(); 11]), "at most 10"),
    ] {
        fs::write(folder.join("chain.pem"), &text).expect("a file can be written");
        let file = folder.join("chain.pem");
        let output = server.command(&["chain", "add", file.to_str().expect("a plain name")]).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{part}: {errors}");
        assert!(errors.contains(part) && errors.lines().count() == 1, "it lacks {part:?}: {errors}");
    }
    // Leaves name the key of their issuer by our identifier: no client would find its certificate under another.
    cross_sign_as(&server, "intermediate", 0, "0123456789ABCDEF").await;
    let file = folder.join("intermediate-cross.pem");
    let output = server.command(&["chain", "add", file.to_str().expect("a plain name")]).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && errors.contains("subjectKeyIdentifier 0123456789ABCDEF"), "{errors}");
    assert_eq!(server.json(&["chain", "list"]).await.as_array().map(Vec::len), Some(1), "nothing was added");
}
