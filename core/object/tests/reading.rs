//! Reading files of objects: what is accepted, what is refused, and where errors point.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_object::yaml::{self, Dialect, Limits};
use seaway_object::{Document, Error, ReadOptions, read_documents, read_objects};
use serde_json::{Value, json};

fn read(text: &str) -> Result<Vec<Document>, Error> {
    read_objects(text, &ReadOptions::new(Dialect::Kubernetes))
}

fn value(text: &str, dialect: Dialect) -> Result<Value, Error> {
    let documents = yaml::parse(text, &Limits::default())?;
    yaml::resolve(&documents[0], dialect)
}

fn place(error: &Error) -> (usize, usize) {
    let position = error.position().unwrap();
    (position.line, position.column)
}

fn names(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| seaway_object::identity::name(&document.value)).collect()
}

#[test]
fn empty_documents_and_comments_are_skipped() {
    let text = "# nothing\n---\n---\n# still nothing\n---\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\nnull\n---\n";
    assert_eq!(names(&read(text).unwrap()), ["a"]);
    assert!(read("").unwrap().is_empty());
    assert!(read("\u{feff}# only a comment").unwrap().is_empty());
}

#[test]
fn lists_are_flattened_also_in_lists_and_items_take_the_type_of_their_list() {
    let text = r"
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- apiVersion: apps/v1
  kind: DeploymentList
  items:
  - metadata: {name: b}
---
apiVersion: example.com/v1
kind: AllowList
metadata: {name: c}
";
    let documents = read(text).unwrap();
    assert_eq!(names(&documents), ["a", "b", "c"]);
    assert_eq!(documents[1].value["kind"], "Deployment");
    assert_eq!(documents[1].value["apiVersion"], "apps/v1");
    assert_eq!(documents[1].position.line, 9);
    assert_eq!(documents[1].source_map.position("/metadata/name").line, 9);

    let as_they_are = ReadOptions { flatten_lists: false, ..ReadOptions::new(Dialect::Kubernetes) };
    assert_eq!(read_objects(text, &as_they_are).unwrap().len(), 2);
}

#[test]
fn what_is_no_object_is_refused_with_its_place() {
    for (text, message) in [
        ("a: b\n", "no apiVersion"),
        ("apiVersion: v1\nkind: ''\n", "no kind"),
        ("apiVersion: 1\nkind: A\n", "apiVersion must be text"),
        ("- a\n", "is a map"),
        ("text\n", "is a map"),
        ("[1]", "is a map"),
        ("apiVersion: v1\nkind: List\nitems: [3]\n", "is a map"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.to_string().contains(message), "{text}: {error}");
    }
    let error = read("apiVersion: v1\nkind: A\n---\nkind: B\nmetadata: {}\n").unwrap_err();
    assert_eq!(place(&error), (4, 1));
}

#[test]
fn json_is_read_as_json_also_with_tabs_and_one_object_behind_the_other() {
    let text = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"A\", \"metadata\": {\"name\": \"a\"}, \"n\": 1.0}\n\
                \u{20} {\"apiVersion\": \"v1\", \"kind\": \"B\", \"metadata\": {\"name\": \"b\"}}";
    let documents = read(text).unwrap();
    assert_eq!(names(&documents), ["a", "b"]);
    assert_eq!(documents[0].value["n"], json!(1));
    let position = documents[1].position;
    assert_eq!((position.line, position.column), (4, 3));
    assert!(text[position.offset..].starts_with("{\"apiVersion\": \"v1\", \"kind\": \"B\""));
}

#[test]
fn flow_style_yaml_is_not_taken_for_broken_json() {
    let documents = read("{apiVersion: v1, kind: A, metadata: {name: a}, on: yes}").unwrap();
    assert_eq!(documents[0].value["true"], json!(true));
}

#[test]
fn syntax_errors_have_line_and_column() {
    let error = read("{\n \"apiVersion\": \"v1\",\n \"kind\" \"A\"\n}").unwrap_err();
    assert!(error.to_string().starts_with("line 3, column 9: not valid JSON: expected `:`"), "{error}");
    let error = read("apiVersion: v1\nkind: A\nmetadata:\n  name: a: b\n").unwrap_err();
    assert_eq!(error.position().unwrap().line, 4, "{error}");
    let error = read("apiVersion: v1\nkind: [A\n").unwrap_err();
    assert!(error.to_string().contains("not valid YAML"), "{error}");
}

