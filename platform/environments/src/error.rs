//! Why there can be no copy.

use seaway_object::ObjectId;

/// Why there can be no copy, with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its name is too long, or means something.
    #[error("{name:?} cannot be the name of a copy: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What it copies is a copy itself, or not of the cluster.
    #[error("{original} cannot be copied: {problem}")]
    Original {
        /// What it copies.
        original: String,
        /// Why not.
        problem: String,
    },
    /// Components that others need are left out.
    #[error("the copy has no {}, which {needed_by} needs: add {} to its components", missing.join(", "), if missing.len() == 1 { "it" } else { "them" })]
    Components {
        /// What is missing.
        missing: Vec<String>,
        /// Who needs it.
        needed_by: String,
    },
    /// Two hosts would become one.
    #[error("the hosts {first} and {second} would both become {host} in the copy")]
    Hosts {
        /// One.
        first: String,
        /// The other one.
        second: String,
        /// What both would become.
        host: String,
    },
    /// Something that looks as if it must not leave production, of which the stack says nothing; or what would call
    /// production from the copy.
    #[error("{}", unmarked(.0))]
    Unmarked(Vec<Unmarked>),
    /// A rule or a stand-in that does not fit the object.
    #[error("{name:?} of the Stack does not fit {object}: {problem}")]
    Rule {
        /// The rule's or the stand-in's name.
        name: String,
        /// The object.
        object: ObjectId,
        /// What is wrong.
        problem: String,
    },
}

/// An object that looks as if it must not leave production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmarked {
    /// Which.
    pub object: ObjectId,
    /// Its component.
    pub component: String,
    /// Why it looks so.
    pub reason: String,
    /// The hosts outside the cluster that it names.
    pub hosts: Vec<String>,
    /// The hosts and services of what is copied that it would still name in the copy, with the field (a JSON pointer)
    /// in which it does.
    pub calls: Vec<(String, String)>,
}

fn unmarked(all: &[Unmarked]) -> String {
    let list = |calls: bool| {
        let some = all.iter().filter(|one| one.calls.is_empty() != calls);
        some.map(|one| format!("{} ({})", one.object, one.reason)).collect::<Vec<_>>().join(", ")
    };
    let (production, calls) = (list(false), list(true));
    let mut text = String::new();
    if !production.is_empty() {
        text = format!(
            "the stack does not say what a copy has in place of {production}: add an entry to spec.productionOnly of the \
             Stack for each"
        );
    }
    if !calls.is_empty() {
        let and = if text.is_empty() { "" } else { "; and " };
        text.push_str(&format!(
            "{and}the copy would call what it copies from {calls}: list these fields in `hosts` of a rule in \
             spec.copies.rules of the Stack, or keep the name by an entry of spec.productionOnly"
        ));
    }
    text
}
