use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, Response};
use seaway_gateway::proxy::Proxy;
use tokio::sync::Notify;

use crate::support::{
    Answer, Backend, Client, World, dial, eventually, fetch, full, get, options, refusing, request, serve,
};

#[tokio::test]
async fn replacing_all_endpoints_under_load_fails_no_request() {
    let mut old = vec![Backend::echo("old").await, Backend::echo("old").await];
    let world = World::of("web", &[old[0].address, old[1].address]);
    let proxy = serve(&world).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut loads = Vec::new();
    for _ in 0..4 {
        let mut client = Client::connect(&proxy).await;
        let done = Arc::clone(&done);
        loads.push(tokio::spawn(async move {
            let mut served = 0;
            while !done.load(Ordering::SeqCst) {
                let answer = client.try_get("/").await.expect("the connection of the client stays");
                assert_eq!(answer.status, 200, "{answer:?}");
                served += 1;
            }
            served
        }));
    }
    // A rollover as Kubernetes does it: add one, remove one, stop the removed one.
    let mut current = vec![old[0].address, old[1].address];
    let mut new = Vec::new();
    for _ in 0..6 {
        let before: usize = old.iter().chain(&new).map(Backend::count).sum();
        eventually("some requests", || {
            old.iter().chain(&new).map(Backend::count).sum::<usize>() > before + 50
        })
        .await;
        let added = Backend::echo("new").await;
        current.push(added.address);
        new.push(added);
        proxy.set_table(world.clone().with("web", &current).table());
        current.remove(0);
        proxy.set_table(world.clone().with("web", &current).table());
        let gone = if old.is_empty() { new.remove(0) } else { old.remove(0) };
        drop(gone);
    }
    done.store(true, Ordering::SeqCst);
    for load in loads {
        assert!(load.await.unwrap() > 0);
    }
}

/// A proxy whose dials to `gone` never end, as those to a pod that was removed together with its network do not; and
/// how often that was tried.
async fn serve_with_gone(world: &World, gone: Vec<SocketAddr>) -> (Proxy, Arc<AtomicUsize>) {
    let tried = Arc::new(AtomicUsize::new(0));
    let mut options = options();
    let (plain, count) = (dial(), Arc::clone(&tried));
    options.dial = Arc::new(move |address| {
        if gone.contains(&address) {
            count.fetch_add(1, Ordering::SeqCst);
            return Box::pin(std::future::pending());
        }
        plain(address)
    });
    // Only the table ends the wait.
    options.limits.connect = Duration::from_secs(3600);
    let proxy = Proxy::start(options).await.unwrap();
    proxy.set_table(world.table());
    (proxy, tried)
}

#[tokio::test]
async fn a_connection_to_an_endpoint_that_leaves_the_table_is_given_up_and_the_request_goes_elsewhere() {
    let (backend, gone) = (Backend::echo("new").await, refusing().await);
    let world = World::of("web", &[gone]);
    let (proxy, tried) = serve_with_gone(&world, vec![gone]).await;
    for (round, method) in [Method::GET, Method::POST].into_iter().enumerate() {
        proxy.set_table(world.table());
        let (answer, ()) = tokio::join!(fetch(&proxy, request(method, "/")), async {
            eventually("the endpoint is tried", || tried.load(Ordering::SeqCst) > round).await;
            proxy.set_table(world.clone().with("web", &[backend.address]).table());
        });
        assert_eq!(answer.backend(), "new");
    }
}

#[tokio::test]
async fn endpoints_that_leave_one_after_another_use_up_no_attempts() {
    // More than a request tries of one table.
    let mut gone = Vec::new();
    for _ in 0..7 {
        gone.push(refusing().await);
    }
    let backend = Backend::echo("last").await;
    let world = World::of("web", &gone[..1]);
    let (proxy, tried) = serve_with_gone(&world, gone.clone()).await;
    let (answer, ()) = tokio::join!(get(&proxy, "/"), async {
        let next = gone.iter().skip(1).chain([&backend.address]);
        for (round, address) in next.enumerate() {
            eventually("the endpoint is tried", || tried.load(Ordering::SeqCst) > round).await;
            proxy.set_table(world.clone().with("web", &[*address]).table());
        }
    });
    assert_eq!(answer.backend(), "last");
    assert_eq!(tried.load(Ordering::SeqCst), gone.len());
}

#[tokio::test]
async fn a_table_that_is_fetched_anew_is_no_attempt() {
    // All that it has refuse, and so does one of the next table.
    let mut old = Vec::new();
    for _ in 0..4 {
        old.push(refusing().await);
    }
    let backend = Backend::echo("new").await;
    let world = World::of("web", &old);
    let stale = refusing().await;
    let next = world.clone().with("web", &[stale, backend.address]).table();
    let all_tried = Arc::new(Notify::new());
    let mut options = options();
    let (plain, count, tell) = (dial(), AtomicUsize::new(0), Arc::clone(&all_tried));
    options.dial = Arc::new(move |address| {
        if count.fetch_add(1, Ordering::SeqCst) == 3 {
            tell.notify_one();
        }
        plain(address)
    });
    let proxy = Proxy::start(options).await.unwrap();
    proxy.set_table(world.table());
    let (answer, ()) = tokio::join!(get(&proxy, "/"), async {
        all_tried.notified().await;
        proxy.set_table(next);
    });
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.backend(), "new");
}

/// A backend that says when a request has arrived and answers when it is told to.
async fn gated() -> (Backend, Arc<Notify>) {
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let backend = Backend::start(move |_| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            Response::new(full("finished"))
        }
    })
    .await;
    (backend, gate)
}

#[tokio::test]
async fn a_removed_endpoint_finishes_its_request_and_gets_no_other() {
    let (leaving, gate) = gated().await;
    let staying = Backend::echo("staying").await;
    let world = World::of("web", &[leaving.address]);
    let proxy = serve(&world).await;
    let mut client = Client::connect(&proxy).await;
    let running = tokio::spawn(async move { Answer::of(client.send(request(Method::GET, "/")).await).await });
    eventually("the request has arrived", || leaving.count() == 1).await;
    proxy.set_table(world.with("web", &[staying.address]).table());
    for _ in 0..20 {
        assert_eq!(get(&proxy, "/").await.backend(), "staying");
    }
    assert_eq!(leaving.count(), 1);
    gate.notify_one();
    assert_eq!(running.await.unwrap().body, "finished");
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_takes_no_new_ones() {
    let (backend, gate) = gated().await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let address = proxy.local_addr();
    let mut client = Client::connect(&proxy).await;
    let running = tokio::spawn(async move { Answer::of(client.send(request(Method::GET, "/")).await).await });
    eventually("the request has arrived", || backend.count() == 1).await;
    let shutdown = tokio::spawn(async move { proxy.shutdown(Duration::from_secs(30)).await });
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "the socket still accepts");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!shutdown.is_finished());
    gate.notify_one();
    assert_eq!(running.await.unwrap().body, "finished");
    shutdown.await.unwrap();
}

#[tokio::test]
async fn shutdown_ends_after_its_grace_even_if_a_request_does_not() {
    let backend = Backend::start(|_| std::future::pending()).await;
    let proxy = serve(&World::of("web", &[backend.address])).await;
    let mut client = Client::connect(&proxy).await;
    let running = tokio::spawn(async move { client.try_get("/").await });
    eventually("the request has arrived", || backend.count() == 1).await;
    let shutdown = proxy.shutdown(Duration::from_millis(50));
    tokio::time::timeout(Duration::from_secs(60), shutdown).await.unwrap();
    assert!(running.await.unwrap().is_err());
}
