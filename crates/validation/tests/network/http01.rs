//! http-01 with honest servers.

use acme::ProblemType;
use ca::authorization::Method;
use ca::ports::Validated;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use tokio::net::TcpListener;
use validation::TargetPolicy;

use crate::certificate::Recipe;
use crate::dns_server::{address, reply, reply_code};
use crate::http_server::{Behaviour, HttpServer, ok, redirect};
use crate::scene::{Scene, all_ports, challenge_path, key_authorization, loopback_names};
use crate::tls_server::TlsServer;

fn key() -> String {
    key_authorization().as_str().to_owned()
}

#[tokio::test]
async fn key_authorization_at_its_url_shows_control() {
    let server = HttpServer::always(ok(&key())).await;
    let scene = Scene::with_port(server.address.port()).await;
    let (validated, record) = scene.validate("a.example", Method::Http01).await;
    assert_eq!(validated, Validated::Shown);
    assert_eq!(record.problem, None);
    assert_eq!(record.method, Method::Http01);

    let requests = server.requests();
    let port = server.address.port();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with(&format!("GET {} HTTP/1.1\r\n", challenge_path())), "{requests:?}");
    assert!(requests[0].contains(&format!("host: a.example:{port}\r\n")), "{requests:?}");
    assert!(requests[0].contains("user-agent: Cairn/"), "{requests:?}");
    assert!(requests[0].contains("connection: close\r\n"), "{requests:?}");

    let evidence = record.evidence.join("\n");
    for part in ["A a.example: NOERROR", "connected to 127.0.0.1:", "answered 200 OK"] {
        assert!(evidence.contains(part), "{evidence}");
    }
}

#[tokio::test]
async fn white_space_at_the_end_is_ignored() {
    let server = HttpServer::always(ok(&format!("{} \t\r\n\n", key()))).await;
    let scene = Scene::with_port(server.address.port()).await;
    assert_eq!(scene.validate("a.example", Method::Http01).await.0, Validated::Shown);
}

#[tokio::test]
async fn any_other_content_is_unauthorized_and_shown() {
    for body in [
        format!(" {}", key()),
        format!("{}x", key()),
        format!("{}\nline", key()),
        key()[..key().len() - 1].to_owned(),
        "\u{1b}[31m<html>\"".to_owned(),
    ] {
        let server = HttpServer::always(ok(&body)).await;
        let scene = Scene::with_port(server.address.port()).await;
        let shown = body[..body.len().min(20)].escape_default().to_string().replace("\\u{1b}", "\\x1b");
        scene.expect_failed("a.example", Method::Http01, ProblemType::Unauthorized, &shown).await;
        scene.expect_failed("a.example", Method::Http01, ProblemType::Unauthorized, "127.0.0.1").await;
    }
}

#[tokio::test]
async fn empty_body_is_unauthorized() {
    for body in ["", " \r\n"] {
        let server = HttpServer::always(ok(body)).await;
        let scene = Scene::with_port(server.address.port()).await;
        scene.expect_failed("a.example", Method::Http01, ProblemType::Unauthorized, "an empty body").await;
    }
}

#[tokio::test]
async fn status_other_than_200_is_unauthorized() {
    for status in ["201 Created", "204 No Content", "304 Not Modified", "404 Not Found", "500 Oops"] {
        let length = key().len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{}", key());
        let server = HttpServer::always(answer).await;
        let scene = Scene::with_port(server.address.port()).await;
        scene.expect_failed("a.example", Method::Http01, ProblemType::Unauthorized, &status[..3]).await;
    }
}

#[tokio::test]
async fn http_1_0_and_chunked_answers_are_read() {
    let chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n", key().len(), key());
    for answer in [format!("HTTP/1.0 200 OK\r\n\r\n{}", key()), chunked] {
        let server = HttpServer::always(answer).await;
        let scene = Scene::with_port(server.address.port()).await;
        assert_eq!(scene.validate("a.example", Method::Http01).await.0, Validated::Shown);
    }
}

