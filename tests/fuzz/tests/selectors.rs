//! Selectors of labels and fields: what is read is printed so that it means the same.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;

use seaway_fuzz::{Bytes, fuzz};
use seaway_object::selector::{FieldSelector, LabelSelector};

const WORDS: &[&str] = &[
    "=",
    "==",
    "!=",
    "!",
    ",",
    "in",
    "notin",
    " in (",
    " notin (",
    "(",
    ")",
    ">",
    "<",
    " ",
    "a",
    "example.com/b",
    "x y",
    "\\",
    "\\,",
    "\\=",
    "1",
    "-1",
    "é",
    "metadata.name",
];

fn labels() -> Bytes {
    Bytes::texts(
        &["a=b,c!=d", "a in (b, c),d notin (e),f,!g", "n>1,n<5", "example.com/a==b", "", "a=", "a in ()"],
        WORDS,
    )
}

fuzz!(label_selector, labels(), |text: &Vec<u8>| {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Ok(selector) = text.parse::<LabelSelector>() else { return false };
    let printed = selector.to_string();
    assert_eq!(printed.parse::<LabelSelector>(), Ok(selector.clone()), "{printed:?}");
    for labels in [&[][..], &[("a", "b"), ("n", "3")], &[("c", "d"), ("example.com/a", "")]] {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let matched = selector.matches(|key| labels.get(key).copied());
        assert!(matched || !selector.is_everything());
    }
    true
});

fn fields() -> Bytes {
    Bytes::texts(&["metadata.name=a", "a=b,c!=d,e==f", "a=b\\,c,d=e\\=f\\\\", "", "a="], WORDS)
}

fuzz!(field_selector, fields(), |text: &Vec<u8>| {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Ok(selector) = text.parse::<FieldSelector>() else { return false };
    let printed = selector.to_string();
    assert_eq!(printed.parse::<FieldSelector>(), Ok(selector.clone()), "{printed:?}");
    let matched = selector.matches(|_| String::new());
    assert!(matched || !selector.is_everything());
    true
});
