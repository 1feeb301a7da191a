//! Clients that don't give up: they place order after order, send again what got no answer, and remember what they were
//! told.

use std::time::Duration;

use acme::{Algorithm, SigningKey, base64url_encode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::book::{Book, Entry, Report};
use crate::support::account::{Account, pkcs8};
use crate::support::client::{Client, http_01_of, identifiers, list, text};
use crate::support::connection::{Answer, Door, NoAnswer};
use crate::support::csr::{SubjectKey, csr};
use crate::support::records::Records;
use crate::support::responder::responder;
use crate::support::server::Server;
use crate::support::world::{PATIENCE, pause, within};

/// Between two attempts to reach a server that is down.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Before a request is sent again that was answered `serverInternal`.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
const PROFILES: [&str; 3] = ["classic", "internal", "shortlived"];

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
    pub(crate) book: Book,
}

impl Load {
    /// Each of them has an order under way at any time. `label` is part of all names.
    pub(crate) fn start(server: &Server, clients: usize, label: &'static str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (book, mut set) = (Book::default(), JoinSet::new());
        for number in 0..clients {
            let domain = format!("{number}.{label}.localhost");
            set.spawn(client_at_work(server.door(), book.clone(), domain, stopped.clone()));
        }
        Self { stop, clients: set, book }
    }

    /// No new orders; those under way have to end within this time. Then each client asks again for all that it was
    /// told.
    pub(crate) async fn finish(mut self, limit: Duration, what: &'static str) -> Report {
        // A client that was told what it must not be told has ended before, and its panic is seen below.
        let _all_gone = self.stop.send(true);
        let all = async {
            while let Some(ended) = self.clients.join_next().await {
                ended.expect("no client was told what it must not be told");
            }
        };
        let in_time = tokio::time::timeout(limit, all).await.is_ok();
        let report = self.book.report(what);
        println!("{report}");
        assert!(in_time || !report.without_end.is_empty(), "the clients came to no end within {limit:?}");
        report.assert_kept();
        report
    }
}

/// After all blows: nothing is left to be done, and the records are as they should be, live and stopped.
pub(crate) async fn assert_at_rest(server: &mut Server) {
    let mut records = Records::of(server);
    let at_work = |metric: &str| ["queue", "lease", "park", "nowhere"].iter().any(|place| metric.contains(place));
    let at_rest = async {
        loop {
            let mut counts = records.counts().await;
            counts.retain(|metric, count| metric.starts_with("cairn_active_orders") && at_work(metric) && *count > 0);
            if counts.is_empty() {
                return;
            }
            pause(REFUSED_PAUSE).await;
        }
    };
    within(PATIENCE, "no order is at work any more", at_rest).await;
    let issuing = server.json(&["order", "list", "--stage", "issue"]).await;
    assert_eq!(list(&issuing).len(), 0, "{issuing}");
    server.assert_sound().await;
    assert!(server.terminate().await.success(), "SIGTERM ends it in order");
    server.assert_sound().await;
    println!("fsck                              clean, live and stopped");
}

async fn client_at_work(door: Door, book: Book, domain: String, stopped: watch::Receiver<bool>) {
    let mut client = Client::new(door);
    let account = register(&mut client, &book).await;
    let mut work = Work { client: &mut client, account: &account, book: &book };
    let mut entries = Vec::new();
    while !*stopped.borrow() {
        let number = entries.len();
        let names = [format!("a{number}.{domain}"), format!("b{number}.{domain}")];
        let names: Vec<&str> = names.iter().take(1 + number % 2).map(String::as_str).collect();
        entries.push(work.order(&names, PROFILES[number % PROFILES.len()]).await);
    }
    for entry in entries {
        work.ask_again(entry).await;
    }
}

async fn register(client: &mut Client, book: &Book) -> Account {
    let pkcs8 = pkcs8(Algorithm::Es256);
    let key = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8).expect("a new key is good");
    loop {
        let answer = client.try_post_by_key(&key, "/new-account", &json!({})).await;
        if let Some(answer) = taken(answer, book).await {
            assert!(answer.status.is_success(), "{}", answer.text());
            let kid = answer.location();
            return Account { key, pkcs8, kid };
        }
    }
}

