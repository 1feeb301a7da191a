//! Clients that don't give up: they place order after order, send again what got no answer, and remember what they were
//! told.

use std::time::Duration;

use acme::{Algorithm, SigningKey, base64url_encode};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::account::{Account, pkcs8};
use crate::support::client::{Client, http_01_of, identifiers, list, text};
use crate::support::connection::{Answer, Door, NoAnswer};
use crate::support::csr::{SubjectKey, csr};
use crate::support::records::Records;
use crate::support::responder::responder;
use crate::support::server::Server;
use crate::support::world::{pause, within};

/// Between two attempts to reach a server that is down.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const PROFILES: [&str; 3] = ["classic", "internal", "shortlived"];

/// How an order went whose challenges were all answered, and whose finalize was, if it ever became ready.
#[derive(Debug)]
pub(crate) struct Course {
    /// Whether it became ready, so that it was finalized.
    pub(crate) ready: bool,
    /// As it ended: `valid` or `invalid`.
    pub(crate) end: Value,
}

impl Course {
    pub(crate) fn is_valid(&self) -> bool {
        self.end["status"] == "valid"
    }
}

/// Clients at work.
#[derive(Debug)]
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<Vec<Course>>,
}

impl Load {
    /// Each of them has an order under way at any time. `label` is part of all names.
    pub(crate) fn start(server: &Server, clients: usize, label: &'static str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut set = JoinSet::new();
        for number in 0..clients {
            set.spawn(client_at_work(server.door(), format!("{number}.{label}.localhost"), stopped.clone()));
        }
        Self { stop, clients: set }
    }

    /// No new orders; those under way have to end within this time.
    pub(crate) async fn finish(mut self, limit: Duration) -> Vec<Course> {
        self.stop.send(true).expect("the clients are at work");
        within(limit, "every order ends", async {
            let mut courses = Vec::new();
            while let Some(ended) = self.clients.join_next().await {
                courses.extend(ended.expect("no client was told what it must not be told"));
            }
            courses
        })
        .await
    }
}

/// After all blows: nothing is left to be done, and the records are as they should be, live and stopped. `mended` is
/// what the log says when a blow hit work in progress.
pub(crate) async fn assert_at_rest(server: &mut Server, mended: &str) {
    let hits = server.logged(mended);
    println!("{hits} times: {mended}");
    assert!(hits > 0, "no blow hit an order that was being worked on");
    let counts = Records::of(server).counts().await;
    let at_work = |metric: &&String| ["queue", "lease", "park", "nowhere"].iter().any(|place| metric.contains(place));
    for metric in counts.keys().filter(|metric| metric.starts_with("cairn_active_orders")).filter(at_work) {
        assert_eq!(counts[metric], 0, "{metric}: {counts:?}");
    }
    let issuing = server.json(&["order", "list", "--stage", "issue"]).await;
    assert_eq!(list(&issuing).len(), 0, "{issuing}");
    server.assert_sound().await;
    assert!(server.terminate().await.success(), "SIGTERM ends it in order");
    server.assert_sound().await;
}

async fn client_at_work(door: Door, domain: String, stopped: watch::Receiver<bool>) -> Vec<Course> {
    let mut client = Client::new(door);
    let account = register(&mut client).await;
    let mut courses = Vec::new();
    while !*stopped.borrow() {
        let number = courses.len();
        let names = [format!("a{number}.{domain}"), format!("b{number}.{domain}")];
        let names: Vec<&str> = names.iter().take(1 + number % 2).map(String::as_str).collect();
        let mut work = Work { client: &mut client, account: &account };
        courses.push(work.order(&names, PROFILES[number % PROFILES.len()]).await);
    }
    courses
}

async fn register(client: &mut Client) -> Account {
    let pkcs8 = pkcs8(Algorithm::Es256);
    let key = SigningKey::from_pkcs8(Algorithm::Es256, &pkcs8).expect("a new key is good");
    loop {
        let answer = client.try_post_by_key(&key, "/new-account", &json!({})).await;
        if let Some(answer) = taken(answer).await {
            assert!(answer.status.is_success(), "{}", answer.text());
            let kid = answer.location();
            return Account { key, pkcs8, kid };
        }
    }
}

/// An answer, unless the request has to be sent again: there was none, the nonce was from before a crash, or the server
/// asks to come again.
async fn taken(answer: Result<Answer, NoAnswer>) -> Option<Answer> {
    match answer {
        Ok(answer) if answer.status == 503 => pause(RETRY_PAUSE).await,
        Ok(answer) if answer.status == 400 && answer.json()["type"] == "urn:ietf:params:acme:error:badNonce" => {}
        Ok(answer) => return Some(answer),
        Err(_) => pause(RETRY_PAUSE).await,
    }
    None
}

struct Work<'a> {
    client: &'a mut Client,
    account: &'a Account,
}

impl Work<'_> {
    async fn post(&mut self, url: &str, payload: &str) -> Answer {
        loop {
            let answer = self.client.try_post(self.account, url, payload.as_bytes(), &[]).await;
            if let Some(answer) = taken(answer).await {
                return answer;
            }
        }
    }

    async fn read(&mut self, url: &str) -> Value {
        self.post(url, "").await.object(200)
    }

    /// One order, from newOrder to its certificate.
    async fn order(&mut self, names: &[&str], profile: &str) -> Course {
        let asked = json!({ "identifiers": identifiers(names), "profile": profile });
        let answer = self.post("/new-order", &asked.to_string()).await;
        let (url, order) = (answer.location(), answer.object(201));
        for authorization in list(&order["authorizations"]) {
            self.answer(text(authorization)).await;
        }
        let order = self.poll(&url, "pending").await;
        let ready = order["status"] == "ready";
        if !ready {
            return Course { ready, end: order };
        }
        self.finalize(text(&order["finalize"]), names).await;
        let end = self.poll(&url, "processing").await;
        if end["status"] == "valid" {
            self.fetch(&end).await;
        }
        Course { ready, end }
    }

    async fn answer(&mut self, authorization: &str) {
        let (challenge, token) = http_01_of(&self.read(authorization).await);
        responder().show(&token, self.account.key_authorization(&token));
        let answer = self.post(&challenge, "{}").await;
        // Sent again after a crash it may come too late: the first one was taken.
        let too_late = answer.status == 400 && answer.text().contains("has ended");
        assert!(answer.status == 200 || too_late, "{}", answer.text());
    }

    async fn finalize(&mut self, url: &str, names: &[&str]) {
        let payload = json!({ "csr": base64url_encode(&csr(&SubjectKey::new(), names)) });
        let answer = self.post(url, &payload.to_string()).await;
        let again = answer.status == 403 && answer.text().contains("orderNotReady");
        assert!(answer.status == 200 || again, "{}", answer.text());
    }

    /// Asks as long as it has this status.
    async fn poll(&mut self, url: &str, status: &str) -> Value {
        loop {
            let order = self.read(url).await;
            if order["status"] != status {
                return order;
            }
        }
    }

    async fn fetch(&mut self, order: &Value) {
        let answer = self.post(text(&order["certificate"]), "").await;
        assert_eq!(answer.status, 200, "an order that is valid has its certificate: {}", answer.text());
        let answer = self.post(text(&order["acknowledge"]), "{}").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}
