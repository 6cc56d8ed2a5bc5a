//! Kustomizations: whatever stands in one, rendering gives objects or an error, and twice the same.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_fuzz::{Bytes, fuzz};
use seaway_render::{Outcome, RenderRequest, render};
use seaway_source::Memory;

const WORDS: &[&str] = &[
    "resources:\n",
    "- a.yaml\n",
    "- ../base\n",
    "- .\n",
    "- /etc/passwd\n",
    "- https://example.com/x//y?ref=z\n",
    "patches:\n",
    "- path: p.yaml\n",
    "  target: {kind: Deployment, name: .*}\n",
    "  patch: |-\n",
    "namePrefix: x-\n",
    "nameSuffix: -y\n",
    "namespace: shop\n",
    "images:\n",
    "- {name: b, newTag: '2'}\n",
    "replicas:\n",
    "- {name: a, count: 3}\n",
    "configMapGenerator:\n",
    "secretGenerator:\n",
    "- name: g\n",
    "  literals: [a=b]\n",
    "  files: [a.yaml]\n",
    "  envs: [a.yaml]\n",
    "  behavior: merge\n",
    "generatorOptions: {disableNameSuffixHash: true}\n",
    "replacements:\n",
    "components: [../base]\n",
    "labels:\n",
    "commonLabels: {a: b}\n",
    "commonAnnotations: {a: b}\n",
    "vars:\n",
    "crds: [a.yaml]\n",
    "openapi: {path: a.yaml}\n",
    "transformers: [t.yaml]\n",
    "null\n",
    "{}",
    "[]",
    "  ",
    "\n",
    "- ",
    ": ",
];

fn kustomizations() -> Bytes {
    Bytes::texts(
        &[
            "resources:\n- a.yaml\nnamePrefix: x-\nnamespace: shop\ncommonLabels: {a: b}\nimages:\n- name: b\n  newTag: '2'\n",
            "resources: [../base]\npatches:\n- path: p.yaml\n- target: {kind: Deployment, name: a}\n  patch: |-\n    - {op: replace, path: /spec/replicas, value: 2}\n",
            "resources: [a.yaml]\nconfigMapGenerator:\n- name: g\n  literals: [a=b]\n  files: [k=a.yaml]\nsecretGenerator:\n- name: s\n  envs: [e.env]\nreplicas:\n- name: a\n  count: 3\n",
            "resources: [a.yaml]\nreplacements:\n- source: {kind: Deployment, name: a, fieldPath: metadata.name}\n  targets:\n  - select: {kind: Service}\n    fieldPaths: [spec.selector.app]\n    options: {delimiter: '-', index: 1, create: true}\n",
            "resources: [a.yaml]\nvars:\n- name: V\n  objref: {kind: Service, name: s, apiVersion: v1}\n  fieldref: {fieldpath: spec.clusterIP}\nlabels:\n- pairs: {c: d}\n  includeSelectors: true\n",
        ],
        WORDS,
    )
}

fuzz!(kustomization, kustomizations(), |text: &Vec<u8>| {
    let objects = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - {name: c, image: b:1, env: [{name: E, value: $(V)}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {app: a-b}, clusterIP: 10.0.0.1}\n";
    let mut tree = Memory::of([
        ("app/a.yaml", objects),
        ("app/e.env", "X=1\n# c\nY\n"),
        ("app/p.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{name: c, $patch: delete}]}}}\n"),
        ("app/t.yaml", "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: t}\nprefix: p-\n"),
        ("base/kustomization.yaml", "resources: [b.yaml]\n"),
        ("base/b.yaml", objects),
    ])
    .unwrap();
    tree.insert("app/kustomization.yaml", text.clone()).unwrap();
    let once = render(&RenderRequest::new(&tree, "app"));
    let twice = render(&RenderRequest::new(&tree, "app"));
    let accepted = once.is_ok();
    match (once, twice) {
        (Ok(Outcome::Rendered(a)), Ok(Outcome::Rendered(b))) => assert_eq!(a.objects, b.objects),
        (Ok(Outcome::Needs(a)), Ok(Outcome::Needs(b))) => assert_eq!(a.len(), b.len()),
        (Err(a), Err(b)) => assert_eq!(a.to_string(), b.to_string()),
        (a, b) => panic!("{a:?} and {b:?}"),
    }
    accepted
});
