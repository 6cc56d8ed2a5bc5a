#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::JqPath;

fn found(text: &str, document: &Value) -> Vec<String> {
    let found = JqPath::parse(text).unwrap().find(document).unwrap();
    found.iter().map(|way| way.join("/")).collect()
}

fn deployment() -> Value {
    json!({
        "metadata": {"annotations": {"example.com/x": "1", "other": "2"}, "labels": {}},
        "spec": {"replicas": 2, "containers": [
            {"name": "web", "image": "a:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "sidecar", "image": "b:1", "resources": null},
        ]},
    })
}

#[test]
fn fields_elements_and_choices_are_found() {
    for (text, wanted) in [
        (".spec.containers[0].image", vec!["spec/containers/0/image"]),
        (".spec.containers[-1].image", vec!["spec/containers/1/image"]),
        (".spec.containers[].image", vec!["spec/containers/0/image", "spec/containers/1/image"]),
        (".spec.containers.[].image", vec!["spec/containers/0/image", "spec/containers/1/image"]),
        (r#".spec.containers[] | select(.name == "sidecar")"#, vec!["spec/containers/1"]),
        (r#".spec.containers[]|select(.name!="sidecar")|.image"#, vec!["spec/containers/0/image"]),
        (
            r#".spec.containers[] | select(.name == "web") | .env[]? | select(.name == "B") | .value"#,
            vec!["spec/containers/0/env/1/value"],
        ),
        (r#".spec.containers[] | select(.name == "web").env"#, vec!["spec/containers/0/env"]),
        (r#".metadata.annotations["example.com/x"]"#, vec!["metadata/annotations/example.com/x"]),
        (r#".metadata.annotations."example.com/x""#, vec!["metadata/annotations/example.com/x"]),
        (r#".["metadata"]["labels"]"#, vec!["metadata/labels"]),
        (r#".spec.containers[] | select(.env == null)"#, vec!["spec/containers/1"]),
        (".spec.absent[].x", vec![]),
        (".spec.containers[7]", vec![]),
        (".spec.replicas.x", vec![]),
        (".spec.containers[1].resources", vec!["spec/containers/1/resources"]),
    ] {
        assert_eq!(found(text, &deployment()), wanted, "{text}");
    }
}

#[test]
fn what_people_write_for_argo_cd_is_found() {
    for (text, wanted) in [
        (".spec.replicas, .metadata.labels", vec!["metadata/labels", "spec/replicas"]),
        (
            r#".spec.containers[] | select(.name == "web" and .image == "a:1") | .image"#,
            vec!["spec/containers/0/image"],
        ),
        (
            r#".spec.containers[] | select(.name == "x" or .name == "sidecar").image"#,
            vec!["spec/containers/1/image"],
        ),
        (r#".spec.containers[] | select(.name | test("^side"))"#, vec!["spec/containers/1"]),
        (r#".spec.containers[] | select(.name | test("^SIDE"; "i"))"#, vec!["spec/containers/1"]),
        (
            r#".spec.containers[] | select(.image | startswith("a:") or endswith(":9"))"#,
            vec!["spec/containers/0"],
        ),
        (r#".spec.containers[] | select(has("env"))"#, vec!["spec/containers/0"]),
        (r#".spec.containers[] | select(has("env") | not)"#, vec!["spec/containers/1"]),
        (r#".spec.containers[] | select(.name | contains("eb"))"#, vec!["spec/containers/0"]),
        (r#".spec.containers[] | select(.env | length > 1)"#, vec!["spec/containers/0"]),
        (r#".spec.containers[] | select(any(.env[]?; .name == "B"))"#, vec!["spec/containers/0"]),
        (r#".spec.containers[] | select([.env[]?.name] | contains(["A", "B"]))"#, vec!["spec/containers/0"]),
        (r#".spec.containers[] | select(.env? | map(.name) | all(. != "A"))"#, vec!["spec/containers/1"]),
        (r#".spec.containers[] | select(.name | IN("sidecar", "proxy"))"#, vec!["spec/containers/1"]),
        (r#".spec.containers[] | select(.name | ascii_upcase == "WEB")"#, vec!["spec/containers/0"]),
        (
            r#".spec.containers[] | select((.image | type) == "string" and .name > "t")"#,
            vec!["spec/containers/0"],
        ),
        ("(.spec.absent // empty)", vec![]),
        (".spec.absent // .spec.replicas", vec!["spec/replicas"]),
        (r#".spec.absent?//.spec.replicas"#, vec!["spec/replicas"]),
        (".. | .image?", vec!["spec/containers/0/image", "spec/containers/1/image"]),
        (r#".. | objects | select(.name == "A") | .value"#, vec!["spec/containers/0/env/0/value"]),
        (r#".. | select(. == "b:1")?"#, vec!["spec/containers/1/image"]),
        ("recurse | .resources?", vec!["spec/containers/1/resources"]),
        (".spec.containers | first, last", vec!["spec/containers/0", "spec/containers/1"]),
        ("if .spec.replicas > 1 then .spec.replicas else .metadata end", vec!["spec/replicas"]),
        (
            r#"if .kind == "x" then .spec elif .spec.replicas == 2 then .metadata.labels else empty end"#,
            vec!["metadata/labels"],
        ),
        (r#"select(.spec.replicas == 2) | .spec.replicas"#, vec!["spec/replicas"]),
        (
            r#".metadata.annotations | (.["example.com/x"], .other)"#,
            vec!["metadata/annotations/example.com/x", "metadata/annotations/other"],
        ),
        (".metadata.annotations[.kind // \"other\"]", vec!["metadata/annotations/other"]),
        (".metadata.annotations[(\"oth\", \"other\")]", vec!["metadata/annotations/other"]),
        (".spec.replicas, .spec.replicas", vec!["spec/replicas"]),
    ] {
        assert_eq!(found(text, &deployment()), wanted, "{text}");
    }
    let webhooks = json!({"webhooks": [{"clientConfig": {"caBundle": "x"}}, {"clientConfig": {}}, {}]});
    assert_eq!(found(".webhooks[]?.clientConfig.caBundle", &webhooks), ["webhooks/0/clientConfig/caBundle"]);
    assert_eq!(found(".webhooks[]?.clientConfig.caBundle", &json!({})), Vec::<String>::new());
    let many: Vec<Value> = (0..12).map(|index| json!({"n": index})).collect();
    let in_order: Vec<String> = (0..12).map(|index| format!("l/{index}/n")).collect();
    assert_eq!(found(".l[].n", &json!({"l": many})), in_order, "indexes are numbers");
}

#[test]
fn values_compare_as_in_jq() {
    for (condition, holds) in [
        ("null < false and false < true and true < 0 and 0 < \"\" and \"\" < []", true),
        ("1 == 1.0 and -1 < 0 and 2e3 == 2000", true),
        ("[1, 2] < [1, 3] and [1] < [1, 0]", true),
        (r#""a" < "b" and "B" < "a""#, true),
        ("null or false", false),
        ("null // 1 == 1", true),
        ("(empty, 1) == 1", true),
        ("[.[]?] == [2]", true),
        (r#"(.a | tostring) == "2" and ("2" | tonumber) == .a"#, true),
        (r#"("abc" | ltrimstr("a") | rtrimstr("c")) == "b""#, true),
        ("keys == [\"a\"] and length == 1 and (\"ä\" | length) == 1", true),
        (r#"("foobar" | inside("xfoobarx")) and (["a"] | inside(["a", "b"]))"#, true),
        ("([] | any) or ([] | all | not)", false),
        ("([false, null] | any) or ([1, null] | all)", false),
        ("[..] | length == 2", true),
        ("\"\\u00e4\\\"\" == \"ä\\\"\"", true),
    ] {
        let paths = found(&format!("select({condition}) | .a"), &json!({"a": 2}));
        assert_eq!(paths.is_empty(), !holds, "{condition}");
    }
}

#[test]
fn what_is_not_understood_is_named_with_its_place() {
    for (text, part) in [
        ("", "column 1: its end is not understood"),
        (".", "names no field"),
        ("spec", "column 1: spec is refused: the functions are select"),
        (".a[", "column 4: its end"),
        (".a | map(.b)", "column 6: map makes a new value"),
        (".a | length", "column 6: length makes a new value"),
        ("\"x\"", "\"x\" makes a new value"),
        (".a == 1", "a comparison makes a new value"),
        (".a[] | select(.b == )", "column 21: ) is not understood"),
        (".a[] | select(.b == {})", "column 21: objects are refused"),
        (".a as $x | .b", "column 4: as is refused: there are no variables"),
        ("$x", "variables are refused"),
        (".a | @base64", "formats are refused"),
        (".a = 1", "assignments are refused"),
        (".a |= .b", "assignments are refused"),
        (".a[1:2]", "column 5: slices are refused"),
        (".a | select(.b + 1 == 2)", "column 16: arithmetic is refused"),
        ("def f: .a; f", "column 1: def is refused"),
        ("reduce .[] as $x (0; .)", "reduce is refused"),
        ("foreach .[] as $x (0; .)", "foreach is refused"),
        ("label $x | .a", "label is refused"),
        ("try .a", "try is refused: write ? instead"),
        (".a | range(10)", "range is refused"),
        (".a | until(.b; .c)", "until is refused"),
        ("while(.b; .c)", "while is refused"),
        ("repeat(.a)", "repeat is refused"),
        ("recurse(.a)", "recurse with 1 arguments is refused"),
        ("limit(1; .a)", "limit is refused"),
        ("env.HOME", "env is refused"),
        ("input", "input is refused"),
        (".a | select(test(.b))", "the pattern of test is a text"),
        (".a | select(test(\"[\"))", "column 13: error parsing regexp"),
        (".a | select(test(\"a\"; \"x\"))", "the flag x of test is refused"),
        (".a | to_entries", "to_entries is refused"),
        (".a | select(.b == \"\\(.c)\")", "texts with \\(…)"),
        (r#".a."b"#, "a text has no end"),
        ("if .a then .b", "its end is not understood"),
        (&"é".repeat(600), "at most 1024"),
        (".é", "column 2: \"é\" is not understood"),
        ("é.a", "column 1"),
    ] {
        let problem = JqPath::parse(text).unwrap_err();
        assert!(problem.contains(part), "{text}: {problem}");
    }
}

#[test]
fn deep_expressions_are_refused_before_they_run() {
    for text in [
        format!("{}.a{}", "(".repeat(400), ")".repeat(400)),
        format!(".a{}", "[.a".repeat(200)),
        format!("{}.a", "select(".repeat(100)),
        format!("{}.a", "if .a then ".repeat(80)),
        format!(".a{}", ".a".repeat(400)),
        format!(".a{}", "//.a".repeat(200)),
        format!("{}.a", "[".repeat(1000)),
    ] {
        let problem = JqPath::parse(&text).unwrap_err();
        assert!(problem.contains("at most 32 levels"), "{problem}");
    }
}

#[test]
fn what_would_take_for_ever_ends_with_an_error() {
    let items: Vec<Value> =
        (0..5000).map(|index| json!({"name": format!("n{index}"), "list": [1, 2, 3]})).collect();
    let document = json!({"items": items, "text": "a".repeat(1 << 20)});
    for text in [
        ".. | .. | .. | ..",
        "..,..,..,..,..,..,..,..",
        ".items[] | select([.. , .. | ..] == []) | select(false)",
        "select([..|..|..] == []) | .items",
        ".items[], .items[], .items[]",
        ".items | select(any(.[]; [.. | ..] | length > 1000000))",
        r#"select([.items[].name] | contains([..])) | .items"#,
        r#".items[] | select(("x", "y", "z") == ("a", "b", "c")) | .list[], .list[], .list[]"#,
        r#"select(.items | map(map(map(.))) == .) | .items[] | ."#,
    ] {
        match JqPath::parse(text).unwrap().find(&document) {
            Ok(found) => assert!(found.len() <= super::MOST, "{text}"),
            Err(error) => assert!(error.to_string().contains(text), "{error}"),
        }
    }
    let endless = JqPath::parse(".. | .. | .. | ..").unwrap().find(&document).unwrap_err();
    assert!(endless.to_string().contains(".. | .. | .. | .. takes too long"), "{endless}");
    let texts = r#".items[] | select(.name != "x") | select(("x", "y") | test("a*b")) | .list"#;
    assert!(JqPath::parse(texts).unwrap().find(&document).is_ok());
}

const WORDS: &[&str] = &[
    ".",
    "..",
    ".a",
    ".b",
    "[",
    "]",
    "[]",
    "[0]",
    "[-1]",
    "(",
    ")",
    "|",
    ",",
    "//",
    "?",
    "==",
    "<",
    "\"x\"",
    "\"",
    "\\",
    "1",
    "-",
    "1e9",
    "null",
    "select(",
    "has(",
    "test(",
    "any",
    "all(",
    "if ",
    " then ",
    " else ",
    " elif ",
    " end",
    " and ",
    " or ",
    "not",
    "map(",
    "contains(",
    "IN(",
    ";",
    "first",
    "last",
    "recurse",
    "empty",
    "é",
    "$x",
    " as ",
    "def f: ",
    "length",
    "tonumber",
    "keys",
    "{",
    "}",
    ":",
    "@",
    "#",
];

proptest! {
    /// Whatever is written: it is refused with a place, or found within a bound, and then it is there.
    #[test]
    fn any_expression_is_refused_or_finds_what_is_there(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..24),
    ) {
        let document = json!({"a": [{"b": "x", "a": 1}, null, [1.5, -1]], "b": {"a": {"é": "x"}}});
        let text = words.concat();
        match JqPath::parse(&text) {
            Err(problem) => prop_assert!(problem.contains("column"), "{problem}"),
            Ok(path) => {
                for way in path.find(&document).into_iter().flatten() {
                    let pointer: String = way.iter().map(|part| format!("/{part}")).collect();
                    prop_assert!(!way.is_empty() && document.pointer(&pointer).is_some(), "{text}: {pointer}");
                }
            }
        }
    }
}
