//! Lists of an account's orders: what is in them, and that each stands there once.

use acme::OrderStatus;
use ca::order::Stage;
use ca::{OrderCursor, OrderId};

use super::on_all_back_ends;
use crate::world::{Backend, Client, World, pair};

on_all_back_ends! {
    orders_of_every_status_but_invalid_are_listed
    pages_hold_each_order_once_whatever_moves_between_them
    orders_of_others_are_not_listed
    orders_that_the_workbench_has_lost_are_listed
    page_is_filled_though_invalid_orders_stand_between
}

async fn list(world: &World, client: &Client) -> Vec<OrderId> {
    let (mut orders, mut place): (Vec<OrderId>, Option<OrderCursor>) = (Vec::new(), None);
    loop {
        let page = world.ca.orders_of(&client.account, place).await.unwrap();
        assert!(page.orders.len() <= 2, "{page:?}");
        orders.extend(page.orders);
        place = page.next;
        if place.is_none() {
            return orders;
        }
    }
}

async fn small_pages(backend: Backend) -> World {
    World::with(backend, |settings| {
        settings.limits.orders_per_page = 2;
        settings.reuse.orders = false;
    })
    .await
}

async fn orders_of_every_status_but_invalid_are_listed(backend: Backend) {
    let world = small_pages(backend).await;
    let client = Client::new(&world).await;
    let valid = client.processing(&world, &["valid.example.com"]).await;
    world.work(Stage::Issue).await;
    world.clock.pass_seconds(1);
    let acknowledged = client.processing(&world, &["acknowledged.example.com"]).await;
    world.work(Stage::Issue).await;
    world.ca.acknowledge(&client.account, acknowledged.id).await.unwrap();
    world.clock.pass_seconds(1);
    let invalid = client.order(&world, &["invalid.example.com"]).await;
    world.network.answers("invalid.example.com", [crate::world::network::wrong()]);
    client.answer_all(&world, &invalid).await;
    world.work_off().await;
    assert_eq!(client.status(&world, invalid.id).await, OrderStatus::Invalid);
    world.clock.pass_seconds(1);
    let processing = client.processing(&world, &["processing.example.com"]).await;
    world.clock.pass_seconds(1);
    let ready = client.ready(&world, &["ready.example.com"]).await;
    world.clock.pass_seconds(1);
    let pending = client.order(&world, &["pending.example.com"]).await;
    let due = [pending.id, ready.id, processing.id, acknowledged.id, valid.id];
    assert_eq!(list(&world, &client).await, due);
}

async fn pages_hold_each_order_once_whatever_moves_between_them(backend: Backend) {
    let world = small_pages(backend).await;
    let client = Client::new(&world).await;
    let mut made = Vec::new();
    for _ in 0..6 {
        made.insert(0, client.ready(&world, &["one.example.com"]).await);
    }
    // All are of the same time: only their names tell them apart.
    made.sort_by_key(|order| std::cmp::Reverse(order.id));
    let first = world.ca.orders_of(&client.account, None).await.unwrap();
    // One from each side of the cursor goes from the workbench to the ledger, and a new one comes in.
    for order in [&made[0], &made[4]] {
        client.finalize(&world, order, &pair()).await.unwrap();
        world.work(Stage::Issue).await;
        world.ca.acknowledge(&client.account, order.id).await.unwrap();
    }
    world.clock.pass_seconds(1);
    client.order(&world, &["one.example.com"]).await;
    let second = world.ca.orders_of(&client.account, first.next).await.unwrap();
    let third = world.ca.orders_of(&client.account, second.next).await.unwrap();
    assert_eq!(third.next, None);
    let seen: Vec<OrderId> = [first.orders, second.orders, third.orders].concat();
    assert_eq!(seen, made.iter().map(|order| order.id).collect::<Vec<_>>());
}

async fn orders_of_others_are_not_listed(backend: Backend) {
    let world = small_pages(backend).await;
    let (client, other) = (Client::new(&world).await, Client::new(&world).await);
    client.issued(&world, &["one.example.com"], &pair()).await;
    client.order(&world, &["one.example.com"]).await;
    assert_eq!(list(&world, &other).await, []);
    assert_eq!(list(&world, &client).await.len(), 2);
}

async fn orders_that_the_workbench_has_lost_are_listed(backend: Backend) {
    let world = small_pages(backend).await;
    let client = Client::new(&world).await;
    let issued = client.issued(&world, &["one.example.com"], &pair()).await;
    client.order(&world, &["two.example.com"]).await;
    let world = world.restart_without_workbench();
    world.ca.recover().await.unwrap();
    assert_eq!(list(&world, &client).await, [issued.order]);
}

async fn page_is_filled_though_invalid_orders_stand_between(backend: Backend) {
    let world = small_pages(backend).await;
    let client = Client::new(&world).await;
    let oldest = client.order(&world, &["oldest.example.com"]).await;
    for _ in 0..7 {
        world.clock.pass_seconds(1);
        let spoiled = client.order(&world, &["spoiled.example.com"]).await;
        world.ca.deactivate_authorization(&client.account, spoiled.authorizations[0].id).await.unwrap();
    }
    let page = world.ca.orders_of(&client.account, None).await.unwrap();
    assert_eq!((page.orders, page.next), (vec![oldest.id], None));
}