#[tokio::test]
async fn redirects_are_followed_with_their_query() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let server = HttpServer::start(move |path| {
            Behaviour::Answer(match path {
                "/there?a=b&c" => ok(&key()),
                _ => redirect(status, "//b.example/there?a=b&c#top"),
            })
        })
        .await;
        let scene = Scene::with_port(server.address.port()).await;
        let (validated, record) = scene.validate("a.example", Method::Http01).await;
        assert_eq!(validated, Validated::Shown, "{status}");
        assert!(record.evidence.iter().any(|line| line.contains("redirected to http://b.example")), "{record:?}");
        assert!(server.requests()[1].contains("host: b.example:"), "{:?}", server.requests());
    }
}

#[tokio::test]
async fn redirect_to_https_takes_any_certificate_and_sends_sni() {
    let tls = TlsServer::start(Recipe::plain("unrelated.example").build(), &[b"http/1.1"], Some(ok(&key()))).await;
    let https_port = tls.address.port();
    let server = HttpServer::always(redirect("301 Moved", &format!("https://b.example:{https_port}/x"))).await;
    let http_port = server.address.port();
    let scene = Scene::new(loopback_names, |settings| {
        settings.http_port = http_port;
        settings.https_port = https_port;
    })
    .await;
    assert_eq!(scene.validate("a.example", Method::Http01).await.0, Validated::Shown);
    assert_eq!(tls.names(), ["b.example"]);
}

#[tokio::test]
async fn eleventh_redirect_is_not_followed() {
    let server = HttpServer::start(|path| {
        let number: u32 = path.trim_start_matches('/').parse().unwrap_or(0);
        Behaviour::Answer(redirect("302 Found", &format!("/{}", number + 1)))
    })
    .await;
    let scene = Scene::with_port(server.address.port()).await;
    scene.expect_failed("a.example", Method::Http01, ProblemType::Connection, "more than 10 redirects").await;
    assert_eq!(server.requests().len(), 11);
}

