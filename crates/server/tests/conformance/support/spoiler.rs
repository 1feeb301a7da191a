//! Good newOrder requests that are spoilt before they are sent.

use serde_json::json;

use super::account::Account;
use super::answer::Answer;
use super::client::Client;
use super::draft::Draft;
use super::order::identifiers;
use super::watch::Watch;

/// An account whose requests would all be good, if nobody spoilt them.
pub(crate) struct Spoiler {
    pub(crate) client: Client,
    pub(crate) account: Account,
    pub(crate) url: String,
    watch: Watch,
}

impl Spoiler {
    pub(crate) async fn new(mut client: Client) -> Self {
        let account = client.account().await;
        let watch = Watch::begin(&mut client, &account, &[]).await;
        let url = client.url("newOrder");
        Self { client, account, url, watch }
    }

    /// What the server says to a request that is spoilt in this way.
    pub(crate) async fn send(&mut self, spoil: impl FnOnce(Draft<'_>) -> Vec<u8>) -> Answer {
        let payload = json!({ "identifiers": identifiers(&[&self.client.name()]) }).to_string();
        let draft = self.client.draft(&self.account, &self.url, payload.as_bytes()).await;
        let body = spoil(draft);
        self.client.post_body(&self.url, body).await
    }

    /// A request that is spoilt in this way is refused with one of these statuses and types, and changes nothing.
    pub(crate) async fn refuses(
        &mut self,
        what: &str,
        spoil: impl FnOnce(Draft<'_>) -> Vec<u8>,
        statuses: &[u16],
        kinds: &[&str],
    ) -> serde_json::Value {
        let answer = self.send(spoil).await;
        assert!(answer.status >= 400, "{what} was taken: {}", answer.shown());
        let problem = answer.refused(statuses, kinds);
        self.watch.assert_unchanged(&mut self.client, &self.account, what).await;
        problem
    }

    /// Spoilt in this way it is malformed.
    pub(crate) async fn malformed(&mut self, what: &str, spoil: impl FnOnce(Draft<'_>) -> Vec<u8>) {
        self.refuses(what, spoil, &[400], &["malformed"]).await;
    }

    /// Unspoilt requests are taken.
    pub(crate) async fn takes(&mut self, what: &str, make: impl FnOnce(Draft<'_>) -> Vec<u8>) {
        let answer = self.send(make).await;
        assert_eq!(answer.status, 201, "{what}: {}", answer.shown());
    }
}
