use std::collections::BTreeMap;

use serde_json::json;

use crate::support::{Backend, Client, World, eventually, serve};

#[tokio::test]
async fn requests_are_divided_by_weight_and_weight_zero_gets_none() {
    let (a, b, c) = (Backend::echo("a").await, Backend::echo("b").await, Backend::echo("c").await);
    let world = World::new(json!([{"backendRefs": [
        {"name": "a", "port": 80, "weight": 90},
        {"name": "b", "port": 80, "weight": 10},
        {"name": "c", "port": 80, "weight": 0},
    ]}]));
    let world = world.with("a", &[a.address]).with("b", &[b.address]).with("c", &[c.address]);
    let proxy = serve(&world).await;
    let mut client = Client::connect(&proxy).await;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..2000 {
        *counts.entry(client.try_get("/").await.unwrap().backend()).or_default() += 1;
    }
    assert_eq!(counts.values().sum::<u32>(), 2000);
    assert!((160..=240).contains(&counts["b"]), "10 % of 2000 with the seed of the test: {counts:?}");
    assert!(!counts.contains_key("c"), "{counts:?}");
}

#[tokio::test]
async fn all_endpoints_of_a_backend_take_part() {
    let backends = [Backend::echo("a").await, Backend::echo("b").await, Backend::echo("c").await];
    let addresses: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    let proxy = serve(&World::of("web", &addresses)).await;
    let mut client = Client::connect(&proxy).await;
    for _ in 0..300 {
        assert_eq!(client.try_get("/").await.unwrap().status, 200);
    }
    for backend in &backends {
        assert!((60..=140).contains(&backend.count()), "{} of 300", backend.count());
    }
}

#[tokio::test]
async fn of_two_endpoints_the_less_busy_one_is_taken() {
    let stuck = Backend::start(|_| std::future::pending()).await;
    let quick = Backend::echo("quick").await;
    let world = World::of("web", &[stuck.address]);
    let proxy = serve(&world).await;
    let mut waiting = Client::connect(&proxy).await;
    tokio::spawn(async move { waiting.try_get("/").await });
    eventually("one endpoint is busy", || stuck.count() == 1).await;
    proxy.set_table(world.with("web", &[stuck.address, quick.address]).table());
    let mut client = Client::connect(&proxy).await;
    for _ in 0..20 {
        assert_eq!(client.try_get("/").await.unwrap().backend(), "quick");
    }
}
