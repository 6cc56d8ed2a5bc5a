//! New inputs from good ones: texts and bytes edited anywhere, JSON values edited in their tree.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// Where a target's inputs come from.
pub trait Seeds {
    /// What the target takes.
    type Input: Clone + std::fmt::Debug;

    /// Inputs that are known to be good, tried as they are.
    fn good(&self) -> Vec<Self::Input>;

    /// Edited ones.
    fn inputs(&self) -> BoxedStrategy<Self::Input>;

    /// As a file holds it.
    fn to_bytes(&self, input: &Self::Input) -> Vec<u8>;

    /// From a file.
    fn of_bytes(&self, bytes: &[u8]) -> Option<Self::Input>;
}

/// Texts and other bytes.
pub struct Bytes {
    /// Good inputs.
    pub good: Vec<Vec<u8>>,
    /// Pieces that mean something to the parser.
    pub words: &'static [&'static str],
    /// Other bytes than the words' are ASCII: most of what is not would end at the check for UTF-8.
    pub is_text: bool,
}

impl Bytes {
    /// From texts.
    pub fn texts(good: &[&str], words: &'static [&'static str]) -> Self {
        Self { good: good.iter().map(|text| text.as_bytes().to_vec()).collect(), words, is_text: true }
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A piece once more, elsewhere.
    Copy(Index, usize, Index),
    /// A piece many times: depth, and length.
    Repeat(Index, usize, usize),
    /// The rest is that of another good input.
    Splice(Index, Index),
}

/// Inputs stay below this: what is wrong with longer ones is wrong with these.
const LONGEST: usize = 8 * 1024;

impl Edit {
    fn apply(&self, input: &mut Vec<u8>, good: &[Vec<u8>]) {
        let place = |at: &Index, len: usize| at.index(len + 1);
        let piece = |input: &[u8], at: &Index, length: usize| {
            let start = place(at, input.len());
            input[start..(start + length).min(input.len())].to_vec()
        };
        match self {
            Self::Set(at, byte) if !input.is_empty() => {
                let at = at.index(input.len());
                input[at] = *byte;
            }
            Self::Set(..) => {}
            Self::Insert(at, bytes) => {
                let at = place(at, input.len());
                input.splice(at..at, bytes.iter().copied());
            }
            Self::Remove(at, length) => {
                let start = place(at, input.len());
                input.drain(start..(start + length).min(input.len()));
            }
            Self::Copy(from, length, to) => {
                let copied = piece(input, from, *length);
                let at = place(to, input.len());
                input.splice(at..at, copied);
            }
            Self::Repeat(from, length, times) => {
                let repeated = piece(input, from, *length).repeat(*times);
                let at = place(from, input.len());
                input.splice(at..at, repeated);
            }
            Self::Splice(which, at) => {
                let other = &good[which.index(good.len())];
                let cut = place(at, input.len().min(other.len()));
                input.truncate(cut);
                input.extend_from_slice(&other[cut..]);
            }
        }
        input.truncate(LONGEST);
    }
}

fn edits(words: &'static [&'static str], is_text: bool) -> impl Strategy<Value = Vec<Edit>> {
    let byte = move || if is_text { (0..128_u8).boxed() } else { any::<u8>().boxed() };
    let at = any::<Index>;
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let word = if words.is_empty() { vec(byte(), 1..4).boxed() } else { select(words).boxed() };
    let edit = prop_oneof![
        2 => (at(), byte()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        1 => (at(), vec(byte(), 1..4)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        5 => (at(), word).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (at(), 1..20_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        2 => (at(), 1..40_usize, at()).prop_map(|(from, length, to)| Edit::Copy(from, length, to)),
        1 => (at(), 1..6_usize, 2..400_usize).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        1 => (at(), at()).prop_map(|(which, at)| Edit::Splice(which, at)),
    ];
    vec(edit, 0..7)
}

impl Seeds for Bytes {
    type Input = Vec<u8>;

    fn good(&self) -> Vec<Vec<u8>> {
        self.good.clone()
    }

    fn inputs(&self) -> BoxedStrategy<Vec<u8>> {
        let good = self.good.clone();
        (any::<Index>(), edits(self.words, self.is_text))
            .prop_map(move |(which, edits)| {
                let mut input = good[which.index(good.len())].clone();
                edits.iter().for_each(|edit| edit.apply(&mut input, &good));
                input
            })
            .boxed()
    }

    fn to_bytes(&self, input: &Vec<u8>) -> Vec<u8> {
        input.clone()
    }

    fn of_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        Some(bytes.to_vec())
    }
}

/// JSON values.
pub struct Json {
    /// Good inputs.
    pub good: Vec<Value>,
    /// Values that mean something to the target; texts among them are also tried as keys.
    pub words: Vec<Value>,
}

#[derive(Clone, Debug)]
enum TreeEdit {
    /// A place becomes this.
    Set(Index, Value),
    /// A place becomes what another one is.
    Copy(Index, Index),
    Remove(Index),
    /// A place gets one more member.
    Add(Index, String, Value),
    /// A place gets what another one is as a member.
    Graft(Index, String, Index),
    /// An element is there twice.
    Double(Index),
    /// An object's member is called otherwise.
    Rename(Index, String),
    /// A place lies so much deeper.
    Wrap(Index, String, usize),
}

/// Pointers to all places of a value, parents first.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                places(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                places(value, &format!("{at}/{index}"), out);
            }
        }
        _ => {}
    }
}

