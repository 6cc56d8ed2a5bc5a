//! Bodies in Kubernetes' protobuf form.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_fuzz::{Bytes, fuzz};

const WORDS: &[&str] = &[
    "k8s\0",
    "\n",
    "\u{12}",
    "\u{1a}",
    "\"",
    "\0",
    "\u{1}",
    "v1",
    "Pod",
    "apps/v1",
    "Deployment",
    "\u{7f}",
    "\u{80}",
    "\u{8}",
];

fn bodies() -> Bytes {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../cluster/protobuf/tests/bodies");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "bin")).collect();
    files.sort();
    Bytes {
        good: files.iter().map(|path| std::fs::read(path).unwrap()).collect(),
        words: WORDS,
        is_text: false,
    }
}

fuzz!(protobuf_body, bodies(), |body: &Vec<u8>| {
    let Ok(mut value) = seaway_protobuf::decode(body) else { return false };
    let printed = value.to_string();
    assert!(printed.len() <= 4096 + 64 * body.len(), "{} bytes of {}", printed.len(), body.len());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    seaway_protobuf::canonical(&mut value);
    let once = value.clone();
    seaway_protobuf::canonical(&mut value);
    assert_eq!(value, once, "canonical form of a canonical form");
    true
});