#[tokio::test]
async fn redirects_in_a_circle_end_at_once() {
    let server = HttpServer::start(|path| {
        Behaviour::Answer(redirect("302 Found", if path == "/one" { "/two" } else { "/one" }))
    })
    .await;
    let scene = Scene::with_port(server.address.port()).await;
    scene.expect_failed("a.example", Method::Http01, ProblemType::Connection, "in a circle").await;
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn forbidden_redirect_is_not_followed() {
    for (location, rule) in [
        ("ftp://a.example/x", "only http and https"),
        ("http://a.example:1/x", "only the ports"),
        ("http://127.0.0.1/x", "IP address"),
        ("http://user:secret@a.example/x", "user name"),
    ] {
        let server = HttpServer::always(redirect("302 Found", location)).await;
        let scene = Scene::with_port(server.address.port()).await;
        scene.expect_failed("a.example", Method::Http01, ProblemType::Connection, rule).await;
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn redirect_without_location_is_unauthorized() {
    let server = HttpServer::always("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").await;
    let scene = Scene::with_port(server.address.port()).await;
    scene.expect_failed("a.example", Method::Http01, ProblemType::Unauthorized, "without a Location").await;
}

#[tokio::test]
async fn addresses_are_checked_at_every_hop() {
    let server = HttpServer::always(redirect("302 Found", "http://b.example/x")).await;
    let port = server.address.port();
    let scene = Scene::new(
        |asked| match (asked.name.as_str(), asked.kind) {
            ("a.example", RecordType::A) => reply(asked, vec![address("127.0.0.1")]).into(),
            ("b.example", RecordType::A) => reply(asked, vec![address("127.0.0.2"), address("169.254.169.254")]).into(),
            _ => reply(asked, vec![]).into(),
        },
        |settings| {
            all_ports(settings, port);
            settings.targets = TargetPolicy::private().with_allowed(&["127.0.0.1/32".parse().unwrap()]);
        },
    )
    .await;
    scene
        .expect_failed("a.example", Method::Http01, ProblemType::Connection, "b.example has the address 127.0.0.2")
        .await;
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn loopback_is_no_target_in_the_private_regime() {
    let server = HttpServer::always(ok(&key())).await;
    let port = server.address.port();
    let scene = Scene::new(loopback_names, |settings| {
        all_ports(settings, port);
        settings.targets = TargetPolicy::private();
    })
    .await;
    scene.expect_failed("a.example", Method::Http01, ProblemType::Connection, "127.0.0.1").await;
    scene.expect_failed("127.0.0.1", Method::Http01, ProblemType::Connection, "127.0.0.1").await;
    scene.expect_failed("::1", Method::Http01, ProblemType::Connection, "::1").await;
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn ipv6_is_dialled_first_and_ipv4_once_if_that_fails() {
    let server = HttpServer::always(ok(&key())).await;
    let port = server.address.port();
    let scene = Scene::new(
        |asked| {
            let ipv6 = asked.kind == RecordType::AAAA;
            let addresses = if ipv6 { vec![address("::1"), address("::1")] } else { vec![address("127.0.0.1")] };
            reply(asked, addresses).into()
        },
        |settings| all_ports(settings, port),
    )
    .await;
    let (validated, record) = scene.validate("a.example", Method::Http01).await;
    assert_eq!(validated, Validated::Shown);
    let dials: Vec<_> =
        record.evidence.iter().filter(|line| line.contains(&format!(":{port}")) && !line.contains("GET")).collect();
    assert!(
        matches!(dials[..], [v6, v4] if v6.starts_with("[::1]") && v4 == &format!("connected to 127.0.0.1:{port}")),
        "{dials:?}"
    );
}

#[tokio::test]
async fn refused_connections_may_pass_and_are_all_named() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let scene = Scene::with_port(port).await;
    let detail = format!("127.0.0.1:{port} refused the connection");
    scene.expect_may_pass("a.example", Method::Http01, ProblemType::Connection, &detail).await;
}

#[tokio::test]
async fn name_without_addresses_is_a_dns_problem_that_may_pass() {
    let scene = Scene::with_port(1).await;
    scene.expect_may_pass("nowhere.example", Method::Http01, ProblemType::Dns, "NXDOMAIN").await;
    let scene = Scene::new(|asked| reply(asked, vec![]).into(), |_| {}).await;
    scene.expect_may_pass("a.example", Method::Http01, ProblemType::Dns, "neither an A nor an AAAA").await;
    let scene = Scene::new(|asked| reply_code(asked, ResponseCode::ServFail).into(), |_| {}).await;
    scene.expect_may_pass("a.example", Method::Http01, ProblemType::Dns, "SERVFAIL").await;
}

#[tokio::test]
async fn one_failed_address_lookup_of_two_is_enough_to_go_on() {
    let server = HttpServer::always(ok(&key())).await;
    let port = server.address.port();
    let scene = Scene::new(
        |asked| {
            if asked.kind == RecordType::A {
                reply(asked, vec![address("127.0.0.1")]).into()
            } else {
                reply_code(asked, ResponseCode::ServFail).into()
            }
        },
        |settings| all_ports(settings, port),
    )
    .await;
    assert_eq!(scene.validate("a.example", Method::Http01).await.0, Validated::Shown);
}

#[tokio::test]
async fn ip_identifier_is_asked_at_its_address() {
    let server = HttpServer::always(ok(&key())).await;
    let port = server.address.port();
    let scene = Scene::with_port(port).await;
    assert_eq!(scene.validate("127.0.0.1", Method::Http01).await.0, Validated::Shown);
    assert!(server.requests()[0].contains(&format!("host: 127.0.0.1:{port}\r\n")));
    assert!(scene.dns.asked().is_empty());
}

#[tokio::test]
async fn localhost_names_need_no_dns() {
    let server = HttpServer::always(ok(&key())).await;
    let port = server.address.port();
    let scene = Scene::new(loopback_names, |settings| {
        all_ports(settings, port);
        settings.localhost_names = true;
    })
    .await;
    assert_eq!(scene.validate("first.localhost", Method::Http01).await.0, Validated::Shown);
    assert!(scene.dns.asked().is_empty());
}

#[tokio::test]
async fn methods_that_cannot_show_an_identifier_are_refused() {
    let scene = Scene::with_port(1).await;
    for (identifier, method) in [
        ("*.a.example", Method::Http01),
        ("*.a.example", Method::TlsAlpn01),
        ("192.0.2.1", Method::Dns01),
        ("a.example", Method::Operator),
    ] {
        scene.expect_failed(identifier, method, ProblemType::Unauthorized, "can't be shown by").await;
    }
}
