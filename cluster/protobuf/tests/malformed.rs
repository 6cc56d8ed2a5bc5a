//! Bodies written by hand: the forms that kubectl's own bodies do not show, and what must be refused.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use seaway_protobuf::{Error, Problem, decode};
use serde_json::{Value, json};

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn number(field: u64, value: i64) -> Vec<u8> {
    [varint(field << 3), varint(value as u64)].concat()
}

fn bytes(field: u64, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [bytes(1, api_version), bytes(2, kind)].concat();
    [b"k8s\0".to_vec(), bytes(1, meta), bytes(2, raw), bytes(3, ""), bytes(4, "")].concat()
}

fn read(api_version: &str, kind: &str, raw: &[u8]) -> Value {
    decode(&envelope(api_version, kind, raw)).unwrap()
}

fn problem(api_version: &str, kind: &str, raw: &[u8]) -> (String, Problem) {
    match decode(&envelope(api_version, kind, raw)) {
        Err(Error::Field { path, problem }) => (path, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_eviction_keeps_its_options() {
    let options = [number(1, 0), bytes(4, "Background")].concat();
    let eviction = [bytes(1, bytes(1, "web-1")), bytes(2, options)].concat();
    assert_eq!(
        read("policy/v1", "Eviction", &eviction),
        json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": "web-1"},
            "deleteOptions": {"gracePeriodSeconds": 0, "propagationPolicy": "Background"},
        })
    );
}

#[test]
fn options_come_with_any_group() {
    let options = [number(1, -1), number(3, 0), bytes(5, "All")].concat();
    assert_eq!(
        read("apps/v1", "DeleteOptions", &options),
        json!({
            "apiVersion": "apps/v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": -1,
            "orphanDependents": false,
            "dryRun": ["All"],
        })
    );
}

#[test]
fn times_are_written_as_go_writes_them() {
    let time = [number(1, 1_700_000_000), number(2, 123_456_000)].concat();
    let lease = [
        bytes(1, bytes(8, &time)),
        bytes(2, [bytes(3, &time), bytes(4, [number(1, 0), number(2, 0)].concat())].concat()),
    ]
    .concat();
    let lease = read("coordination.k8s.io/v1", "Lease", &lease);
    assert_eq!(lease["metadata"]["creationTimestamp"], "2023-11-14T22:13:20Z");
    assert_eq!(lease["spec"]["acquireTime"], "2023-11-14T22:13:20.123456Z");
    assert_eq!(lease["spec"]["renewTime"], "1970-01-01T00:00:00.000000Z");
    let unset = read("v1", "Pod", &bytes(1, bytes(8, "")));
    assert_eq!(unset["metadata"], json!({}));
    let late = bytes(1, bytes(8, number(1, i64::MAX)));
    assert_eq!(problem("v1", "Pod", &late), ("metadata.creationTimestamp".into(), Problem::Time));
}

#[test]
fn a_number_or_text_keeps_its_kind() {
    let budget = |value: Vec<u8>| {
        let spec = bytes(2, bytes(1, value));
        read("policy/v1", "PodDisruptionBudget", &spec)["spec"]["minAvailable"].clone()
    };
    assert_eq!(budget([number(1, 0), number(2, 0), bytes(3, "")].concat()), json!(0));
    assert_eq!(budget([number(1, 1), number(2, 0), bytes(3, "50%")].concat()), json!("50%"));
}

#[test]
fn managed_fields_are_json() {
    let entry = |raw: &[u8]| bytes(1, bytes(17, [bytes(1, "me"), bytes(7, bytes(1, raw))].concat()));
    let pod = read("v1", "Pod", &entry(br#"{"f:spec":{}}"#));
    assert_eq!(pod["metadata"]["managedFields"], json!([{"manager": "me", "fieldsV1": {"f:spec": {}}}]));
    let wrong = problem("v1", "Pod", &entry(b"{"));
    assert_eq!(wrong, ("metadata.managedFields[0].fieldsV1".into(), Problem::Json));
}

#[test]
fn extra_values_are_lists() {
    let value = bytes(2, [bytes(1, "a"), bytes(1, "b")].concat());
    let user = [bytes(1, "ann"), bytes(4, [bytes(1, "scopes"), value].concat())].concat();
    let review = bytes(3, [number(1, 1), bytes(2, user)].concat());
    let review = read("authentication.k8s.io/v1", "TokenReview", &review);
    assert_eq!(
        review["status"],
        json!({"authenticated": true, "user": {"username": "ann", "extra": {"scopes": ["a", "b"]}}})
    );
}

#[test]
fn inlined_fields_belong_to_the_object_around_them() {
    let reference = [bytes(1, bytes(1, "settings")), bytes(2, "colour"), number(3, 0)].concat();
    let env = [bytes(1, "COLOUR"), bytes(2, ""), bytes(3, bytes(3, reference))].concat();
    let pod = read("v1", "Pod", &bytes(2, bytes(2, [bytes(1, "web"), bytes(7, env)].concat())));
    assert_eq!(
        pod["spec"]["containers"],
        json!([{"name": "web", "env": [{
            "name": "COLOUR",
            "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour", "optional": false}},
        }]}])
    );
}

#[test]
fn secrets_and_their_entries_without_a_value() {
    let data =
        [bytes(2, [bytes(1, "key"), bytes(2, [0u8, 255])].concat()), bytes(2, bytes(1, "empty"))].concat();
    assert_eq!(read("v1", "Secret", &data)["data"], json!({"key": "AP8=", "empty": ""}));
}

#[test]
fn packed_numbers_are_a_list() {
    let context = bytes(14, bytes(4, [varint(5), varint(0)].concat()));
    let pod = read("v1", "Pod", &bytes(2, context));
    assert_eq!(pod["spec"]["securityContext"]["supplementalGroups"], json!([5, 0]));
}

#[test]
fn fields_of_a_newer_client_are_skipped() {
    let newer = [number(9999, 1), bytes(9998, "x"), varint(9997 << 3 | 5), vec![0; 4]].concat();
    assert_eq!(read("v1", "ConfigMap", &newer), json!({"apiVersion": "v1", "kind": "ConfigMap"}));
}

#[test]
fn a_problem_names_its_field() {
    let container = |content: Vec<u8>| bytes(2, [bytes(2, bytes(1, "first")), bytes(2, content)].concat());
    assert_eq!(
        problem("v1", "Pod", &container(bytes(1, [0xff]))),
        ("spec.containers[1].name".into(), Problem::Utf8)
    );
    assert_eq!(
        problem("v1", "Pod", &container(number(2, 1))),
        ("spec.containers[1].image".into(), Problem::WireType(0))
    );
    let data = bytes(2, [bytes(1, "key"), bytes(2, [0xff])].concat());
    assert_eq!(problem("v1", "ConfigMap", &data), ("data[key]".into(), Problem::Utf8));
}

#[test]
fn what_is_not_known_is_refused() {
    assert_eq!(
        decode(&envelope("example.com/v1", "Widget", b"")),
        Err(Error::UnknownKind { api_version: "example.com/v1".into(), kind: "Widget".into() })
    );
    assert_eq!(decode(b"{}"), Err(Error::NoEnvelope));
    assert_eq!(decode(b"k8s\0"), Err(Error::NoType));
    let packed = [envelope("v1", "Pod", b""), bytes(3, "gzip")].concat();
    assert_eq!(decode(&packed), Err(Error::Encoding("gzip".into())));
}

#[test]
fn json_inside_the_envelope_is_read() {
    let body = [envelope("v1", "ConfigMap", br#"{"data":{"a":"b"}}"#), bytes(4, "application/json")].concat();
    assert_eq!(decode(&body).unwrap(), json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}));
}

#[test]
fn depth_and_number_of_values_are_limited() {
    // An envelope inside an envelope: ControllerRevision.data.
    let mut body = envelope("apps/v1", "ControllerRevision", b"");
    for _ in 0..100 {
        body = envelope("apps/v1", "ControllerRevision", &bytes(2, bytes(1, &body)));
    }
    assert!(matches!(decode(&body), Err(Error::Field { problem: Problem::Depth, .. })));
    let many = bytes(2, bytes(2, "").repeat(600_000));
    assert_eq!(problem("v1", "Pod", &many).1, Problem::TooManyValues);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>) {
        let _ = decode(&body);
    }

    #[test]
    fn no_message_makes_it_panic(raw: Vec<u8>, kind in 0..4usize) {
        let kind = ["Pod", "Secret", "Service", "Event"][kind];
        let _ = decode(&envelope("v1", kind, &raw));
    }

    #[test]
    fn no_changed_byte_makes_it_panic(at: prop::sample::Index, to: u8) {
        let mut body = include_bytes!("bodies/deployment.bin").to_vec();
        let at = at.index(body.len());
        body[at] = to;
        let _ = decode(&body);
    }
}