fn add(place: &mut Value, key: &str, value: Value) {
    match place {
        Value::Object(map) => drop(map.insert(key.to_owned(), value)),
        Value::Array(list) => list.push(value),
        place => *place = Value::Object([(key.to_owned(), value)].into_iter().collect()),
    }
}

impl TreeEdit {
    fn apply(&self, value: &mut Value) {
        let mut all = vec![];
        places(value, "", &mut all);
        let pointer = |at: &Index| all[at.index(all.len())].clone();
        let read = |value: &Value, at: &Index| value.pointer(&pointer(at)).cloned().unwrap_or_default();
        match self {
            Self::Set(at, to) => with(value, &pointer(at), |place| *place = to.clone()),
            Self::Copy(from, to) => {
                let copied = read(value, from);
                with(value, &pointer(to), |place| *place = copied);
            }
            Self::Add(at, key, member) => with(value, &pointer(at), |place| add(place, key, member.clone())),
            Self::Graft(at, key, from) => {
                let copied = read(value, from);
                with(value, &pointer(at), |place| add(place, key, copied));
            }
            Self::Remove(at) | Self::Double(at) | Self::Rename(at, _) => {
                let pointer = pointer(at);
                let Some((parent, last)) = pointer.rsplit_once('/') else { return };
                let last = last.replace("~1", "/").replace("~0", "~");
                match (value.pointer_mut(parent), self) {
                    (Some(Value::Object(map)), Self::Rename(_, to)) => {
                        if let Some(member) = map.remove(&last) {
                            map.insert(to.clone(), member);
                        }
                    }
                    (Some(Value::Object(map)), Self::Remove(_)) => drop(map.remove(&last)),
                    (Some(Value::Array(list)), edit) => {
                        let Ok(index) = last.parse::<usize>() else { return };
                        match edit {
                            Self::Remove(_) => drop(list.remove(index)),
                            _ => list.push(list[index].clone()),
                        }
                    }
                    _ => {}
                }
            }
            Self::Wrap(at, key, times) => with(value, &pointer(at), |place| {
                let inner = std::mem::take(place);
                let wrap = |inner, _| Value::Object([(key.clone(), inner)].into_iter().collect());
                *place = (0..*times).fold(inner, wrap);
            }),
        }
    }
}

fn with(value: &mut Value, pointer: &str, change: impl FnOnce(&mut Value)) {
    if let Some(place) = value.pointer_mut(pointer) {
        change(place);
    }
}

impl Json {
    fn edits(&self) -> impl Strategy<Value = Vec<TreeEdit>> + use<> {
        let at = any::<Index>;
        let mut values: Vec<Value> = vec![
            Value::Null,
            true.into(),
            0.into(),
            (-1).into(),
            1.5.into(),
            u64::MAX.into(),
            i64::MIN.into(),
            "".into(),
            "é\u{0}\u{1f680}".into(),
            Value::Array(vec![]),
            Value::Object(serde_json::Map::new()),
        ];
        values.extend(self.words.iter().cloned());
        let mut keys: Vec<String> = ["", "a", "name", "~0/~1"].iter().map(|k| (*k).to_owned()).collect();
        keys.extend(self.words.iter().filter_map(|word| word.as_str().map(str::to_owned)));
        let (value, key) = (select(values), select(keys));
        let edit = prop_oneof![
            3 => (at(), value.clone()).prop_map(|(at, to)| TreeEdit::Set(at, to)),
            2 => (at(), at()).prop_map(|(from, to)| TreeEdit::Copy(from, to)),
            2 => at().prop_map(TreeEdit::Remove),
            3 => (at(), key.clone(), value).prop_map(|(at, key, value)| TreeEdit::Add(at, key, value)),
            2 => (at(), key.clone(), at()).prop_map(|(at, key, from)| TreeEdit::Graft(at, key, from)),
            2 => at().prop_map(TreeEdit::Double),
            2 => (at(), key.clone()).prop_map(|(at, key)| TreeEdit::Rename(at, key)),
            1 => (at(), key, 1..100_usize).prop_map(|(at, key, times)| TreeEdit::Wrap(at, key, times)),
        ];
        vec(edit, 0..8)
    }
}

/// What a JSON reader takes: deeper values never reach the targets.
fn readable(value: &Value) -> bool {
    serde_json::from_slice::<Value>(value.to_string().as_bytes()).is_ok()
}

impl Seeds for Json {
    type Input = Value;

    fn good(&self) -> Vec<Value> {
        self.good.clone()
    }

    fn inputs(&self) -> BoxedStrategy<Value> {
        let good = self.good.clone();
        (any::<Index>(), self.edits())
            .prop_map(move |(which, edits)| {
                let mut value = good[which.index(good.len())].clone();
                for edit in &edits {
                    let before = value.clone();
                    edit.apply(&mut value);
                    if !readable(&value) {
                        value = before;
                    }
                }
                value
            })
            .boxed()
    }

    fn to_bytes(&self, input: &Value) -> Vec<u8> {
        format!("{input:#}\n").into_bytes()
    }

    fn of_bytes(&self, bytes: &[u8]) -> Option<Value> {
        serde_json::from_slice(bytes).ok()
    }
}
