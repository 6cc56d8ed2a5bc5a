//! Whose turn it is to run `git`: people before polls, and no host at the expense of another.
//!
//! A run takes a slot. Runs that ask nobody, and those of hosts that answer, share a few: they work. A host that has
//! not answered yet, or does not any more, makes its runs wait, which costs little: they have slots of their own, of
//! which each host gets few. A question that waits for long is taken for one of those. Of every kind of slots there are some that polls
//! cannot fill.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

/// A server: scheme, name and port.
pub(crate) type Host = Arc<str>;

/// A host that has not answered so often, one time after the other, is silent.
const SILENT: u32 = 2;
/// What is known of more hosts is forgotten: it is found out again.
const MAX_HOSTS: usize = 4096;

/// How many people wait for something.
#[derive(Debug, Clone, Default)]
pub(crate) struct People(Arc<AtomicUsize>);

/// One of them, for as long as this lives.
pub(crate) struct Person(Arc<AtomicUsize>);

impl People {
    /// Somebody waits from now on. Slots do not hear of it by themselves ([`Slots::reconsider`]).
    pub(crate) fn join(&self) -> Person {
        self.0.fetch_add(1, Ordering::SeqCst);
        Person(Arc::clone(&self.0))
    }

    fn wait(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many there may be, and how many of them for polls.
#[derive(Debug, Clone, Copy)]
struct Limit {
    all: usize,
    polls: usize,
}

/// How many there are.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    all: usize,
    polls: usize,
}

impl Limit {
    fn allows(self, load: Load, person: bool) -> bool {
        load.all < self.all && (person || load.polls < self.polls)
    }
}

impl Load {
    fn enter(&mut self, person: bool) {
        self.all += 1;
        self.polls += usize::from(!person);
    }

