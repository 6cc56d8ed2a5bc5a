//! What made each object can be asked for, and what is wrong with it is found where it is written.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seaway_render::{Outcome, Remotes, RenderRequest, Rendered, Stopwatch, validate};
use seaway_source::{Memory, TreePath};

/// Every look at it is a microsecond later.
fn stopwatch() -> Stopwatch {
    let time = AtomicU64::new(0);
    Stopwatch::new(move || Duration::from_micros(time.fetch_add(1, Ordering::Relaxed)))
}

fn explained(tree: &Memory, path: &str, remotes: &Remotes) -> Rendered {
    let request = RenderRequest {
        explain: Some(stopwatch()),
        remotes: remotes.clone(),
        ..RenderRequest::new(tree, path)
    };
    match seaway_render::render(&request).unwrap() {
        Outcome::Rendered(rendered) => rendered,
        Outcome::Needs(needs) => panic!("needs {needs:?}"),
    }
}

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  template:
    spec:
      containers:
      - name: main
        image: nginx
";

fn shop() -> Memory {
    Memory::of([
        ("base/kustomization.yaml", "resources:\n- web.yaml\n- account.yaml\n"),
        ("base/web.yaml", DEPLOYMENT),
        ("base/account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web}\n"),
        (
            "over/kustomization.yaml",
            "resources:\n- ../base\nnamePrefix: my-\npatches:\n- path: patch.yaml\nimages:\n- {name: nginx, newTag: '2'}\n\
             configMapGenerator:\n- name: settings\n  files: [key=settings.txt]\n",
        ),
        (
            "over/patch.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 3\n",
        ),
        ("over/settings.txt", "text"),
    ])
    .unwrap()
}

/// What was done to an object: step, place, files, fields.
fn steps(rendered: &Rendered, kind: &str) -> Vec<String> {
    let object = rendered.objects.iter().find(|object| object.value["kind"] == kind).unwrap();
    let line = |step: &Arc<seaway_render::Transformation>| {
        assert!(step.took > Duration::ZERO, "{step:?}");
        let line = step.place.line.unwrap_or_default();
        format!("{} {}:{line} {:?} {}", step.what, step.place.file, step.files, step.fields.join(","))
    };
    object.history.iter().map(line).collect()
}

#[test]
fn each_object_knows_the_files_and_the_transformations_that_made_it() {
    let rendered = explained(&shop(), "over", &Remotes::default());
    assert_eq!(
        steps(&rendered, "Deployment"),
        [
            r#"resources[0] base/kustomization.yaml:2 ["base/web.yaml"] "#,
            r#"patches[0] over/kustomization.yaml:5 ["over/patch.yaml"] spec.replicas"#,
            r#"namePrefix over/kustomization.yaml:3 [] metadata.name"#,
            r#"images[0] over/kustomization.yaml:7 [] spec.template.spec.containers[0].image"#,
        ]
    );
    let settings = steps(&rendered, "ConfigMap");
    assert!(settings[0].contains("configMapGenerator[0]") && settings[0].contains("over/settings.txt"));
    assert!(settings.last().unwrap().starts_with("name hash over/kustomization.yaml"), "{settings:?}");
    // The patch and the image are none of the account's business.
    let account = rendered.objects.iter().find(|object| object.value["kind"] == "ServiceAccount").unwrap();
    let what: Vec<_> = account.history.iter().map(|step| step.what.as_str()).collect();
    assert_eq!(what, ["resources[1]", "namePrefix"]);
}

#[test]
fn references_that_follow_a_name_are_a_step() {
    let tree = Memory::of([
        (
            "kustomization.yaml",
            "resources: [pod.yaml]\nconfigMapGenerator:\n- {name: c, literals: [a=b]}\n",
        ),
        (
            "pod.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, envFrom: [{configMapRef: {name: c}}]}]}\n",
        ),
    ])
    .unwrap();
    let rendered = explained(&tree, "", &Remotes::default());
    let pod = steps(&rendered, "Pod");
    assert!(
        pod.last().unwrap().starts_with("references")
            && pod.last().unwrap().ends_with("spec.containers[0].envFrom[0].configMapRef.name"),
        "{pod:?}"
    );
}

#[test]
fn nothing_is_noted_unless_it_is_asked_for() {
    let tree = shop();
    let Outcome::Rendered(rendered) = seaway_render::render(&RenderRequest::new(&tree, "over")).unwrap()
    else {
        panic!()
    };
    assert!(rendered.objects.iter().all(|object| object.history.is_empty()));
}

/// Findings as lines, and what was not looked at.
fn findings(tree: &Memory, path: &str) -> (Vec<String>, Vec<String>) {
    let remotes = Remotes::default();
    let rendered = explained(tree, path, &remotes);
    let validation = validate(&rendered, tree, &remotes, &TreePath::root());
    let line = |finding: &seaway_render::Finding| {
        format!("{}: {}: {}: {}", finding.place, finding.object, finding.field, finding.problem)
    };
    (validation.findings.iter().map(line).collect(), validation.unchecked.into_iter().collect())
}

