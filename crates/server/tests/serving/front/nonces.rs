//! Nonces (RFC 8555 §6.5): each is good once, and a restart takes none away and gives none back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use acme::{Algorithm, Header, sign};
use http::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::account::Account;
use crate::support::client::{Client, JOSE};
use crate::support::connection::{Answer, NoAnswer};
use crate::support::problem::{assert_refused, refusal};
use crate::support::server::Server;
use crate::support::world::{Chance, pause};

const SEED: u64 = 0x0c41_7202;
const CLIENTS: u64 = 8;
/// Each client holds so many nonces at any time: after a restart it uses those from before.
const STOCK: usize = 16;
const RESTARTS: usize = 8;
/// Between two attempts to reach a server that is down.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const SIMULTANEOUS: usize = 16;
const ROUNDS: usize = 10;

/// The account's own URL, read with this nonce.
fn request(account: &Account, nonce: &str) -> Vec<u8> {
    sign(&account.key, Header { nonce: Some(nonce), url: &account.kid, kid: Some(&account.kid) }, b"")
}

async fn send(client: &mut Client, account: &Account, body: &[u8]) -> Result<Answer, NoAnswer> {
    client.try_send(Method::POST, &account.kid, &[JOSE], body.to_vec()).await
}

#[track_caller]
fn assert_replayed(answer: &Answer, what: &str) {
    assert_refused(answer, refusal(400, "badNonce", "this nonce was used before"), what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_simultaneous_requests_with_one_nonce_one_is_accepted() {
    let server = Server::start("").await;
    let mut first = server.client();
    let account = Arc::new(first.account(Algorithm::Es256).await);
    let mut clients: Vec<Client> = (0..SIMULTANEOUS).map(|_| server.client()).collect();
    for client in &mut clients {
        client.nonce().await;
    }
    for round in 0..ROUNDS {
        let body = request(&account, &first.nonce().await);
        let (start, started) = watch::channel(false);
        let mut requests = JoinSet::new();
        for mut client in clients.drain(..) {
            let (account, body, mut started) = (Arc::clone(&account), body.clone(), started.clone());
            requests.spawn(async move {
                started.wait_for(|started| *started).await.expect("the test starts it");
                let answer = send(&mut client, &account, &body).await.expect("the server answers");
                (client, answer)
            });
        }
        start.send(true).expect("all wait for it");
        let mut accepted = 0;
        for (client, answer) in requests.join_all().await {
            clients.push(client);
            if answer.status == 200 {
                accepted += 1;
            } else {
                assert_replayed(&answer, "another request had this nonce");
            }
        }
        assert_eq!(accepted, 1, "round {round}");
    }
}

/// A client that uses its oldest nonce first, and remembers what it sent.
struct Sender {
    client: Client,
    account: Account,
    stock: VecDeque<String>,
    /// What was accepted.
    accepted: Vec<Vec<u8>>,
    /// What had no answer: whether it was accepted, nobody knows.
    unanswered: Vec<Vec<u8>>,
}

impl Sender {
    async fn new(server: &Server) -> Self {
        let mut client = server.client();
        let account = client.account(Algorithm::Es256).await;
        Self { client, account, stock: VecDeque::new(), accepted: Vec::new(), unanswered: Vec::new() }
    }

    async fn run(mut self, seed: u64, stopped: watch::Receiver<bool>) -> Self {
        let mut chance = Chance::of(seed);
        // Whoever has used more than its stock has used nonces that a restart lay behind, however slow the machine is.
        while !*stopped.borrow() || self.accepted.len() <= STOCK {
            self.fill_stock().await;
            let nonce = self.stock.pop_front().expect("it was filled");
            let body = request(&self.account, &nonce);
            match send(&mut self.client, &self.account, &body).await {
                Ok(answer) => {
                    assert_eq!(answer.status, 200, "a good nonce was refused: {}", answer.text());
                    self.keep_nonce(&answer);
                    self.accepted.push(body);
                }
                Err(_) => {
                    self.unanswered.push(body);
                    pause(RETRY_PAUSE).await;
                }
            }
            if !self.accepted.is_empty() && chance.millis(1, 4).as_millis() == 1 {
                let late = chance.millis(0, self.accepted.len() as u64 - 1).as_millis();
                let body = self.accepted[usize::try_from(late).expect("a small number")].clone();
                self.replay(&body).await;
            }
        }
        self
    }

    async fn fill_stock(&mut self) {
        while self.stock.len() < STOCK {
            match self.client.try_send(Method::HEAD, "/new-nonce", &[], Vec::new()).await {
                Ok(answer) => self.keep_nonce(&answer),
                Err(_) => pause(RETRY_PAUSE).await,
            }
        }
    }

    fn keep_nonce(&mut self, answer: &Answer) {
        self.stock.extend(answer.header("replay-nonce").map(str::to_owned));
    }

    /// What was accepted once is refused, if there is an answer.
    async fn replay(&mut self, body: &[u8]) {
        if let Ok(answer) = send(&mut self.client, &self.account, body).await {
            assert_replayed(&answer, "a request sent again");
        }
    }

    /// What was accepted is refused now, and what had no answer is accepted at most once.
    async fn replay_all(&mut self) {
        for body in std::mem::take(&mut self.accepted) {
            let answer = send(&mut self.client, &self.account, &body).await.expect("the server answers");
            assert_replayed(&answer, "a request sent again");
        }
        for body in std::mem::take(&mut self.unanswered) {
            let _either = send(&mut self.client, &self.account, &body).await.expect("the server answers");
            let answer = send(&mut self.client, &self.account, &body).await.expect("the server answers");
            assert_replayed(&answer, "a request without answer, sent twice again");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_under_load_refuse_no_good_nonce_and_accept_no_replay() {
    println!("seed {SEED:#x}");
    let mut chance = Chance::of(SEED);
    let mut server = Server::start("").await;
    let (stop, stopped) = watch::channel(false);
    let mut load = JoinSet::new();
    for number in 0..CLIENTS {
        load.spawn(Sender::new(&server).await.run(SEED + number, stopped.clone()));
    }
    for restart in 0..RESTARTS {
        pause(chance.millis(100, 400)).await;
        if restart % 2 == 0 {
            server.kill().await;
        } else {
            assert!(server.terminate().await.success(), "SIGTERM ends it in order");
        }
        server.start_again();
        server.wait_until_it_serves().await;
    }
    pause(chance.millis(100, 400)).await;
    stop.send(true).expect("the clients are at work");
    let mut senders = load.join_all().await;
    let accepted: usize = senders.iter().map(|sender| sender.accepted.len()).sum();
    let unanswered: usize = senders.iter().map(|sender| sender.unanswered.len()).sum();
    println!("{accepted} accepted, {unanswered} without answer");
    assert!(unanswered > 0, "no restart hit a request");
    for sender in &mut senders {
        sender.replay_all().await;
    }
}