    fn leave(&mut self, person: bool) {
        self.all -= 1;
        self.polls -= usize::from(!person);
    }
}

#[derive(Debug, Default)]
struct HostState {
    /// Its runs, wherever they are.
    running: Load,
    /// The last that was heard of it is an answer.
    answers: bool,
    /// How often it has answered: who began before the last answer has nothing to tell of it.
    answered: u64,
    /// How often it has not answered since it did.
    unanswered: u32,
}

impl HostState {
    fn is_silent(&self) -> bool {
        self.unanswered >= SILENT
    }
}

struct Waiter {
    host: Option<Host>,
    people: People,
    sender: oneshot::Sender<Slot>,
}

struct State {
    /// Of runs that work.
    working: Load,
    working_limit: Limit,
    /// Of runs that wait for hosts which may never answer.
    doubtful: Load,
    doubtful_limit: Limit,
    /// Those of hosts that have not answered before: they leave some to hosts that nobody has asked yet.
    unanswered_limit: Limit,
    /// Of one such host.
    host_limit: Limit,
    hosts: HashMap<Host, HostState>,
    waiting: VecDeque<Waiter>,
}

impl State {
    /// With so many runs that work at once.
    fn new(at_once: usize) -> Self {
        let at_once = at_once.max(1);
        let polls = at_once.saturating_sub((at_once / 4).max(1)).max(1);
        Self {
            working: Load::default(),
            working_limit: Limit { all: at_once, polls },
            doubtful: Load::default(),
            doubtful_limit: Limit { all: at_once.saturating_mul(4), polls: at_once.saturating_mul(3) },
            unanswered_limit: Limit { all: at_once.saturating_mul(4), polls: at_once.saturating_mul(2) },
            host_limit: Limit { all: 4, polls: 2 },
            hosts: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    fn answers(&self, host: &str) -> bool {
        self.hosts.get(host).is_some_and(|host| host.answers)
    }

    /// Whether there is a slot for a run that asks this host.
    fn allows(&self, host: Option<&Host>, person: bool) -> bool {
        match host {
            Some(host) if !self.answers(host) => {
                let (running, unanswered) = self
                    .hosts
                    .get(host)
                    .map_or_else(Default::default, |host| (host.running, host.unanswered));
                let limit = if unanswered > 0 { self.unanswered_limit } else { self.doubtful_limit };
                limit.allows(self.doubtful, person) && self.host_limit.allows(running, person)
            }
            _ => self.working_limit.allows(self.working, person),
        }
    }

    /// The smallest goes first.
    fn rank(&self, waiter: &Waiter) -> u8 {
        let unanswered =
            waiter.host.as_ref().and_then(|host| self.hosts.get(host)).map_or(0, |host| host.unanswered);
        match (waiter.people.wait(), unanswered) {
            (true, _) => 0,
            (false, 0) => 1,
            (false, _) => 2,
        }
    }

    /// Whoever gets a slot now, out of the queue.
    fn next(&mut self) -> Option<Waiter> {
        // One who has stopped waiting costs no slot.
        self.waiting.retain(|waiter| !waiter.sender.is_closed());
        let possible = self
            .waiting
            .iter()
            .enumerate()
            .filter(|(_, waiter)| self.allows(waiter.host.as_ref(), waiter.people.wait()));
        let (first, _) = possible.min_by_key(|(place, waiter)| (self.rank(waiter), *place))?;
        self.waiting.remove(first)
    }

    fn host(&mut self, host: &Host) -> &mut HostState {
        if self.hosts.len() >= MAX_HOSTS && !self.hosts.contains_key(host) {
            self.hosts.retain(|_, known| known.running.all > 0);
        }
        self.hosts.entry(Arc::clone(host)).or_default()
    }

    /// A run of a host has ended, which began when the host had answered `answered` times.
    fn learn(&mut self, host: &Host, answered: u64, answer: Answer) {
        let known = self.host(host);
        match answer {
            Answer::Came => {
                known.answered += 1;
                known.unanswered = 0;
                known.answers = true;
            }
            Answer::Missing if known.answered == answered => {
                known.answers = false;
                known.unanswered = known.unanswered.saturating_add(1);
                if known.is_silent() {
                    // They would wait as long, one after the other, to be told the same.
                    self.waiting.retain(|waiter| waiter.host.as_ref() != Some(host) || waiter.people.wait());
                }
            }
            Answer::Missing | Answer::Unknown => {}
        }
    }
}

/// What a run says of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It answers, be it with an error.
    Came,
    /// It does not.
    Missing,
    /// Nothing.
    Unknown,
}

/// The host did not answer others while this one waited for its turn.
#[derive(Debug)]
pub(crate) struct Silent;

/// All slots.
pub(crate) struct Slots(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Told of every answer that changes what is known of a host.
    news: Notify,
}

impl Slots {
    /// With so many runs that work at once.
    pub(crate) fn new(at_once: usize) -> Self {
        Self(Arc::new(Shared { state: Mutex::new(State::new(at_once)), news: Notify::new() }))
    }

    /// Waits for a slot of a run that asks this host, or none. Those for whom people wait come first, also when these come later.
    pub(crate) async fn take(&self, host: Option<&Host>, people: &People) -> Result<Slot, Silent> {
        let slot = {
            let mut state = self.0.state.lock();
            let person = people.wait();
            // There is none for those who wait already: whatever may be one for them is handed out when that changes.
            if state.allows(host, person) {
                return Ok(self.0.occupy(&mut state, host.cloned(), person));
            }
            let (sender, slot) = oneshot::channel();
            state.waiting.push_back(Waiter { host: host.cloned(), people: people.clone(), sender });
            slot
        };
        slot.await.map_err(|_| Silent)
    }

    /// Somebody waits now for what nobody waited for before.
    pub(crate) fn reconsider(&self) {
        self.0.hand_out();
    }

    /// Whether the last that was heard of a host is an answer.
    pub(crate) fn answers(&self, host: &str) -> bool {
        self.0.state.lock().answers(host)
    }