#[test]
fn unknown_fields_and_wrong_types_are_found_where_they_are_written() {
    let mut tree = shop();
    assert_eq!(findings(&tree, "over"), (vec![], vec![]));
    tree.insert("base/web.yaml", DEPLOYMENT.replace("image: nginx", "imagee: nginx\n        tty: 'yes'"))
        .unwrap();
    tree.insert(
        "over/patch.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  labelz: {}\nspec:\n  replicas: three\n",
    )
    .unwrap();
    let mut found = findings(&tree, "over").0;
    found.sort();
    assert_eq!(
        found,
        [
            "base/web.yaml:11: Deployment my-web: spec.template.spec.containers[0].imagee: unknown field",
            "base/web.yaml:12: Deployment my-web: spec.template.spec.containers[0].tty: must be boolean, not string",
            "over/patch.yaml:5: Deployment my-web: metadata.labelz: unknown field",
            "over/patch.yaml:7: Deployment my-web: spec.replicas: must be integer, not string",
        ]
    );
}

#[test]
fn what_a_field_of_the_kustomization_sets_is_found_there() {
    let tree = Memory::of([
        (
            "kustomization.yaml",
            "resources: [web.yaml]\npatches:\n- target: {kind: Deployment}\n  patch: |-\n    - {op: add, path: /spec/surge, value: 1}\n",
        ),
        ("web.yaml", DEPLOYMENT),
    ])
    .unwrap();
    assert_eq!(
        findings(&tree, "").0,
        ["kustomization.yaml:3: patches[0]: Deployment web: spec.surge: unknown field"]
    );
}

#[test]
fn plain_files_are_validated_too() {
    let text = format!(
        "# two\n{DEPLOYMENT}---\napiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec:\n  portz: []\n"
    );
    let tree = Memory::of([("plain/all.yaml", text.as_str())]).unwrap();
    assert_eq!(findings(&tree, "plain").0, ["plain/all.yaml:18: Service s: spec.portz: unknown field"]);
}

const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer}
              anything: {type: object, x-kubernetes-preserve-unknown-fields: true}
";

const WIDGET: &str = "apiVersion: example.com/v1
kind: Widget
metadata: {name: w, ownr: x}
spec:
  size: big
  anything: {goes: 1}
  colour: red
";

#[test]
fn custom_resources_are_held_against_definitions_in_the_tree() {
    let mut tree = Memory::of([("app/widget.yaml", WIDGET)]).unwrap();
    assert_eq!(findings(&tree, "app"), (vec![], vec!["example.com/v1 Widget".to_owned()]));
    tree.insert("platform/definitions/widgets.yaml", DEFINITION).unwrap();
    let (found, unchecked) = findings(&tree, "app");
    assert_eq!(
        found,
        [
            "app/widget.yaml:3: Widget w: metadata.ownr: unknown field",
            "app/widget.yaml:7: Widget w: spec.colour: unknown field",
            "app/widget.yaml:5: Widget w: spec.size: must be integer, not string",
        ]
    );
    assert!(unchecked.is_empty());
}

#[test]
fn files_of_remote_bases_are_found_too() {
    let tree = Memory::of([(
        "kustomization.yaml",
        "resources: ['https://example.com/org/repo//base?ref=v1']\nnamePrefix: x-\n",
    )])
    .unwrap();
    let base = Memory::of([
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", DEPLOYMENT.replace("replicas", "replikas").as_str()),
    ])
    .unwrap();
    let mut remotes = Remotes::default();
    remotes.add_repository("https://example.com/org/repo", Some("v1".to_owned()), Arc::new(base));
    let rendered = explained(&tree, "", &remotes);
    let validation = validate(&rendered, &tree, &remotes, &TreePath::root());
    let place = validation.findings[0].place.to_string();
    assert_eq!(place, "https://example.com/org/repo//base/web.yaml:6");
}

#[test]
fn an_object_of_plain_yaml_tells_where_it_was_read_and_what_the_request_changed() {
    let tree = Memory::of([("plain/a.yaml", format!("# first\n---\n{DEPLOYMENT}").as_str())]).unwrap();
    let image =
        seaway_render::Image { name: "nginx".to_owned(), new_tag: "2".to_owned(), ..Default::default() };
    let request = RenderRequest {
        explain: Some(stopwatch()),
        images: vec![image],
        namespace: Some("shop".to_owned()),
        ..RenderRequest::new(&tree, "plain")
    };
    let Outcome::Rendered(rendered) = seaway_render::render(&request).unwrap() else {
        panic!("needs something")
    };
    let steps: Vec<(String, String, Vec<String>)> = rendered.objects[0]
        .history
        .iter()
        .map(|step| {
            assert!(step.took > Duration::ZERO, "{step:?}");
            (step.what.clone(), step.place.to_string(), step.fields.clone())
        })
        .collect();
    let step = |what: &str, place: &str, fields: &[&str]| -> (String, String, Vec<String>) {
        (what.to_owned(), place.to_owned(), fields.iter().map(|field| (*field).to_owned()).collect())
    };
    assert_eq!(
        steps,
        [
            step("read", "plain/a.yaml:3", &[]),
            step("images", "the request", &["spec.template.spec.containers[0].image"]),
            step("namespace", "the request", &["metadata.namespace"]),
        ]
    );
}
