#![allow(clippy::unwrap_used)]
use super::{FieldSet, Path, PathElement, display};
use proptest::prelude::*;
use serde_json::{Value, json};

fn field(name: &str) -> PathElement {
    PathElement::Field(name.to_owned())
}

#[test]
fn paths_print_as_kubernetes_prints_them() {
    let path = [
        field("spec"),
        field("ports"),
        PathElement::key(vec![("protocol".into(), "TCP".into()), ("port".into(), 80.into())]),
        field("finalizers"),
        PathElement::Value("x\"y".into()),
        PathElement::Index(3),
    ];
    assert_eq!(display(&path), r#".spec.ports[port=80,protocol="TCP"].finalizers[="x\"y"][3]"#);
}

#[test]
fn fields_v1_is_read_and_written_as_the_server_does() {
    let text = json!({
        "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"a\"": {}}},
        "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}, "f:list": {"i:1": {}}},
    });
    let set = FieldSet::from_fields_v1(&text).unwrap();
    assert_eq!(set.len(), 6);
    assert!(set.has(&[field("metadata"), field("labels")]));
    assert!(!set.has(&[field("metadata")]));
    assert_eq!(set.to_fields_v1(), text);
}

#[test]
fn unknown_kinds_of_elements_are_ignored_and_broken_ones_refused() {
    assert!(FieldSet::from_fields_v1(&json!({"z:new": {}})).unwrap().is_empty());
    for broken in [json!({"f": {}}), json!({"k:[1]": {}}), json!({"v:{": {}}), json!({"i:x": {}}), json!([])]
    {
        assert!(FieldSet::from_fields_v1(&broken).is_err(), "{broken}");
    }
}

#[test]
fn a_number_is_one_element_however_it_is_written() {
    let mut set = FieldSet::new();
    set.insert(&[PathElement::Value(json!(1))]);
    assert!(set.has(&[PathElement::Value(json!(1.0))]));
}

#[test]
fn leaves_are_the_paths_that_nothing_continues() {
    let set: FieldSet =
        [[field("a")].as_slice(), [field("a"), field("b")].as_slice(), [field("c")].as_slice()]
            .into_iter()
            .collect();
    let leaves: Vec<String> = set.leaves().paths().iter().map(|path| display(path)).collect();
    assert_eq!(leaves, [".c", ".a.b"]);
}

fn element() -> impl Strategy<Value = PathElement> {
    prop_oneof![
        4 => "[abc.]{1,2}".prop_map(PathElement::Field),
        2 => ("[ab]", 0..2_i64).prop_map(|(name, n)| PathElement::key(vec![("n".into(), n.into()), (name, "x".into())])),
        1 => prop_oneof![any::<bool>().prop_map(Value::from), "[a\"]".prop_map(Value::from), (0..3_i64).prop_map(Value::from)]
            .prop_map(PathElement::Value),
        1 => (0..3_i64).prop_map(PathElement::Index),
    ]
}

fn paths() -> impl Strategy<Value = Vec<Path>> {
    prop::collection::vec(prop::collection::vec(element(), 1..4), 0..8)
}

fn set_of(paths: &[Path]) -> FieldSet {
    paths.iter().map(Vec::as_slice).collect()
}

proptest! {
    #[test]
    fn fields_v1_round_trips(paths in paths()) {
        let set = set_of(&paths);
        prop_assert_eq!(FieldSet::from_fields_v1(&set.to_fields_v1()).unwrap(), set);
    }

    #[test]
    fn a_set_holds_what_was_inserted_and_nothing_else(paths in paths(), other in prop::collection::vec(element(), 1..4)) {
        let set = set_of(&paths);
        prop_assert!(paths.iter().all(|path| set.has(path)));
        prop_assert_eq!(set.has(&other), paths.contains(&other));
        prop_assert_eq!(set.len(), set.paths().len());
        prop_assert_eq!(set_of(&set.paths()), set);
    }

    #[test]
    fn the_algebra_of_sets_holds(a in paths(), b in paths(), c in paths()) {
        let (a, b, c) = (set_of(&a), set_of(&b), set_of(&c));
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(a.difference(&b).union(&a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.difference(&b.union(&c)), a.difference(&b).difference(&c));
        prop_assert_eq!(a.intersection(&b.union(&c)), a.intersection(&b).union(&a.intersection(&c)));
        prop_assert_eq!(a.union(&a), a.clone());
        prop_assert!(a.difference(&a).is_empty());
        // What is below a path of the other goes as well.
        let rest = a.recursive_difference(&b);
        prop_assert_eq!(rest.difference(&a.difference(&b)), FieldSet::new());
        for path in rest.paths() {
            for length in 1..=path.len() {
                prop_assert!(!b.has(&path[..length]));
            }
        }
    }
}