    /// Whether a host has not answered several times.
    pub(crate) fn is_silent(&self, host: &str) -> bool {
        self.0.state.lock().hosts.get(host).is_some_and(HostState::is_silent)
    }

    /// Waits until a host answers.
    pub(crate) async fn until_answers(&self, host: &str) {
        self.until(|| self.answers(host)).await;
    }

    /// Waits until a host is not silent.
    pub(crate) async fn until_not_silent(&self, host: &str) {
        self.until(|| !self.is_silent(host)).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let mut news = std::pin::pin!(self.0.news.notified());
            // Listens before it looks, so that nothing can come in between.
            news.as_mut().enable();
            if holds() {
                return;
            }
            news.await;
        }
    }
}

impl Shared {
    /// Hands out what there is to those who wait.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let (sender, slot) = {
                let mut state = self.state.lock();
                let Some(Waiter { host, people, sender }) = state.next() else { return };
                (sender, self.occupy(&mut state, host, people.wait()))
            };
            // Who has just stopped waiting gives it back here, which takes the lock.
            drop(sender.send(slot));
        }
    }

    fn occupy(self: &Arc<Self>, state: &mut State, host: Option<Host>, person: bool) -> Slot {
        let works = host.as_ref().is_none_or(|host| state.answers(host));
        if works { &mut state.working } else { &mut state.doubtful }.enter(person);
        let answered = host.as_ref().map_or(0, |host| {
            let host = state.host(host);
            host.running.enter(person);
            host.answered
        });
        Slot { shared: Arc::clone(self), host, person, works, answered, answer: Answer::Unknown }
    }
}

/// A slot; free again when this is dropped.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    host: Option<Host>,
    person: bool,
    works: bool,
    /// How often the host had answered when this began.
    answered: u64,
    answer: Answer,
}

impl Slot {
    /// The run does nothing but wait for its host: it leaves its place to those that work, if there is one for it among those that wait.
    pub(crate) fn step_aside(&mut self) {
        let Some(host) = self.host.as_ref().filter(|_| self.works) else { return };
        {
            let mut state = self.shared.state.lock();
            let limit = state.doubtful_limit;
            if !limit.allows(state.doubtful, self.person) {
                return;
            }
            state.working.leave(self.person);
            state.doubtful.enter(self.person);
            let known = state.host(host);
            if known.answered == self.answered {
                known.answers = false;
            }
        }
        self.works = false;
        self.shared.hand_out();
    }

    /// The run has ended.
    pub(crate) fn end(mut self, answer: Answer) {
        self.answer = answer;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state.lock();
            if self.works { &mut state.working } else { &mut state.doubtful }.leave(self.person);
            if let Some(host) = &self.host {
                state.host(host).running.leave(self.person);
                state.learn(host, self.answered, self.answer);
            }
        }
        if self.answer == Answer::Came {
            self.shared.news.notify_waiters();
        }
        self.shared.hand_out();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Taking<'a> = Pin<Box<dyn Future<Output = Result<Slot, Silent>> + 'a>>;

    fn now<T>(future: &mut Pin<Box<dyn Future<Output = T> + '_>>) -> Option<T> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    /// Slots, hosts and somebody to wait.
    struct World {
        slots: Slots,
        polls: People,
        people: People,
        _person: Person,
    }

    impl World {
        fn new(at_once: usize) -> Self {
            let people = People::default();
            let person = people.join();
            Self { slots: Slots::new(at_once), polls: People::default(), people, _person: person }
        }

        fn take<'a>(&'a self, host: &'a Host, people: &'a People) -> (Taking<'a>, Option<Slot>) {
            let mut taking: Taking<'a> = Box::pin(self.slots.take(Some(host), people));
            let slot = now(&mut taking).map(|slot| slot.unwrap());
            (taking, slot)
        }

        /// As many slots as there are.
        fn take_all(&self, host: &Host, people: &People) -> Vec<Slot> {
            std::iter::from_fn(|| self.take(host, people).1).collect()
        }

        fn hear(&self, host: &Host, answer: Answer) {
            self.take(host, &self.people).1.unwrap().end(answer);
        }
    }

