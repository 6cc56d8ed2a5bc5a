//! How many streams each person has open: each holds connections to the Kubernetes API for as long as it likes.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::problem::Problem;

/// Streams that a person may have open at once: more than anybody looks at.
const MOST: usize = 20;

/// The open streams of all people, by user name.
#[derive(Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<String, usize>>>);

/// One of them, until it is dropped.
pub(crate) struct Open {
    streams: Streams,
    who: String,
}

impl Streams {
    /// Counts one more.
    ///
    /// # Errors
    /// 429 when the person has too many.
    pub(crate) fn open(&self, who: &str) -> Result<Open, Problem> {
        let mut streams = self.0.lock();
        let count = streams.entry(who.to_owned()).or_default();
        if *count >= MOST {
            return Err(Problem::too_many_streams(MOST));
        }
        *count += 1;
        Ok(Open { streams: self.clone(), who: who.to_owned() })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut streams = self.streams.0.lock();
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
        let streams = Streams::default();
        let open: Vec<Open> = (0..MOST).map(|_| streams.open("ada").unwrap()).collect();
        assert_eq!(streams.open("ada").err().unwrap().status, 429);
        drop(streams.open("ben").unwrap());
        drop(open);
        assert!(streams.0.lock().is_empty());
    }
}
