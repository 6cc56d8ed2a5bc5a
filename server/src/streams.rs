//! How many streams each person has open: each holds connections to the Kubernetes API for as long as it likes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::problem::Problem;

/// Logs that a person may follow at once: more than anybody looks at.
pub(crate) const LOGS: usize = 20;
/// Streams of events that a person may have open at once: one for each page, and for each program that follows.
pub(crate) const EVENTS: usize = 256;

/// The open streams of all people, by user name.
#[derive(Clone)]
pub(crate) struct Streams {
    open: Arc<Mutex<HashMap<String, usize>>>,
    most: usize,
}

/// One of them, until it is dropped.
pub(crate) struct Open {
    streams: Streams,
    who: String,
}

impl Streams {
    /// Each person may have so many at once.
    pub(crate) fn new(most: usize) -> Self {
        Self { open: Arc::default(), most }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// 429 when the person has too many.
    pub(crate) fn open(&self, who: &str) -> Result<Open, Problem> {
        let mut streams = self.open.lock();
        let count = streams.entry(who.to_owned()).or_default();
        if *count >= self.most {
            return Err(Problem::too_many_streams(self.most));
        }
        *count += 1;
        Ok(Open { streams: self.clone(), who: who.to_owned() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut streams = self.streams.open.lock();
        if let Some(count) = streams.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.who);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_person_has_so_many_and_none_is_remembered() {
        let streams = Streams::new(3);
        let open: Vec<Open> = (0..3).map(|_| streams.open("ada").unwrap()).collect();
        assert_eq!(streams.open("ada").err().unwrap().status, 429);
        drop(streams.open("ben").unwrap());
        drop(open);
        assert!(streams.open.lock().is_empty());
    }
}