/// An answer, unless the request has to be sent again: there was none, the nonce was from before a crash, or the server
/// asks to come again.
async fn taken(answer: Result<Answer, NoAnswer>, book: &Book) -> Option<Answer> {
    match answer {
        Ok(answer) if answer.status.is_server_error() => {
            assert_come_again(&answer);
            book.refused();
            pause(REFUSED_PAUSE).await;
        }
        Ok(answer) if answer.status == 400 && answer.json()["type"] == "urn:ietf:params:acme:error:badNonce" => {}
        Ok(answer) => return Some(answer),
        Err(_) => pause(RETRY_PAUSE).await,
    }
    None
}

/// `serverInternal` says when to come again.
pub(crate) fn assert_come_again(answer: &Answer) {
    assert_eq!(answer.json()["type"], "urn:ietf:params:acme:error:serverInternal", "{answer:?}");
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "{answer:?}");
}

struct Work<'a> {
    client: &'a mut Client,
    account: &'a Account,
    book: &'a Book,
}

impl Work<'_> {
    async fn post(&mut self, url: &str, payload: &str) -> Answer {
        loop {
            let answer = self.client.try_post(self.account, url, payload.as_bytes(), &[]).await;
            if let Some(answer) = taken(answer, self.book).await {
                return answer;
            }
        }
    }

    async fn read(&mut self, url: &str) -> Value {
        self.post(url, "").await.object(200)
    }

    async fn read_order(&mut self, entry: Entry, url: &str) -> Value {
        let answer = self.post(url, "").await;
        assert_eq!(answer.status, 200, "an order that was made is there: {} {}", url, answer.text());
        let order = answer.json();
        self.book.told(entry, &order);
        order
    }

    /// One order, from newOrder to its certificate.
    async fn order(&mut self, names: &[&str], profile: &str) -> Entry {
        let asked = json!({ "identifiers": identifiers(names), "profile": profile });
        let answer = self.post("/new-order", &asked.to_string()).await;
        let (url, order) = (answer.location(), answer.object(201));
        let entry = self.book.made(&url);
        self.book.told(entry, &order);
        for authorization in list(&order["authorizations"]) {
            self.answer(text(authorization)).await;
        }
        let order = self.poll(entry, &url, "pending").await;
        if order["status"] == "ready" {
            self.finalize(entry, &order, names).await;
            let end = self.poll(entry, &url, "processing").await;
            if end["status"] == "valid" {
                self.fetch(entry, &end).await;
            }
        }
        entry
    }

    async fn answer(&mut self, authorization: &str) {
        let (challenge, token) = http_01_of(&self.read(authorization).await);
        responder().show(&token, self.account.key_authorization(&token));
        let answer = self.post(&challenge, "{}").await;
        // Sent again after a crash it may come too late: the first one was taken.
        let too_late = answer.status == 400 && answer.text().contains("has ended");
        assert!(answer.status == 200 || too_late, "{}", answer.text());
    }

    async fn finalize(&mut self, entry: Entry, order: &Value, names: &[&str]) {
        let payload = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), names)) });
        let answer = self.post(text(&order["finalize"]), &payload.to_string()).await;
        if answer.status == 200 {
            self.book.told(entry, &answer.json());
            return;
        }
        // Sent again after a crash it may come too late: the first one was taken.
        let again = answer.status == 403 && answer.text().contains("orderNotReady");
        assert!(again, "{}", answer.text());
    }

    /// Asks as long as it has this status.
    async fn poll(&mut self, entry: Entry, url: &str, status: &str) -> Value {
        loop {
            let order = self.read_order(entry, url).await;
            if order["status"] != status {
                return order;
            }
        }
    }

    async fn fetch(&mut self, entry: Entry, order: &Value) {
        self.download(entry, order).await;
        let answer = self.post(text(&order["acknowledge"]), "{}").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }

    async fn download(&mut self, entry: Entry, order: &Value) {
        let answer = self.post(text(&order["certificate"]), "").await;
        if answer.status == 200 {
            self.book.downloaded(entry, answer.text());
        } else {
            self.book.taken_back(format!("{order} has no certificate: {}", answer.text()));
        }
    }

    /// Whether all that was told of an order that has ended is still so.
    async fn ask_again(&mut self, entry: Entry) {
        let course = self.book.course(entry);
        let order = self.read_order(entry, &course.url).await;
        if course.is_valid() {
            self.download(entry, &order).await;
        }
    }
}
