//! Lists of an account's orders, in both stores.

use ca::AccountId;
use ca::OrderCursor;
use ca::order::Order;
use ca::ports::{LedgerEnd, ListedOrder};

use super::Stores;
use super::fixtures::{TERMS, dns, failure};

macro_rules! suite {
    ($open:path) => {
        crate::contract::cases!($open, order_list:
            active_orders_of_an_account_are_listed_the_newest_first
            orders_of_the_ledger_are_listed_with_their_ends
            orders_made_at_the_same_time_are_each_listed_once
        );
    };
}
pub(crate) use suite;

const OWNER: AccountId = AccountId::from_bytes([0xac; 16]);

async fn active(stores: &Stores, account: AccountId) -> OrderCursor {
    let order = stores.order_for(account, &[dns("one.example.com")]);
    stores.workbench.create(order.clone(), TERMS).await.unwrap();
    OrderCursor::from(&order)
}

async fn listed(stores: &Stores, behind: Option<OrderCursor>, limit: u32) -> Vec<OrderCursor> {
    let orders = stores.workbench.orders_of(OWNER, behind, limit).await.unwrap();
    orders.iter().map(OrderCursor::from).collect()
}

pub(crate) async fn active_orders_of_an_account_are_listed_the_newest_first(stores: &Stores) {
    let mut made = Vec::new();
    for _ in 0..5 {
        made.insert(0, active(stores, OWNER).await);
        active(stores, AccountId::from_bytes([1; 16])).await;
        stores.clock.pass_seconds(1);
    }
    assert_eq!(listed(stores, None, 10).await, made);
    assert_eq!(listed(stores, None, 2).await, made[..2]);
    assert_eq!(listed(stores, Some(made[1]), 2).await, made[2..4]);
    assert_eq!(listed(stores, Some(made[4]), 2).await, []);
    let orders: Vec<Order> = stores.workbench.orders_of(OWNER, None, 1).await.unwrap();
    let read = stores.workbench.read(made[0].order).await.unwrap().unwrap();
    assert_eq!(orders, [read.order], "they are answered as they stand");
}

pub(crate) async fn orders_of_the_ledger_are_listed_with_their_ends(stores: &Stores) {
    let account = stores.account(0).await;
    let mut all = Vec::new();
    for end in [Some(true), Some(false), None] {
        let wanted = stores.wanted_of(&account).await;
        stores.begin(&wanted).await.unwrap();
        match end {
            Some(true) => {
                stores.ledger.mark_good(wanted.serial, stores.now()).await.unwrap();
                stores.ledger.store_final(wanted.serial, b"certificate", stores.now()).await.unwrap();
            }
            Some(false) => {
                let end = stores.ledger.finish(&wanted.order, failure("a test"), stores.now()).await.unwrap();
                assert!(matches!(end, LedgerEnd::Invalid(_)));
            }
            None => {}
        }
        all.insert(0, ListedOrder { at: OrderCursor::from(&wanted.order), valid: end });
        stores.clock.pass_seconds(1);
    }
    let other = stores.account(1).await;
    let of = |account, behind, limit| async move { stores.ledger.orders_of(account, behind, limit).await.unwrap() };
    assert_eq!(of(account.id, None, 10).await, all);
    assert_eq!(of(account.id, Some(all[0].at), 1).await, all[1..2]);
    assert_eq!(of(account.id, Some(all[2].at), 1).await, []);
    assert_eq!(of(other.id, None, 10).await, []);
}

pub(crate) async fn orders_made_at_the_same_time_are_each_listed_once(stores: &Stores) {
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(active(stores, OWNER).await);
    }
    made.sort();
    made.reverse();
    let (mut seen, mut behind) = (Vec::new(), None);
    loop {
        let page = listed(stores, behind, 3).await;
        let Some(last) = page.last() else { break };
        behind = Some(*last);
        seen.extend(page);
    }
    assert_eq!(seen, made);
}