    fn host(name: &str) -> Host {
        name.into()
    }

    #[test]
    fn a_host_that_does_not_answer_takes_few_slots_and_none_of_those_that_work() {
        let world = World::new(8);
        let good = host("good");
        world.hear(&good, Answer::Came);
        let mut hanging = Vec::new();
        for name in 0..40 {
            let taken = world.take_all(&host(&format!("bad{name}")), &world.polls);
            assert!(taken.len() <= 2, "{} of one host", taken.len());
            hanging.extend(taken);
        }
        assert_eq!(hanging.len(), 24, "of all such hosts");
        assert_eq!(world.take_all(&good, &world.polls).len(), 6);
    }

    #[test]
    fn polls_leave_slots_to_people() {
        let world = World::new(8);
        let (good, bad) = (host("good"), host("bad"));
        world.hear(&good, Answer::Came);
        let polls = world.take_all(&good, &world.polls);
        assert_eq!((polls.len(), world.take_all(&good, &world.people).len()), (6, 2));
        let hanging: Vec<_> =
            (0..40).flat_map(|name| world.take_all(&host(&format!("bad{name}")), &world.polls)).collect();
        assert_eq!(hanging.len(), 24);
        assert_eq!(world.take_all(&host("bad0"), &world.people).len(), 2, "of a host that hangs as well");
        assert_eq!(world.take_all(&bad, &world.people).len(), 4);
        for few in [1, 2] {
            let world = World::new(few);
            world.hear(&good, Answer::Came);
            assert_eq!(world.take_all(&good, &world.polls).len(), 1, "polls go on with {few}");
        }
    }

    #[test]
    fn people_go_first_also_those_who_come_later_to_what_waits_already() {
        let world = World::new(1);
        let good = host("good");
        world.hear(&good, Answer::Came);
        let first = world.take(&good, &world.polls).1;
        let shared = People::default();
        let (mut poll, mut joined, mut person) = (
            world.take(&good, &world.polls).0,
            world.take(&good, &shared).0,
            world.take(&good, &world.people).0,
        );
        assert!(now(&mut joined).is_none());
        let _waits = shared.join();
        world.slots.reconsider();
        drop(first);
        assert!(now(&mut poll).is_none() && now(&mut person).is_none());
        drop(now(&mut joined).unwrap().unwrap());
        assert!(now(&mut poll).is_none());
        drop(now(&mut person).unwrap().unwrap());
        assert!(now(&mut poll).is_some());
    }

    #[test]
    fn who_begins_to_wait_gets_a_slot_that_polls_cannot_have_at_once() {
        let world = World::new(8);
        let good = host("good");
        world.hear(&good, Answer::Came);
        let _polls = world.take_all(&good, &world.polls);
        let people = People::default();
        let mut waiting = world.take(&good, &people).0;
        assert!(now(&mut waiting).is_none());
        let _person = people.join();
        world.slots.reconsider();
        assert!(now(&mut waiting).is_some());
    }

    #[test]
    fn what_waits_for_a_host_steps_aside() {
        let world = World::new(8);
        let (good, other) = (host("good"), host("other"));
        world.hear(&good, Answer::Came);
        world.hear(&other, Answer::Came);
        let mut hanging = world.take_all(&good, &world.polls);
        let mut next = world.take(&other, &world.polls).0;
        assert!(now(&mut next).is_none());
        hanging[0].step_aside();
        let _next = now(&mut next).unwrap();
        assert!(
            world.take(&good, &world.polls).1.is_none(),
            "it is not asked more often than others like it"
        );
        // Where all slots of those that wait are taken, it keeps its own.
        let more: Vec<Slot> =
            (0..40).flat_map(|name| world.take_all(&host(&format!("bad{name}")), &world.polls)).collect();
        assert_eq!(more.len(), 23);
        hanging[1].step_aside();
        assert!(world.take(&other, &world.polls).1.is_none());
        drop(more);
        hanging[1].step_aside();
        assert!(world.take(&other, &world.polls).1.is_some());
    }

