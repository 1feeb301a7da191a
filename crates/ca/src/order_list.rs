//! The list of an account's orders (RFC 8555 §7.1.2.1), page by page.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use acme::OrderStatus;
use pki::Timestamp;

use crate::account::Account;
use crate::authority::Ca;
use crate::error::Answer;
use crate::order::Order;
use crate::{OrderId, ParseIdError};

/// A place in the list of an account's orders, which are sorted by the time at which they were made. Written
/// `<milliseconds>-<order>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderCursor {
    /// When the order at this place was made.
    pub created: Timestamp,
    /// The order.
    pub order: OrderId,
}

impl From<&Order> for OrderCursor {
    fn from(order: &Order) -> Self {
        Self { created: order.created, order: order.id }
    }
}

impl fmt::Display for OrderCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created.millis(), self.order)
    }
}

impl FromStr for OrderCursor {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let no_cursor = || ParseIdError::new("place in a list of orders", "milliseconds, a hyphen and an order", text);
        let (millis, order) = text.rsplit_once('-').ok_or_else(no_cursor)?;
        let created = millis.parse().map(Timestamp::from_millis).map_err(|_| no_cursor())?;
        let cursor = Self { created, order: order.parse().map_err(|_| no_cursor())? };
        // One spelling only, as for ids.
        if cursor.to_string() == text { Ok(cursor) } else { Err(no_cursor()) }
    }
}

/// A page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderPage {
    /// The newest first.
    pub orders: Vec<OrderId>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<OrderCursor>,
}

/// So often the stores are asked for one page, if what they answer is invalid and not listed. Then the page is shorter.
const ROUNDS_MAX: u32 = 5;

impl Ca {
    /// A page of an account's orders: those behind `behind`, the newest first, each once, without those that are
    /// invalid (RFC 8555 §7.1.2.1). Open orders are the workbench's, ended ones the ledger's.
    ///
    /// # Errors
    /// The stores could not be asked.
    pub async fn orders_of(&self, account: &Account, behind: Option<OrderCursor>) -> Answer<OrderPage> {
        let size = self.settings.limits.orders_per_page.max(1);
        let full = usize::try_from(size).unwrap_or(usize::MAX);
        let mut page = OrderPage { orders: Vec::new(), next: behind };
        for _ in 0..ROUNDS_MAX {
            // One more than fits tells whether there is a next page.
            let found = self.listed(account, page.next, size.saturating_add(1)).await?;
            for (cursor, is_shown) in found.iter().take(full) {
                if page.orders.len() == full {
                    return Ok(page);
                }
                page.next = Some(*cursor);
                if *is_shown {
                    page.orders.push(cursor.order);
                }
            }
            if found.len() <= full {
                page.next = None;
                return Ok(page);
            }
            if page.orders.len() == full {
                return Ok(page);
            }
        }
        Ok(page)
    }

    /// The first of both stores' orders behind a place, and whether each is shown.
    async fn listed(
        &self,
        account: &Account,
        behind: Option<OrderCursor>,
        limit: u32,
    ) -> Answer<Vec<(OrderCursor, bool)>> {
        let now = self.now();
        // The workbench first: what leaves it meanwhile stands in the ledger by then.
        let active = self.workbench.orders_of(account.id, behind, limit).await?;
        let known = self.ledger.orders_of(account.id, behind, limit).await?;
        let of_active = active.iter().map(|order| (OrderCursor::from(order), order.status(now)));
        // The ledger decides, and so it comes second.
        let mut found: BTreeMap<Reverse<OrderCursor>, bool> =
            of_active.map(|(cursor, status)| (Reverse(cursor), status != OrderStatus::Invalid)).collect();
        for listed in known {
            let shown = found.entry(Reverse(listed.at)).or_insert(true);
            *shown = match listed.valid {
                Some(valid) => valid,
                None => *shown,
            };
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(found.into_iter().take(limit).map(|(Reverse(cursor), shown)| (cursor, shown)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_one_spelling() {
        let cursor = OrderCursor { created: Timestamp::from_millis(-5), order: OrderId::from_bytes([0xab; 16]) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        let order = cursor.order;
        for text in [
            format!("+5-{order}"),
            format!("05-{order}"),
            format!("-{order}"),
            format!("5-{order} "),
            order.to_string(),
        ] {
            assert!(text.parse::<OrderCursor>().is_err(), "{text}");
        }
    }
}
