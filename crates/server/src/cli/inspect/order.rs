//! `cairn order list`, and what a line of it says.

use acme::OrderStatus;
use ca::OrderId;
use ca::authorization::ChallengeState;
use ca::order::{Order, Outcome, Progress, Stage};
use ca::ports::{ActiveOrder, LedgerEnd, LedgerOrder, OrderFilter, Standing};
use clap::Subcommand;
use pki::Timestamp;
use serde_json::{Value, json};

use super::print::{Listing, Paper, duration, json_time, names_in_short, note_limit};
use super::{Failure, Folder};
use crate::fsck::{EndedOrders, Records};

const PAGE: u32 = 500;

/// What can be asked about orders.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows all that is known of an order
    Show(Show),
    /// Lists the active orders, then those that have ended in the ledger, the latest first
    List(List),
}

/// `cairn order show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The order's id
    pub(super) id: OrderId,
    #[command(flatten)]
    pub(super) folder: Folder,
}

/// `cairn order list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only those of this stage: makechallenge, testchallenge, issue or done
    #[arg(long, value_name = "STAGE")]
    pub(super) stage: Option<Stage>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
    #[command(flatten)]
    pub(super) folder: Folder,
}

pub(super) async fn list(asked: &List, paper: &mut Paper<'_>) -> Result<(), Failure> {
    let records = asked.folder.open()?;
    let headers = ["order", "stage", "place", "status", "delivery", "age", "claims", "tries", "names"];
    let mut listing = Listing::new(paper, asked.folder.json, &headers);
    let now = records.now();
    // One more than asked for tells whether there are more.
    let mut left = asked.limit;
    let mut cut =
        active(&records, asked.stage, &mut left, |one| push(&mut listing, &Row::active(one, now), now)).await?;
    if !cut && matches!(asked.stage, None | Some(Stage::Done)) {
        cut = ended(&records, &mut left, |one| push(&mut listing, &Row::ended(one), now)).await?;
    }
    // A reader who has had enough wants no more.
    let cut = cut && !listing.is_torn();
    listing.end("there are no such orders");
    note_limit(cut, asked.limit);
    Ok(())
}

fn push(listing: &mut Listing<'_, '_>, row: &Row<'_>, now: Timestamp) -> bool {
    listing.push(|| row.cells(now), || row.json(now));
    !listing.is_torn()
}

/// Whether there are more than `left`. Ends early when `take` has had enough.
async fn active(
    records: &Records,
    stage: Option<Stage>,
    left: &mut u32,
    mut take: impl FnMut(&ActiveOrder) -> bool,
) -> Result<bool, Failure> {
    let mut after = None;
    loop {
        let page = records.workbench.list(OrderFilter { stage, after }, PAGE.min(left.saturating_add(1))).await;
        let page = page.map_err(Failure::failed)?;
        let Some(last) = page.last() else { return Ok(false) };
        after = Some(last.order.id);
        for one in &page {
            if *left == 0 {
                return Ok(true);
            }
            *left -= 1;
            if !take(one) {
                return Ok(true);
            }
        }
    }
}

async fn ended(records: &Records, left: &mut u32, mut take: impl FnMut(&LedgerOrder) -> bool) -> Result<bool, Failure> {
    let mut orders = EndedOrders::default();
    loop {
        let page = orders.next(&*records.ledger, PAGE.min(left.saturating_add(1))).await.map_err(Failure::failed)?;
        if page.is_empty() {
            return Ok(false);
        }
        for one in &page {
            // One that awaits its acknowledgement was listed with the active ones.
            if records.workbench.read(one.order.id).await.map_err(Failure::failed)?.is_some() {
                continue;
            }
            if *left == 0 {
                return Ok(true);
            }
            *left -= 1;
            if !take(one) {
                return Ok(true);
            }
        }
    }
}

/// What a line says.
struct Row<'a> {
    order: &'a Order,
    stage: Stage,
    place: String,
    status: OrderStatus,
    delivery: Option<&'static str>,
    ended: Option<Timestamp>,
    active: Option<&'a ActiveOrder>,
}

