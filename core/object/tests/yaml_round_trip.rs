//! What is printed is read back as the same value, in both dialects, and no text makes the parser panic.
#![allow(clippy::unwrap_used, missing_docs)]

use proptest::prelude::*;
use seaway_object::yaml::{self, Dialect, Limits};
use seaway_object::{ReadOptions, read_documents};
use serde_json::{Map, Value};

/// Text that tempts: words with a meaning, numbers, indicators, white space, control and foreign characters.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("yes".to_owned()),
        Just("on".to_owned()),
        Just("y".to_owned()),
        Just("null".to_owned()),
        Just("~".to_owned()),
        Just("<<".to_owned()),
        Just("0777".to_owned()),
        Just("0o7".to_owned()),
        Just("1_000".to_owned()),
        Just(".inf".to_owned()),
        Just("1e3".to_owned()),
        Just("2020-01-01".to_owned()),
        Just("1:30".to_owned()),
        Just("---".to_owned()),
        Just("...".to_owned()),
        Just("- ".to_owned()),
        Just(": ".to_owned()),
        Just(" #".to_owned()),
        Just("? ".to_owned()),
        Just("\n".to_owned()),
        Just(" ".to_owned()),
        Just("  ".to_owned()),
        Just("\t".to_owned()),
        Just("\r\n".to_owned()),
        "[a-z]{1,90}",
        "[\\[\\]{},&*!|>'\"%@`#:?-]",
        "[a-z0-9 ]{0,120}",
        any::<char>().prop_map(String::from),
    ];
    prop_oneof![prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat()), any::<String>(),]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Whole floats are integers in Kubernetes' JSON, so they do not exist as values.
        any::<f64>().prop_filter("fraction", |f| f.is_finite() && f.fract() != 0.0).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printed_values_are_read_back_unchanged(value in value()) {
        let printed = yaml::to_string(&value);
        let documents = yaml::parse(&printed, &Limits::default())
            .map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
        prop_assert_eq!(documents.len(), 1, "{}", printed);
        for dialect in [Dialect::Kubernetes, Dialect::Kustomize] {
            let back = yaml::resolve(&documents[0], dialect)
                .map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
            prop_assert_eq!(&back, &value, "{:?}\n{}", dialect, printed);
        }
    }

    #[test]
    fn no_text_panics(text in prop_oneof![
        any::<String>(),
        text(),
        "([-?:,\\[\\]{}#&*!|>'\"%@` \n\ta-c0-9]|<<|---|- |: ){0,60}",
    ]) {
        for dialect in [Dialect::Kubernetes, Dialect::Kustomize] {
            if let Ok(documents) = read_documents(&text, &ReadOptions::new(dialect)) {
                for document in documents {
                    prop_assert!(document.position.offset <= text.len());
                    yaml::to_string(&document.value);
                    document.source_map.position("/a/0/b");
                }
            }
        }
    }
}
