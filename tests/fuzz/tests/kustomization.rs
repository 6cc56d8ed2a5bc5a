//! Kustomizations: whatever stands in one, rendering gives objects or an error, and twice the same.
#![allow(clippy::unwrap_used, missing_docs)]

use seaway_fuzz::{Bytes, fuzz};
use seaway_render::{Outcome, RemoteBase, Remotes, RenderRequest, Rendered, Stopwatch, render, validate};
use seaway_source::{Memory, TreePath};

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

const OBJECTS: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, labels: {x: y1}}\nspec:\n  replicas: 1\n  template:\n    spec:\n      containers:\n      - {name: c, image: b:1, ports: [{containerPort: 80}, {containerPort: 80, protocol: UDP}]}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {app: a-b}}\n";

/// Renders a kustomization with one file that is anything; what it gives is explained and validated as well.
fn with_file(kustomization: &str, name: &str, content: &[u8]) -> bool {
    let mut tree = Memory::of([
        ("app/kustomization.yaml", kustomization),
        ("app/a.yaml", OBJECTS),
        ("app/f.txt", "x=1"),
    ])
    .unwrap();
    tree.insert(&format!("app/{name}"), content).unwrap();
    let once = render(&RenderRequest::new(&tree, "app"));
    let explained = RenderRequest {
        explain: Some(Stopwatch::new(|| std::time::Duration::ZERO)),
        ..RenderRequest::new(&tree, "app")
    };
    match (once, render(&explained)) {
        (Ok(Outcome::Rendered(a)), Ok(Outcome::Rendered(b))) => {
            let values = |rendered: &Rendered| {
                rendered.objects.iter().map(|object| object.value.clone()).collect::<Vec<_>>()
            };
            assert_eq!(values(&a), values(&b), "explaining changes the result");
            validate(&b, &tree, &Remotes::default(), &TreePath::root());
            true
        }
        (Ok(Outcome::Needs(_)), Ok(Outcome::Needs(_))) => true,
        (Err(a), Err(b)) => {
            assert_eq!(a.to_string(), b.to_string());
            assert!(a.to_string().contains("app"), "{a}");
            false
        }
        (a, b) => panic!("{a:?} and {b:?}"),
    }
}

const PATCH_WORDS: &[&str] = &[
    "$patch: delete\n",
    "$patch: replace\n",
    "- {op: add, path: /spec/x, value: 1}\n",
    "- {op: move, from: /spec, path: /spec/x}\n",
    "- {op: test, path: '', value: {}}\n",
    "  - {name: c, $patch: delete}\n",
    "ports: [{containerPort: 80, protocol: TCP}]\n",
    "---\n",
    "null",
    "~1",
    "/-",
];

fuzz!(
    patch,
    Bytes::texts(
        &[
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  replicas: 3\n  template:\n    spec:\n      containers:\n      - name: c\n        ports:\n        - {containerPort: 80, name: web}\n        - {containerPort: 81, protocol: UDP}\n",
            "- op: replace\n  path: /spec/replicas\n  value: 2\n- {op: add, path: /metadata/labels/a~1b, value: c}\n- {op: copy, from: /metadata/name, path: /spec/was}\n",
            "[{\"op\": \"remove\", \"path\": \"/spec/template/spec/containers/0/ports/1\"}]\n",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n$patch: delete\n",
        ],
        PATCH_WORDS
    ),
    |text: &Vec<u8>| with_file(
        "resources: [a.yaml]\npatches:\n- path: p.yaml\n  target: {kind: Deployment}\n",
        "p.yaml",
        text
    )
);

fuzz!(
    plugin,
    Bytes::texts(
        &[
            "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: t}\nprefix: p-\nfieldSpecs: [{path: metadata/name}]\n",
            "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: t}\nlabels: {a: b}\nfieldSpecs: [{path: 'spec/template/spec/containers[]/labels', create: true}]\n",
            "apiVersion: builtin\nkind: NamespaceTransformer\nmetadata: {name: t, namespace: n}\nsetRoleBindingSubjects: none\nunsetOnly: true\n",
            "apiVersion: builtin\nkind: ReplacementTransformer\nmetadata: {name: t}\nreplacements:\n- source: {kind: Deployment, name: a, fieldPath: spec.template.spec.containers.0.image}\n  targets:\n  - select: {kind: Service}\n    fieldPaths: [spec.selector.app, spec.selector.new]\n    options: {delimiter: ':', index: -1, create: true}\n",
            "apiVersion: builtin\nkind: ValueAddTransformer\nmetadata: {name: t}\nvalue: v\ntargets: [{fieldPath: spec/path, filePathPosition: 3}]\n",
            "apiVersion: builtin\nkind: ImageTagTransformer\nmetadata: {name: t}\nimageTag: {name: b, newTag: '2'}\nfieldSpecs: [{path: 'spec/template/spec/containers/image'}]\n",
        ],
        &[
            "fieldSpecs: []\n",
            "path: a\\/b\n",
            "[]",
            "*",
            "..",
            "[name=",
            "index: 99999999999\n",
            "count: -1\n"
        ]
    ),
    |text: &Vec<u8>| with_file("resources: [a.yaml]\ntransformers: [t.yaml]\n", "t.yaml", text)
);

fuzz!(
    environment_file,
    Bytes::texts(
        &["A=1\nB=two words\n# c\n\nC\nD==\n", "\u{feff}A=1\r\nB=\"x\"\n"],
        &["=", "\r\n", "#", "\u{feff}", " ", "export "]
    ),
    |text: &Vec<u8>| with_file(
        "configMapGenerator:\n- {name: g, envs: [e.env], files: [f=e.env]}\n",
        "e.env",
        text
    )
);

fuzz!(
    base_url,
    Bytes::texts(
        &[
            "https://github.com/org/repo//path?ref=v1",
            "git@github.com:org/repo.git/path?ref=main",
            "ssh://git@example.com:2222/org/repo",
            "github.com/org/repo/path",
            "git::https://example.com/org/repo.git//x",
            "file:///srv/repo//x",
            "https://dev.azure.com/org/project/_git/repo/x?version=v1",
        ],
        &["//", "?ref=", "::", "@", "-", ".git", "_git/", "..", "%2e", ":", "ext::"]
    ),
    |text: &Vec<u8>| {
        let Ok(text) = std::str::from_utf8(text) else { return false };
        match RemoteBase::parse(text) {
            Ok(Some(base)) => {
                // What git would take for an option never comes out.
                assert!(!base.repository.is_empty() && !base.repository.starts_with('-'), "{base:?}");
                assert!(base.reference.as_deref().is_none_or(|it| !it.starts_with('-')), "{base:?}");
                true
            }
            Ok(None) | Err(_) => false,
        }
    }
);