    #[test]
    fn who_waits_for_a_host_that_turns_out_to_be_silent_is_told_at_once_and_people_ask_themselves() {
        let world = World::new(8);
        let bad = host("bad");
        let mut asked = world.take_all(&bad, &world.polls);
        let mut polls: Vec<_> = (0..40).map(|_| world.take(&bad, &world.polls).0).collect();
        let mut people: Vec<_> = (0..3).map(|_| world.take(&bad, &world.people)).collect();
        assert!(!world.slots.is_silent(&bad));
        while let Some(slot) = asked.pop() {
            slot.end(Answer::Missing);
        }
        assert!(world.slots.is_silent(&bad));
        let told = polls.iter_mut().filter_map(now).filter(Result::is_err).count();
        assert!(told >= 38, "{told}");
        assert!(
            people.iter_mut().all(|(taking, slot)| slot.is_some() || now(taking).is_some_and(|s| s.is_ok()))
        );
    }

    #[test]
    fn a_host_that_answers_again_is_asked_as_any_other_and_a_late_failure_does_not_count() {
        let world = World::new(8);
        let bad = host("bad");
        world.hear(&bad, Answer::Missing);
        let late = world.take(&bad, &world.polls).1.unwrap();
        world.hear(&bad, Answer::Missing);
        assert!(world.slots.is_silent(&bad) && !world.slots.answers(&bad));
        let mut again: Pin<Box<dyn Future<Output = ()> + '_>> = Box::pin(world.slots.until_not_silent(&bad));
        assert!(now(&mut again).is_none());
        world.hear(&bad, Answer::Came);
        assert!(now(&mut again).is_some());
        late.end(Answer::Missing);
        assert!(world.slots.answers(&bad), "it began before the host answered");
        assert_eq!(world.take_all(&bad, &world.polls).len(), 6);
    }

    #[test]
    fn hosts_that_did_not_answer_are_asked_after_others_and_leave_slots_to_them() {
        let world = World::new(2);
        let bad: Vec<Host> = (0..8).map(|n| host(&format!("bad{n}"))).collect();
        bad.iter().for_each(|bad| world.hear(bad, Answer::Missing));
        let mut asked: Vec<Slot> = bad.iter().filter_map(|bad| world.take(bad, &world.polls).1).collect();
        assert_eq!(asked.len(), 4);
        let new: Vec<Host> = (0..4).map(|n| host(&format!("new{n}"))).collect();
        let first: Vec<Slot> = new.iter().filter_map(|new| world.take(new, &world.polls).1).collect();
        assert_eq!(first.len(), 2);
        let (mut asks_bad, mut asks_new) =
            (world.take(&bad[7], &world.polls).0, world.take(&new[3], &world.polls).0);
        asked.pop();
        assert!(now(&mut asks_new).is_some() && now(&mut asks_bad).is_none());
    }

    #[test]
    fn who_stops_waiting_costs_no_slot() {
        let world = World::new(1);
        let good = host("good");
        world.hear(&good, Answer::Came);
        let first = world.take(&good, &world.polls).1;
        // One is dropped while it waits, one after it was given a slot that it has not seen.
        let gone = world.take(&good, &world.people).0;
        let unseen = world.take(&good, &world.people).0;
        drop(gone);
        drop(first);
        assert!(world.take(&good, &world.polls).1.is_none());
        drop(unseen);
        assert!(world.take(&good, &world.polls).1.is_some());
    }
}