#[test]
fn a_duplicate_key_is_kept_in_mind_refused_when_strict_and_always_refused_by_kustomize() {
    for text in [
        "apiVersion: v1\nkind: A\nspec:\n  a: 1\n  a: 2\n",
        "{\"apiVersion\": \"v1\", \"kind\": \"A\",\n \"spec\": {\n  \"a\": 1,\n  \"a\": 2}}",
    ] {
        let documents = read(text).unwrap();
        assert_eq!(documents[0].value["spec"], json!({"a": 2}));
        let [duplicate] = documents[0].duplicates.as_slice() else { panic!("{text}") };
        assert_eq!((duplicate.path.as_str(), duplicate.second.line), ("/spec/a", duplicate.first.line + 1));

        let kubernetes = ReadOptions { strict: true, ..ReadOptions::new(Dialect::Kubernetes) };
        for options in [kubernetes, ReadOptions::new(Dialect::Kustomize)] {
            let error = read_objects(text, &options).unwrap_err();
            assert!(matches!(error, Error::DuplicateKey { .. }), "{error}");
            assert_eq!(place(&error), (duplicate.second.line, 3));
        }
    }
}

#[test]
fn keys_are_text_for_kubernetes_and_must_be_text_for_kustomize() {
    let text = "{1: a, 1.5: b, yes: c, 1e10: d, 0x10: e, 2020-01-01: f}";
    assert_eq!(
        value(text, Dialect::Kubernetes).unwrap(),
        json!({"1": "a", "1.5": "b", "true": "c", "1e+10": "d", "16": "e", "2020-01-01": "f"})
    );
    assert!(matches!(value(text, Dialect::Kustomize), Err(Error::Key { .. })));
    for text in ["~: a", "[a]: b", "{a: b}: c"] {
        for dialect in [Dialect::Kubernetes, Dialect::Kustomize] {
            assert!(matches!(value(text, dialect), Err(Error::Key { .. })), "{text}");
        }
    }
}

/// Each of them is an error for kubectl 1.37 as well.
#[test]
fn what_has_no_json_value_is_refused() {
    for text in
        [".nan", "-.inf", "!!int 3.0", "!!binary 'no!'", "!!bool 3", "{<<: 3}", "{<<: [3]}", "!!null x"]
    {
        for dialect in [Dialect::Kubernetes, Dialect::Kustomize] {
            assert!(value(&format!("a: {text}\n"), dialect).is_err(), "{text}");
        }
    }
    assert!(value("a: !!bool yes\n", Dialect::Kustomize).is_err());
    assert!(value("x: &a {b: 1}\ny: {<<: *a, <<: *a}\n", Dialect::Kustomize).is_err());
}

/// kustomize prints a resource and reads it again before it uses it, and this is what it loses on the way.
#[test]
fn an_absent_value_in_a_flow_collection_is_empty_text_for_kustomize_alone() {
    for text in ["a: {b: }", "a: &x {b: }", "a: !y {b: }", "a: &x !y\n  {b}", "{a: {b: }}"] {
        assert_eq!(value(text, Dialect::Kustomize).unwrap(), json!({"a": {"b": ""}}), "{text}");
        assert_eq!(value(text, Dialect::Kubernetes).unwrap(), json!({"a": {"b": null}}), "{text}");
    }
    for text in ["a:\n  b:\n", "a: {b: ~}", "a: &x\n  b:\n"] {
        assert_eq!(value(text, Dialect::Kustomize).unwrap(), json!({"a": {"b": null}}), "{text}");
    }
}

#[test]
fn integers_beyond_64_bits_are_floats_and_up_to_there_exact() {
    for (text, expected) in [
        ("18446744073709551615", json!(u64::MAX)),
        ("9223372036854775808", json!(9_223_372_036_854_775_808_u64)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ("-9223372036854775809", json!(-9_223_372_036_854_775_808.0)),
    ] {
        for dialect in [Dialect::Kubernetes, Dialect::Kustomize] {
            assert_eq!(value(text, dialect).unwrap(), expected);
        }
    }
}

/// Expanding any of these would take minutes or all memory.
#[test]
fn an_alias_bomb_is_refused_before_it_is_expanded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 1000].join(", "));
    let deep = (1..20).fold("a0: &a0 [[[[[[[[[[x]]]]]]]]]]\n".to_owned(), |text, level| {
        format!("{text}a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]\n", level - 1)
    });
    for text in [bomb, long, deep] {
        let error = read_documents(&text, &ReadOptions::new(Dialect::Kubernetes)).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
}

