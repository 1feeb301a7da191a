//! What the server has on record, as its metrics tell: to see that a request changed nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::connection::Connection;
use super::server::Server;

/// Metrics that tell of state, not of work.
const STATE: [&str; 4] = ["cairn_active_orders", "cairn_serials", "cairn_ended_orders", "cairn_accounts"];

/// Counts of records, by metric with its labels.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Who reads the metrics.
pub(crate) struct Records {
    connection: Connection,
}

impl Records {
    pub(crate) fn of(server: &Server) -> Self {
        Self { connection: Connection::new(server.admin_door()) }
    }

    /// What is on record now.
    pub(crate) async fn counts(&mut self) -> Counts {
        let request = Request::get("/metrics").body(Full::new(Bytes::new())).expect("a request that can be sent");
        let answer = self.connection.send(request).await.expect("the server answers");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let of_state = |line: &&str| STATE.iter().any(|metric| line.starts_with(metric));
        let counts: Counts = answer.text().lines().filter(of_state).filter_map(count).collect();
        assert!(counts.contains_key("cairn_accounts"), "{}", answer.text());
        counts
    }

    /// What is on record now, but for deliveries: these are noted some time after the answer that they are about.
    pub(crate) async fn lasting(&mut self) -> Counts {
        let mut counts = self.counts().await;
        counts.retain(|metric, _| !metric.contains("delivered\""));
        counts
    }
}

fn count(line: &str) -> Option<(String, u64)> {
    let (metric, number) = line.rsplit_once(' ')?;
    Some((metric.to_owned(), number.parse().ok()?))
}
