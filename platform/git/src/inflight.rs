//! Pushes that are going on, one for each branch of a repository: none waits for another one.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::push::{Push, Pushed};
use crate::{Branch, Error};

/// Absent until the push has ended.
pub(crate) type Answer = Option<Result<Pushed, Error>>;

type Pushes = HashMap<Branch, (Arc<Push>, watch::Receiver<Answer>)>;

/// The pushes to the branches of one repository.
#[derive(Default)]
pub(crate) struct InFlight(Arc<Mutex<Pushes>>);

/// What there is to do about a push.
pub(crate) enum Turn {
    /// Do it, and tell how it went.
    Begin(Arc<Push>, Lead, watch::Receiver<Answer>),
    /// It is being done.
    Share(watch::Receiver<Answer>),
    /// Another one to this branch is going on.
    Busy,
}

/// Whoever does a push. Its branch is free when this is dropped.
pub(crate) struct Lead {
    pushes: Arc<Mutex<Pushes>>,
    branch: Branch,
    answer: watch::Sender<Answer>,
}

impl InFlight {
    pub(crate) fn begin(&self, push: Push) -> Turn {
        let mut pushes = self.0.lock();
        match pushes.get(&push.branch) {
            Some((same, answer)) if same.is_same_but_for_time(&push) => Turn::Share(answer.clone()),
            Some(_) => Turn::Busy,
            None => {
                let (sender, answer) = watch::channel(None);
                let (branch, push) = (push.branch.clone(), Arc::new(push));
                pushes.insert(branch.clone(), (Arc::clone(&push), answer.clone()));
                let lead = Lead { pushes: Arc::clone(&self.0), branch, answer: sender };
                Turn::Begin(push, lead, answer)
            }
        }
    }
}

impl Lead {
    /// Tells the answer. Who asks from here on gets a push of its own: the branch may have moved since.
    pub(crate) fn end(self, result: Result<Pushed, Error>) {
        let answer = self.answer.clone();
        drop(self);
        answer.send_replace(Some(result));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.pushes.lock().remove(&self.branch);
    }
}
