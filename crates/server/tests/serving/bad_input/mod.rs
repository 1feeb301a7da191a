//! What bad input gets: the RFC's problem type, a detail that says what is wrong, and no change of state.

mod csrs;
mod headers;
mod identifiers;
mod requests;
mod resources;

use serde_json::Value;

use crate::support::client::Client;
use crate::support::connection::Answer;
use crate::support::problem::{Refusal, assert_refused};
use crate::support::records::{Counts, Records};
use crate::support::server::Server;

/// Sees to it that what is refused changes nothing on record.
struct Witness {
    records: Records,
    before: Counts,
}

impl Witness {
    async fn of(server: &Server) -> Self {
        let mut records = Records::of(server);
        let before = records.lasting().await;
        Self { records, before }
    }

    /// What was changed on purpose is how it is from now on.
    async fn accept(&mut self) {
        self.before = self.records.lasting().await;
    }

    async fn assert_refused(&mut self, answer: &Answer, due: Refusal, what: &str) -> Value {
        let problem = assert_refused(answer, due, what);
        assert_eq!(self.records.lasting().await, self.before, "{what}: it changed what is on record");
        problem
    }
}

/// A server with an account, and somebody who watches.
async fn scene() -> (Server, Client, Witness) {
    let server = Server::start("").await;
    let client = server.client();
    let witness = Witness::of(&server).await;
    (server, client, witness)
}
