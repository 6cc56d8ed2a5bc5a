//! Texts of objects, in both dialects: what is read can be printed and is read back as the same.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_fuzz::{Bytes, fuzz};
use seaway_object::yaml::{self, Dialect};
use seaway_object::{ReadOptions, read_documents, read_objects};

const WORDS: &[&str] = &[
    "- ",
    ": ",
    "? ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!!binary ",
    "!!float ",
    "!x ",
    "|\n",
    ">-\n",
    "|2+\n",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"",
    "'",
    "#",
    " #",
    "\\u0041",
    "\\",
    "0777",
    "0o7",
    "0x1F",
    "1_000",
    "1e3",
    ".inf",
    "-.nan",
    "~",
    "null",
    "yes",
    "on",
    "y",
    "=",
    "1:30",
    "2020-01-01",
    "1.0",
    "9223372036854775808",
    "\t",
    "\n",
    "\r\n",
    "  ",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "items:\n",
    "kind: List\n",
    "kind: x\n",
    "apiVersion: v1\n",
];

fn seeds() -> Bytes {
    let good = [
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  a: |\n    text\n  b: >-\n    more\n    text\n",
        "a: &x {b: [1, 2.5, yes], c: 'd'}\ne:\n  <<: *x\n  c: \"\\u00e9\"\n---\n- - x\n- ? k\n  : v\n",
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n",
        r#"{"apiVersion": "v1", "kind": "Secret", "data": {"a": "Yg==", "n": 1.5e3, "u": "\u00e9"}}"#,
        "a: !!binary aGk=\nb: !!int '7'\nc: 0o17\nd: 2001-12-14t21:59:43.10-05:00\n# end\n",
    ];
    Bytes::texts(&good, WORDS)
}

fn holds(text: &[u8], dialect: Dialect) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let options = ReadOptions::new(dialect);
    let Ok(documents) = read_documents(text, &options) else {
        assert!(read_objects(text, &options).is_err());
        return false;
    };
    for document in &documents {
        assert!(document.position.offset <= text.len());
        let printed = yaml::to_string(&document.value);
        let back = read_documents(&printed, &options).unwrap_or_else(|e| panic!("{e}\n{printed}"));
        // An empty or null document is none.
        let values: Vec<_> = back.iter().map(|d| &d.value).collect();
        assert_eq!(values, [&document.value], "{printed}");
    }
    let strict = ReadOptions { strict: true, ..options };
    if let Ok(objects) = read_objects(text, &strict) {
        assert!(objects.iter().all(|o| o.duplicates.is_empty()));
        let plain = read_objects(text, &options).unwrap();
        assert_eq!(plain.len(), objects.len());
    }
    true
}

fuzz!(yaml_as_kubernetes, seeds(), |text: &Vec<u8>| holds(text, Dialect::Kubernetes));
fuzz!(yaml_as_kustomize, seeds(), |text: &Vec<u8>| holds(text, Dialect::Kustomize));