#[test]
fn size_depth_and_self_reference_are_limited() {
    let limits = Limits { bytes: 100, nodes: 10, ..Limits::default() };
    let options = ReadOptions { limits, ..ReadOptions::new(Dialect::Kubernetes) };
    for text in ["x".repeat(101), "[1,2,3,4,5,6,7,8,9,10,11]".to_owned(), "- 1\n".repeat(11)] {
        assert!(matches!(read_documents(&text, &options), Err(Error::TooLarge { .. })), "{text}");
    }
    for text in
        ["[".repeat(200) + &"]".repeat(200), "- ".repeat(200) + "a", "{a: ".repeat(200) + &"}".repeat(200)]
    {
        let error = read_documents(&text, &ReadOptions::new(Dialect::Kubernetes)).unwrap_err();
        assert!(matches!(error, Error::TooLarge { what: "levels of nesting", .. }), "{error}");
    }
    assert!(matches!(value("a: &a [*a]\n", Dialect::Kubernetes), Err(Error::RecursiveAlias { .. })));
    assert!(matches!(value("a: *b\n", Dialect::Kubernetes), Err(Error::Syntax { .. })));
}

#[test]
fn a_pointer_leads_back_to_the_line_also_through_aliases_merges_and_odd_keys() {
    let text = "\
base: &base
  image: wéb
  on: 1
é: {<<: *base, own: [a, &b bé]}
'a/b~c': *base
";
    let documents = yaml::parse(text, &Limits::default()).unwrap();
    let resolved = yaml::resolve_document(&documents[0], Dialect::Kubernetes).unwrap();
    let at = |pointer: &str| {
        let position = resolved.source_map.position(pointer);
        (position.line, position.column)
    };
    assert_eq!(at("/base/image"), (2, 3));
    assert_eq!(at("/base/true"), (3, 3));
    assert_eq!(at("/é/image"), (2, 3));
    assert_eq!(at("/é/own/1"), (4, 28));
    assert_eq!(at("/a~1b~0c/image"), (2, 3));
    assert_eq!(at("/a~1b~0c"), (5, 1));
    assert_eq!(at("/base/absent/further"), (1, 1));

    let text_of = |pointer: &str| {
        let span = resolved.source_map.value_span(pointer).unwrap();
        &text[span.start.offset..span.end.offset]
    };
    assert_eq!(text_of("/base/image"), "wéb");
    assert_eq!(text_of("/é/own/1"), "bé");
    assert_eq!(text_of("/é/own/0"), "a");
    assert!(resolved.source_map.value_span("/base/absent").is_none());
}

/// The parser underneath is stricter than kubectl here; what is rewritten for it must not move anything.
#[test]
fn positions_stay_right_behind_tabs_and_unindented_flow_lines() {
    for line_break in ["\n", "\r\n"] {
        let text = ["é:\tx", "a: [", "1,", "  2, {b: 3,", "c: 4}", "]", "d: {e:\t- f"].join(line_break);
        let error = yaml::parse(&text, &Limits::default()).unwrap_err();
        assert_eq!(error.position().unwrap().line, 7, "{error}");

        let text = text.replace("{e:\t- f", "e");
        let documents = yaml::parse(&text, &Limits::default()).unwrap();
        let resolved = yaml::resolve_document(&documents[0], Dialect::Kubernetes).unwrap();
        assert_eq!(resolved.value, json!({"é": "x", "a": [1, 2, {"b": 3, "c": 4}], "d": "e"}));
        for (pointer, line, column, written) in [
            ("/é", 1, 1, "x"),
            ("/a/0", 3, 1, "1"),
            ("/a/1", 4, 3, "2"),
            ("/a/2/b", 4, 7, "3"),
            ("/a/2/c", 5, 1, "4"),
            ("/d", 7, 1, "e"),
        ] {
            let position = resolved.source_map.position(pointer);
            assert_eq!((position.line, position.column), (line, column), "{pointer}");
            let span = resolved.source_map.value_span(pointer).unwrap();
            assert_eq!(&text[span.start.offset..span.end.offset], written);
        }
    }
    assert!(
        yaml::parse("a: [\n1, # comment\n2]\n", &Limits::default()).is_err(),
        "a comment cannot be joined"
    );
}
