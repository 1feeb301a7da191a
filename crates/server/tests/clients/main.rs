//! Clients that others wrote, against the real server: each obtains, renews and revokes, and what it gets is checked by
//! OpenSSL, GnuTLS, Python and pkilint. `./test` installs them. Each test has a server of its own, on ports of its own.

mod dns;
mod readme;
mod server;

use server::Server;

#[test]
fn certbot_obtains_renews_and_revokes_by_http_01() {
    Server::start("").run("certbot_http_01.sh", &[]);
}

#[test]
fn certbot_obtains_renews_and_revokes_by_dns_01() {
    Server::start("").run("certbot_dns_01.sh", &[]);
}

#[test]
fn lego_obtains_renews_and_revokes_by_http_01() {
    let server = Server::start("");
    let port = format!(":{}", server.ports.http);
    server.run("lego.sh", &["lego.example.com,www.lego.example.com", "--http", "--http.port", &port]);
}

#[test]
fn lego_obtains_renews_and_revokes_by_tls_alpn_01() {
    let server = Server::start("");
    let port = format!(":{}", server.ports.tls);
    server.run("lego.sh", &["lego.example.com,www.lego.example.com", "--tls", "--tls.port", &port]);
}

#[test]
fn lego_obtains_renews_and_revokes_by_dns_01() {
    let server = Server::start("");
    let dns = server.dns.address().to_string();
    server.run(
        "lego.sh",
        &["*.lego.example.com,lego.example.com", "--dns", "exec", "--dns.disable-cp", "--dns.resolvers", &dns],
    );
}

#[test]
fn uacme_obtains_changes_its_key_renews_and_revokes() {
    Server::start("").run("uacme.sh", &[]);
}

#[test]
fn dehydrated_obtains_renews_and_revokes() {
    Server::start("").run("dehydrated.sh", &[]);
}

#[test]
fn acme_tiny_obtains_and_renews() {
    Server::start("").run("acme_tiny.sh", &[]);
}

#[test]
fn pythons_acme_obtains_renews_and_revokes() {
    Server::start("").run("python_acme.sh", &[]);
}

#[test]
fn caddy_obtains_and_renews_by_http_01() {
    Server::start("").run("caddy.sh", &["http"]);
}

#[test]
fn caddy_obtains_and_renews_by_tls_alpn_01() {
    Server::start("").run("caddy.sh", &["tls-alpn"]);
}

#[test]
fn apaches_mod_md_obtains_and_renews() {
    Server::start("").run("apache_md.sh", &[]);
}

#[test]
fn pkilint_finds_no_error_in_what_classic_issues() {
    Server::start("").run("lint.sh", &["classic"]);
}

#[test]
fn pkilint_finds_no_error_in_what_an_rsa_issuer_issues() {
    Server::start("[issuer]\nkey = \"rsa2048\"\n").run("lint.sh", &["classic"]);
}

#[test]
fn pkilint_finds_no_error_in_what_shortlived_issues() {
    Server::start(&not_offered(&["classic"])).run("lint.sh", &["shortlived"]);
}

#[test]
fn pkilint_finds_no_error_in_what_internal_issues() {
    Server::start(&not_offered(&["classic", "shortlived"])).run("lint.sh", &["internal"]);
}

#[test]
fn relying_parties_agree_on_ocsp_answers_of_a_delegated_responder_for_an_ecdsa_issuer() {
    Server::start(&responder("delegated", "p256")).run("ocsp.sh", &["delegated"]);
}

#[test]
fn relying_parties_agree_on_ocsp_answers_of_an_ecdsa_issuer_itself() {
    Server::start(&responder("direct", "p384")).run("ocsp.sh", &["direct"]);
}

#[test]
fn relying_parties_agree_on_ocsp_answers_of_a_delegated_responder_for_an_rsa_issuer() {
    Server::start(&responder("delegated", "rsa2048")).run("ocsp.sh", &["delegated"]);
}

#[test]
fn relying_parties_agree_on_ocsp_answers_of_an_rsa_issuer_itself() {
    Server::start(&responder("direct", "rsa2048")).run("ocsp.sh", &["direct"]);
}

/// Certificates name the responder.
fn responder(signer: &str, key: &str) -> String {
    format!("[issuer]\nkey = \"{key}\"\n[ocsp]\nin-certificates = true\nresponder = \"{signer}\"\n")
}

/// The first profile that is offered is the default; old clients can't name another.
fn not_offered(profiles: &[&str]) -> String {
    profiles.iter().map(|name| format!("[[profile]]\nname = \"{name}\"\noffered = false\n")).collect()
}
