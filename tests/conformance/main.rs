//! One scenario suite against the embedded API server and a real one: they must agree.
//!
//! A scenario (`scenarios/*.yaml`, or generated in `sequences.rs` and `access.rs`) is a list of requests. It
//! runs unchanged against both servers; the normalised answers are compared field by field. A difference is
//! accepted only by a rule of `accepted.toml` that names the change of Kubernetes behind it; a rule that
//! nothing needs any more fails the suite as well.
//!
//! `scenarios/open.yaml` holds the differences that are our bugs and not put right yet.
//!
//! Start reading in `scenario.rs` (what a step can say), then `run.rs` and `compare.rs`.
//! `SEAWAY_CONFORMANCE=word` runs only scenarios with that word in their name; with
//! `SEAWAY_CONFORMANCE_SHOW` every answer is printed.

#![allow(clippy::unwrap_used)]

mod access;
mod client;
mod compare;
mod embedded;
mod normal;
#[path = "../real-kubernetes/mod.rs"]
mod real_kubernetes;
mod run;
mod scenario;
mod sequences;

use compare::{Accepted, Difference};
use embedded::Embedded;
use real_kubernetes::{Parts, RealKubernetes};
use scenario::Scenario;

/// Runs the scenarios on both servers and gives the differences that nothing explains.
async fn compare_all(scenarios: &[Scenario], real: &RealKubernetes, ours: &Embedded) -> Vec<Difference> {
    let mut found = vec![];
    let real = client::Server::new(&real.kubeconfig()).await;
    let ours = client::Server::new(&ours.kubeconfig()).await;
    tokio::join!(real.ready(), ours.ready());
    for scenario in scenarios {
        let started = std::time::Instant::now();
        let (theirs, mine) = tokio::join!(run::run(scenario, &real), run::run(scenario, &ours));
        if started.elapsed().as_secs() > 5 {
            println!("{} took {} s", scenario.name, started.elapsed().as_secs());
        }
        if std::env::var_os("SEAWAY_CONFORMANCE_SHOW").is_some() {
            for (step, (real, ours)) in scenario.steps.iter().zip(theirs.iter().zip(&mine)) {
                println!("{}\n  real: {real:?}\n  ours: {ours:?}", step.title);
            }
        }
        found.extend(compare::scenario(scenario, &theirs, &mine));
    }
    found
}

/// Those that the environment asks for.
fn asked_for(mut scenarios: Vec<Scenario>) -> (Vec<Scenario>, bool) {
    match std::env::var("SEAWAY_CONFORMANCE") {
        Ok(word) => {
            scenarios.retain(|s| s.name.contains(&word));
            (scenarios, false)
        }
        Err(_) => {
            scenarios.retain(|s| s.name != "open");
            (scenarios, true)
        }
    }
}

#[test]
fn the_embedded_server_answers_as_a_real_one() {
    let Some(programs) = real_kubernetes::programs() else { return };
    let mut scenarios = scenario::read_all();
    scenarios.extend(access::scenarios());
    scenarios.extend(sequences::scenarios());
    let (scenarios, everything) = asked_for(scenarios);
    let (with, without): (Vec<_>, Vec<_>) = scenarios.into_iter().partition(|s| s.controllers);

    let mut real = RealKubernetes::start(&programs, Parts { sync_writes: false });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let ours = runtime.block_on(Embedded::start());
    let mut found = runtime.block_on(compare_all(&without, &real, &ours));
    if !with.is_empty() {
        real.start_controllers();
        found.extend(runtime.block_on(compare_all(&with, &real, &ours)));
    }
    runtime.block_on(ours.stop());
    let mut accepted = Accepted::read();
    let unexplained: Vec<_> = found.iter().filter(|d| !accepted.explains(d)).collect();
    let stale = if everything { accepted.unused() } else { vec![] };
    println!(
        "{} scenarios, {} requests; {} differences explained, {} not",
        with.len() + without.len(),
        with.iter().chain(&without).map(|s| s.steps.len()).sum::<usize>(),
        found.len() - unexplained.len(),
        unexplained.len(),
    );
    for difference in &unexplained {
        println!("{difference}");
    }
    for rule in &stale {
        println!("accepted.toml: nothing needs the rule {rule}");
    }
    assert!(unexplained.is_empty() && stale.is_empty(), "the servers differ");
}
