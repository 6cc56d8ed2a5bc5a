use seaway_fuzz::{Bytes, fuzz};

use super::*;

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "\\",
    "null",
    "true",
    "1e999",
    "-0",
    "1.0",
    "18446744073709551616",
    "{\"a\":",
    "\"a\":1,\"a\":2",
    "---\n",
    "- ",
    "a: &x\n",
    "*x",
    "<<: ",
    "\n",
    "  ",
    "k8s\0",
    "\u{feff}",
    "\"metadata\":null,",
];

fn bodies() -> Bytes {
    let good = [
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","labels":{"x":"y"}},"data":{"a":"b\u00e9","a":"c"}}"#,
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\nspec:\n  containers:\n  - {name: a, image: 'b'}\n",
        r#"[{"op":"add","path":"/a/b","value":{"c":[1,2.5,null]}}]"#,
    ];
    let protobuf = include_bytes!("../../../../protobuf/tests/bodies/deployment.bin").to_vec();
    let mut bodies = Bytes::texts(&good, WORDS);
    bodies.good.push(protobuf);
    bodies
}

fuzz!(request_body, bodies(), |body: &Vec<u8>| {
    let mut accepted = false;
    for media_type in ["application/json", "application/yaml", PROTOBUF] {
        match parse(media_type, body) {
            Ok((value, duplicates)) => {
                accepted = true;
                let printed = value.to_string();
                assert_eq!(
                    serde_json::from_str::<Value>(&printed).ok(),
                    Some(value),
                    "what is read can be stored"
                );
                assert!(duplicates.iter().all(|d| d.starts_with("duplicate field")));
            }
            Err(error) => assert_eq!(error.code, 400, "{media_type}: {error}"),
        }
    }
    accepted
});