impl<'a> Row<'a> {
    fn active(active: &'a ActiveOrder, now: Timestamp) -> Self {
        let order = &active.order;
        let (delivery, ended) = match &order.progress {
            Progress::Done { outcome, ended, delivered, acknowledged } => {
                let valid = matches!(outcome, Outcome::Valid(_));
                (delivery(valid, *delivered, *acknowledged), Some(*ended))
            }
            Progress::MakeChallenge | Progress::TestChallenge | Progress::Issue { .. } => (None, None),
        };
        let (stage, place, status) = (order.stage(), standing(active.standing), order.status(now));
        Self { order, stage, place, status, delivery, ended, active: Some(active) }
    }

    fn ended(known: &'a LedgerOrder) -> Self {
        let valid = matches!(&known.end, Some((LedgerEnd::Valid(_), _)));
        Self {
            order: &known.order,
            stage: Stage::Done,
            place: "ledger".to_owned(),
            status: if valid { OrderStatus::Valid } else { OrderStatus::Invalid },
            delivery: delivery(valid, known.delivered, known.acknowledged),
            ended: known.end.as_ref().map(|(_, at)| *at),
            active: None,
        }
    }

    fn cells(&self, now: Timestamp) -> Vec<String> {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        vec![
            self.order.id.to_string(),
            self.stage.name().to_owned(),
            self.place.clone(),
            status_name(self.status).to_owned(),
            self.delivery.unwrap_or("-").to_owned(),
            duration(now.since(self.order.created)),
            or_dash(self.active.map(|active| active.claims.to_string())),
            or_dash(self.active.map(|active| tries(&active.order).to_string())),
            names_in_short(self.order.identifiers.iter().map(ToString::to_string)),
        ]
    }

    fn json(&self, now: Timestamp) -> Value {
        json!({
            "id": self.order.id,
            "stage": self.stage.name(),
            "place": self.place,
            "status": status_name(self.status),
            "delivery": self.delivery,
            "names": self.order.identifiers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "account": self.order.account,
            "created": json_time(self.order.created),
            "age_seconds": now.since(self.order.created).as_secs(),
            "ended": json_time(self.ended),
            "claims": self.active.map(|active| active.claims),
            "tries": self.active.map(|active| tries(&active.order)),
        })
    }
}

/// Issued but never fetched is the commonest fault of ACME clients.
pub(super) fn delivery(
    valid: bool,
    delivered: Option<Timestamp>,
    acknowledged: Option<Timestamp>,
) -> Option<&'static str> {
    valid.then_some(match (delivered, acknowledged) {
        (_, Some(_)) => "acknowledged",
        (Some(_), None) => "delivered",
        (None, None) => "unacknowledged",
    })
}

/// The most tests that one of its challenges has had since its last answer.
pub(super) fn tries(order: &Order) -> u8 {
    let challenges = order.authorizations.iter().flat_map(|authorization| &authorization.challenges);
    let tried = challenges.map(|challenge| match &challenge.state {
        ChallengeState::Answered { tries, .. } => *tries,
        ChallengeState::Pending | ChallengeState::Valid { .. } | ChallengeState::Invalid { .. } => 0,
    });
    tried.max().unwrap_or(0)
}

/// The name of a place.
pub(super) fn standing(standing: Standing) -> String {
    match standing {
        Standing::Queue => "queue",
        Standing::Lease { .. } => "lease",
        Standing::Park { .. } => "park",
        Standing::Client => "client",
        Standing::PendingDone => "pending-done",
        Standing::Nowhere => "nowhere",
    }
    .to_owned()
}

/// The name of a status (RFC 8555 §7.1.6).
pub(super) const fn status_name(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "pending",
        OrderStatus::Ready => "ready",
        OrderStatus::Processing => "processing",
        OrderStatus::Valid => "valid",
        OrderStatus::Invalid => "invalid",
    }
}
