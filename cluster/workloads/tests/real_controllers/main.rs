//! The controllers beside the real controller manager: after the same requests, the same objects, statuses and events.
//!
//! Both sides get the steps of `stories.rs`: Seaway's controllers with the embedded API, and a real kube-apiserver with
//! its kube-controller-manager (`tests/real-kubernetes`; skipped where that was not built). On both, pods run in
//! imagination (`side.rs`). After each step both are looked at until they agree, or some time has passed. What is
//! compared, and what is left out since it differs from one run to the next, stands in `view.rs`; a difference is
//! accepted only by a rule of `accepted.toml` that names the change of Kubernetes behind it.
//!
//! `SEAWAY_CONFORMANCE=word` runs only stories with that word in their name.

#![allow(clippy::unwrap_used)]

#[path = "../../../../tests/real-kubernetes/mod.rs"]
mod real_kubernetes;
mod side;
mod stories;
mod view;

use std::time::{Duration, Instant};

use real_kubernetes::{Parts, RealKubernetes};
use side::Side;
use view::Accepted;

/// For so long both sides may come to agree.
const PATIENCE: Duration = Duration::from_secs(60);
/// For so long, once they have differed before: the suite fails anyway.
const IMPATIENCE: Duration = Duration::from_secs(4);

#[test]
fn the_controllers_do_what_the_real_controller_manager_does() {
    let Some(programs) = real_kubernetes::programs() else { return };
    let mut real = RealKubernetes::start(&programs, Parts { sync_writes: false });
    real.start_controllers();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (unexplained, unused) = runtime.block_on(compare(&real));
    for line in &unexplained {
        println!("{line}");
    }
    for rule in &unused {
        println!("accepted.toml: nothing needs the rule {rule}");
    }
    assert!(unexplained.is_empty() && unused.is_empty(), "the controllers differ");
}

async fn compare(real: &RealKubernetes) -> (Vec<String>, Vec<String>) {
    let (theirs, ours) = tokio::join!(Side::real(real), Side::embedded());
    let word = std::env::var("SEAWAY_CONFORMANCE").ok();
    let mut accepted = Accepted::read();
    let (mut unexplained, mut steps) = (vec![], 0);
    for story in stories::all() {
        if word.as_ref().is_some_and(|word| !story.name.contains(word.as_str())) {
            continue;
        }
        tokio::join!(theirs.namespace(story.name), ours.namespace(story.name));
        for step in &story.steps {
            steps += 1;
            tokio::join!(theirs.send(story.name, step), ours.send(story.name, step));
            let begin = Instant::now();
            let found = loop {
                let (real, mine) = tokio::join!(theirs.view(story.name, step), ours.view(story.name, step));
                let found = match (real, mine) {
                    (Some(real), Some(mine)) => accepted.unexplained(story.name, step.title, &real, &mine),
                    (real, mine) => vec![format!(
                        "{}: {}: not there (real: {}, ours: {})",
                        story.name,
                        step.title,
                        real.is_some(),
                        mine.is_some()
                    )],
                };
                let patience = if unexplained.is_empty() { PATIENCE } else { IMPATIENCE };
                if found.is_empty() || begin.elapsed() > patience {
                    break found;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            unexplained.extend(found);
        }
    }
    println!("{steps} steps compared");
    let unused = if word.is_none() { accepted.unused() } else { vec![] };
    ours.stop().await;
    theirs.stop().await;
    (unexplained, unused)
}
