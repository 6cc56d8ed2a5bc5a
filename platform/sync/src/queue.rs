//! Whose turn it is: people before polls, and nobody twice before everybody once.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A person waits.
    Person,
    /// Anything else.
    Background,
}

#[derive(Default)]
struct State {
    free: usize,
    people: VecDeque<oneshot::Sender<Turn>>,
    background: VecDeque<oneshot::Sender<Turn>>,
}

/// A number of turns that are taken at once.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Mutex<State>>);

/// A turn; it ends when this is dropped.
pub(crate) struct Turn(Option<Arc<Mutex<State>>>);

impl Turns {
    pub(crate) fn new(at_once: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: at_once, ..State::default() })))
    }

    /// Waits for a turn.
    pub(crate) async fn take(&self, urgency: Urgency) -> Turn {
        let waiting = {
            let mut state = self.0.lock();
            if state.free > 0 {
                state.free -= 1;
                return Turn(Some(self.0.clone()));
            }
            let (sender, waiting) = oneshot::channel();
            match urgency {
                Urgency::Person => state.people.push_back(sender),
                Urgency::Background => state.background.push_back(sender),
            }
            waiting
        };
        // Who stops waiting never had it: it comes with the message, and goes on with it.
        waiting.await.unwrap_or_else(|_| {
            tracing::debug!("a turn was not handed on");
            Turn(None)
        })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = turns.lock();
                let next = state.people.pop_front().or_else(|| state.background.pop_front());
                if next.is_none() {
                    state.free += 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // One who has stopped waiting is passed over.
                Err(mut unwanted) => drop(unwanted.0.take()),
            }
        }
    }
}

/// The turn of a look, given back while something is waited for that takes as long as others like.
pub(crate) struct Seat<'a> {
    turns: &'a Turns,
    urgency: Urgency,
    turn: tokio::sync::Mutex<Option<Turn>>,
}

impl<'a> Seat<'a> {
    pub(crate) fn new(turns: &'a Turns, urgency: Urgency, turn: Turn) -> Self {
        Self { turns, urgency, turn: tokio::sync::Mutex::new(Some(turn)) }
    }

    /// Waits for something, and for a turn after that. What is there already is not waited for.
    pub(crate) async fn leave_for<T>(&self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        if let Some(result) = wait.as_mut().now_or_never() {
            return result;
        }
        self.turn.lock().await.take();
        let result = wait.await;
        // Of several that come back, one takes a turn for all: nobody has two.
        let mut turn = self.turn.lock().await;
        if turn.is_none() {
            *turn = Some(self.turns.take(self.urgency).await);
        }
        result
    }

    /// How urgent it is.
    pub(crate) fn urgency(&self) -> Urgency {
        self.urgency
    }

    pub(crate) fn into_turn(self) -> Option<Turn> {
        self.turn.into_inner()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn people_come_before_polls() {
        let turns = Turns::new(1);
        let first = turns.take(Urgency::Background).await;
        let mut poll = Box::pin(turns.take(Urgency::Background));
        assert!(poll.as_mut().now_or_never().is_none());
        let mut person = Box::pin(turns.take(Urgency::Person));
        assert!(person.as_mut().now_or_never().is_none());
        drop(first);
        assert!(poll.as_mut().now_or_never().is_none());
        let turn = person.as_mut().now_or_never().unwrap();
        drop(turn);
        assert!(poll.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_look_that_waits_for_several_things_takes_one_turn_again() {
        let turns = Turns::new(1);
        let seat = Seat::new(&turns, Urgency::Background, turns.take(Urgency::Background).await);
        let (mut one, mut two) = (oneshot::channel::<()>(), oneshot::channel::<()>());
        let mut waiting =
            Box::pin(async { tokio::join!(seat.leave_for(&mut one.1), seat.leave_for(&mut two.1)) });
        assert!(waiting.as_mut().now_or_never().is_none());
        let others = turns.take(Urgency::Background).now_or_never().unwrap();
        one.0.send(()).unwrap();
        two.0.send(()).unwrap();
        assert!(waiting.as_mut().now_or_never().is_none(), "others have the turn");
        drop(others);
        let both = waiting.await;
        assert!(both.0.is_ok() && both.1.is_ok());
        assert!(turns.take(Urgency::Background).now_or_never().is_none(), "it has its turn again");
        drop(seat.into_turn());
        assert!(turns.take(Urgency::Background).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_is_there_already_is_not_waited_for() {
        let turns = Turns::new(1);
        let seat = Seat::new(&turns, Urgency::Background, turns.take(Urgency::Background).await);
        let mut next = Box::pin(turns.take(Urgency::Background));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(seat.leave_for(async { 7 }).now_or_never(), Some(7));
        assert!(next.as_mut().now_or_never().is_none());
    }

    #[tokio::test]
    async fn who_stops_waiting_costs_no_turn() {
        let turns = Turns::new(1);
        let first = turns.take(Urgency::Background).await;
        let mut gone = Box::pin(turns.take(Urgency::Person));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        assert!(
            turns.take(Urgency::Background).now_or_never().is_none(),
            "there is one turn, and first has it"
        );
        drop(first);
        let next = turns.take(Urgency::Background).now_or_never();
        assert!(next.is_some());
        assert!(turns.take(Urgency::Background).now_or_never().is_none(), "there is still one");
    }
}
