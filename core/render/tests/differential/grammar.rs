//! The grammar: bases, components and overlays of everyday objects, with every field of a kustomization now and then.

use std::fmt::Write as _;

use crate::objects::OBJECTS;

/// The directory that is rendered.
pub(crate) const TOP: &str = "top";

/// A sequence of numbers that follows from a seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        // A first number of nearby seeds is not far apart either.
        random.next();
        random
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.next() % 100 < chance
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

const NAMES: &[&str] = &["web", "api", "db"];
const NAMESPACES: &[&str] = &["default", "shop", "ops"];
const IMAGES: &[&str] =
    &["nginx", "nginx:1.25", "reg.example.com/team/app:v1", "reg.example.com:5000/app", "busybox@sha256:abc"];

/// Operations that any object can take: kustomize has notes in its annotations by then.
const ANY_JSON: &str = "- {op: add, path: /metadata/annotations/json, value: \"1\"}\n- {op: copy, from: /metadata/name, path: /metadata/annotations/copy}\n";

/// Fields that replacements go into: of which kinds, where, with which options.
const FIELDS: &[(&[&str], &str, &str)] = &[
    (&["Deployment"], "spec.template.spec.containers.0.env.[name=A].value", ""),
    (&["Deployment"], "spec.template.spec.containers.[name=main].env.[name=Q].value", "create: true"),
    (&["Ingress"], "spec.rules.0.host", "delimiter: ., index: 0"),
    (&["Deployment", "StatefulSet"], "spec.template.spec.containers.*.image", "delimiter: ':', index: 1"),
    (&["Service"], "metadata.annotations.[a.b/c]", ""),
    (&["ConfigMap"], "data.host", "delimiter: ., index: 9"),
    (&["Widget"], "spec.selector.app", ""),
    (&["CronJob"], "spec.jobTemplate.metadata.labels.job", "delimiter: '-', index: -1"),
];

#[derive(Clone)]
struct Made {
    /// With `!` behind it where the kustomization at work does not see the object.
    kind: String,
    name: String,
    /// Empty when it has none.
    namespace: String,
}

struct Writer {
    random: Random,
    files: Vec<(String, String)>,
    made: Vec<Made>,
    /// Names that generators made, with the field.
    generated: Vec<(String, &'static str)>,
    /// A variable is there already.
    variable: bool,
}

/// The kustomization of a seed.
pub(crate) fn files(seed: u64) -> Vec<(String, String)> {
    let random = Random::new(seed);
    let mut it =
        Writer { random, files: Vec::new(), made: Vec::new(), generated: Vec::new(), variable: false };
    it.kustomization("base", &[], false);
    let mut below = vec!["../base".to_owned()];
    if it.random.percent(25) {
        // Neither sees what the other has.
        let (made, generated) = (it.made.clone(), std::mem::take(&mut it.generated));
        it.made.iter_mut().for_each(|made| made.kind.push('!'));
        it.kustomization("other", &[], false);
        let mut own: Vec<Made> = it.made.drain(made.len()..).collect();
        it.made = made;
        it.made.append(&mut own);
        it.generated.extend(generated);
        below.push("../other".to_owned());
    }
    if it.random.percent(40) {
        it.kustomization("middle", &below, false);
        below = vec!["../middle".to_owned()];
    }
    it.kustomization(TOP, &below, true);
    it.files
}

impl Writer {
    fn object(&mut self) -> Option<String> {
        let template = self.random.of(OBJECTS);
        let (name, other) = (self.random.of(NAMES), self.random.of(NAMES));
        let namespace = match self.random.below(5) {
            0 if template.contains("NS") => self.random.of(NAMESPACES),
            _ => "",
        };
        let line = if namespace.is_empty() { String::new() } else { format!("  namespace: {namespace}\n") };
        let image = self.random.of(IMAGES);
        let kind = template.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap();
        let name_here = if kind == "CustomResourceDefinition" { "widgets.example.com" } else { name };
        if self.is_made(kind, name_here) {
            return None;
        }
        self.made.push(Made {
            kind: kind.to_owned(),
            name: name_here.to_owned(),
            namespace: namespace.to_owned(),
        });
        let text = template
            .replace("NAME", name)
            .replace("OTHER", other)
            .replace("IMAGE", image)
            .replace("NS", &line)
            .replace(&format!("{other}_VAR"), "OTHER_VAR");
        Some(text)
    }

    /// Wherever: two of one kind and name clash sooner or later.
    fn is_made(&self, kind: &str, name: &str) -> bool {
        self.made.iter().any(|made| made.kind.trim_end_matches('!') == kind && made.name == name)
    }

    /// An object that is there, most of the time.
    fn target(&mut self) -> Made {
        let there: Vec<&Made> =
            self.made.iter().filter(|made| !made.kind.ends_with('!') && made.kind != "List").collect();
        if there.is_empty() || self.random.percent(1) {
            let name = self.random.of(NAMES).to_owned();
            return Made { kind: "Deployment".to_owned(), name, namespace: String::new() };
        }
        there[self.random.below(there.len())].clone()
    }

    fn of_kind(&mut self, kinds: &[&str]) -> Option<Made> {
        let there: Vec<&Made> = self.made.iter().filter(|made| kinds.contains(&made.kind.as_str())).collect();
        if there.is_empty() { None } else { Some(there[self.random.below(there.len())].clone()) }
    }

    fn kustomization(&mut self, folder: &str, below: &[String], is_top: bool) {
        let mut text = String::new();
        if self.random.percent(50) {
            text += "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
        }
        self.resources(folder, below, &mut text);
        if self.random.percent(30) {
            self.component(folder, &mut text);
        }
        self.generators(folder, &mut text);
        self.fields(folder, &mut text);
        if is_top {
            self.top_fields(&mut text);
        }
        self.files.push((format!("{folder}/kustomization.yaml"), text));
    }

    fn resources(&mut self, folder: &str, below: &[String], text: &mut String) {
        let count = if below.is_empty() { 2 + self.random.below(4) } else { self.random.below(3) };
        let mut names = below.to_vec();
        let mut content = String::new();
        for index in 0..count {
            let Some(object) = self.object() else { continue };
            if !content.is_empty() {
                content += "---\n";
            }
            content += &object;
            if self.random.percent(60) {
                let name = format!("r{index}.yaml");
                self.files.push((format!("{folder}/{name}"), std::mem::take(&mut content)));
                names.push(name);
            }
        }
        if !content.is_empty() {
            self.files.push((format!("{folder}/rest.yaml"), content));
            names.push("rest.yaml".to_owned());
        }
        let _ = writeln!(text, "resources:");
        for name in names {
            let _ = writeln!(text, "- {name}");
        }
    }

    fn component(&mut self, folder: &str, text: &mut String) {
        let mut component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n".to_owned();
        let path = format!("{folder}-component");
        if self.random.percent(40) {
            self.resources(&path, &[], &mut component);
        }
        self.generators(&path, &mut component);
        self.fields(&path, &mut component);
        self.files.push((format!("{path}/kustomization.yaml"), component));
        let _ = writeln!(text, "components: [../{path}]");
    }

    fn generators(&mut self, folder: &str, text: &mut String) {
        for field in ["configMapGenerator", "secretGenerator"] {
            if !self.random.percent(30) {
                continue;
            }
            let _ = writeln!(text, "{field}:");
            for _ in 0..=self.random.below(2) {
                let known: Vec<String> = self
                    .generated
                    .iter()
                    .filter(|(_, of)| *of == field)
                    .map(|(name, _)| name.clone())
                    .collect();
                let merge = !known.is_empty() && self.random.percent(60);
                let kind = if field == "secretGenerator" { "Secret" } else { "ConfigMap" };
                let mut name = self.random.of(NAMES).to_owned();
                if merge {
                    name = known[self.random.below(known.len())].clone();
                } else if self.is_made(kind, &name) {
                    name = format!("gen{}", self.made.len());
                }
                let _ = writeln!(text, "- name: {name}");
                if merge {
                    let behavior = self.random.of(&["merge", "merge", "replace"]);
                    let _ = writeln!(text, "  behavior: {behavior}");
                }
                if self.random.percent(4) {
                    let namespace = self.random.of(NAMESPACES);
                    let _ = writeln!(text, "  namespace: {namespace}");
                }
                if !merge {
                    let (kind, name) = (format!("{kind}!"), name.clone());
                    self.made.push(Made { kind, name, namespace: String::new() });
                }
                if self.random.percent(80) {
                    let value = self.random.of(&["b", "1", "true", "'x y'", "", "a=b"]);
                    let _ = writeln!(text, "  literals: [\"k={value}\", other=text]");
                }
                if self.random.percent(30) {
                    self.files.push((format!("{folder}/data.txt"), "first\nsecond line  \n".to_owned()));
                    let file = self.random.of(&["data.txt", "key.json=data.txt"]);
                    let _ = writeln!(text, "  files: [{file}]");
                }
                if self.random.percent(20) {
                    let content = "# comment\nE1=one\nE2 = two\n\nE3=\"quoted\"\n";
                    self.files.push((format!("{folder}/some.env"), content.to_owned()));
                    let _ = writeln!(text, "  envs: [some.env]");
                }
                if self.random.percent(20) {
                    let option = self.random.of(&[
                        "disableNameSuffixHash: true",
                        "labels: {made: here}",
                        "annotations: {made: 'true'}",
                        "immutable: true",
                    ]);
                    let _ = writeln!(text, "  options: {{{option}}}");
                }
                self.generated.push((name, field));
            }
        }
        if self.random.percent(10) {
            let option =
                self.random.of(&["disableNameSuffixHash: true", "labels: {all: these}", "immutable: true"]);
            let _ = writeln!(text, "generatorOptions: {{{option}}}");
        }
    }

    fn fields(&mut self, folder: &str, text: &mut String) {
        if self.random.percent(25) {
            let namespace = self.random.of(NAMESPACES);
            let _ = writeln!(text, "namespace: {namespace}");
        }
        if self.random.percent(25) {
            let _ = writeln!(text, "namePrefix: {}-", self.random.of(&["a", "pre"]));
        }
        if self.random.percent(20) {
            let _ = writeln!(text, "nameSuffix: -{}", self.random.of(&["z", "v2"]));
        }
        if self.random.percent(20) {
            let value = self.random.of(&["x", "'1'", "\"yes\""]);
            let _ = writeln!(text, "commonLabels: {{env: {value}}}");
        } else if self.random.percent(25) {
            let options = self.random.of(&[
                "",
                "  includeSelectors: true\n",
                "  includeTemplates: true\n",
                "  fields:\n  - {path: spec/more/labels, kind: Widget, create: true}\n",
            ]);
            let _ = write!(text, "labels:\n- pairs: {{team: blue}}\n{options}");
        }
        if self.random.percent(20) {
            let _ = writeln!(text, "commonAnnotations: {{owner: ada, really: \"true\"}}");
        }
        if self.random.percent(25) {
            let image = self.random.of(&[
                "name: nginx, newTag: '2'",
                "name: reg.example.com/team/app, newName: other/app, newTag: v2",
                "name: busybox, digest: 'sha256:def'",
                "name: 'reg.example.com:5000/app', newName: x",
                "name: nginx, newName: mirror/nginx",
                "name: nginx, newTag: v1, tagSuffix: -alpine",
            ]);
            let _ = writeln!(text, "images:\n- {{{image}}}");
        }
        if self.random.percent(15) {
            let name = self.random.of(NAMES);
            if self
                .made
                .iter()
                .any(|made| made.name == name && (made.kind == "Deployment" || made.kind == "StatefulSet"))
            {
                let _ = writeln!(text, "replicas:\n- {{name: {name}, count: 7}}");
            }
        }
        self.patches(folder, text);
        if self.random.percent(20) {
            self.replacements(text);
        }
        if self.random.percent(15) {
            self.transformers(text);
        }
        if !self.variable && self.random.percent(12) {
            let Made { kind, name, .. } = self.target();
            let version = api_version(&kind);
            let _ = writeln!(
                text,
                "vars:\n- name: SOME_VAR\n  objref: {{kind: {kind}, name: {name}, apiVersion: {version}}}"
            );
            self.variable = true;
            if kind == "Service" {
                let _ = writeln!(text, "  fieldref: {{fieldpath: 'spec.ports[0].port'}}");
            }
        }
        if self.random.percent(8) {
            self.files.push((
                format!("{folder}/config.yaml"),
                "nameReference:\n- kind: ConfigMap\n  fieldSpecs:\n  - {path: spec/configRef/name, kind: Widget}\nimages:\n- {path: spec/image, kind: Widget}\ncommonLabels:\n- {path: spec/selector, kind: Widget, create: true}\nvarReference:\n- {path: spec/image, kind: Widget}\n".to_owned(),
            ));
            let _ = writeln!(text, "configurations: [config.yaml]");
        }
    }

    fn patches(&mut self, folder: &str, text: &mut String) {
        let count = self.random.below(3);
        let mut entries = String::new();
        for index in 0..count {
            let Made { kind, name, namespace } = self.target();
            let header = header(&kind, &name, &namespace);
            let body = self.patch_body(&kind);
            let mut deletes = false;
            let patch = match self.random.below(20) {
                0 => {
                    deletes = true;
                    format!("{header}$patch: delete\n")
                }
                1 | 2 => format!("{header}  annotations: {{patched: \"1\", note: null}}\n"),
                3 | 4 => format!("{header}  labels: {{app: null, patched: here}}\n{body}"),
                _ => format!("{header}{body}"),
            };
            let json = self.json(&kind);
            let selector = match self.random.below(7) {
                0 => format!("{{kind: {kind}}}"),
                1 => "{labelSelector: app=web}".to_owned(),
                2 => "{name: w.*}".to_owned(),
                3 => format!("{{kind: {kind}, name: {name}, version: v1}}"),
                4 => "{annotationSelector: 'a.b/c=x'}".to_owned(),
                5 => "{namespace: shop}".to_owned(),
                _ => format!("{{kind: {kind}, name: {name}}}"),
            };
            match self.random.below(6) {
                0 => {
                    let file = format!("patch{index}.yaml");
                    let _ = writeln!(entries, "- path: {file}");
                    self.files.push((format!("{folder}/{file}"), patch));
                }
                1 => {
                    let selector = format!("{{kind: {kind}, name: {name}}}");
                    let _ = write!(entries, "- target: {selector}\n  patch: |-\n{}", indented(&json, 4));
                }
                2 => {
                    let file = format!("json{index}.yaml");
                    let _ = writeln!(entries, "- target: {selector}\n  path: {file}");
                    self.files.push((format!("{folder}/{file}"), ANY_JSON.to_owned()));
                }
                3 => {
                    let options = self.random.of(&["", "  options: {allowNameChange: true}\n"]);
                    let _ =
                        write!(entries, "- target: {selector}\n{options}  patch: |\n{}", indented(&patch, 4));
                }
                _ => {
                    let _ = write!(entries, "- patch: |-\n{}", indented(&patch, 4));
                }
            }
            if deletes {
                self.made.retain(|made| made.kind != kind || made.name != name);
            }
        }
        if !entries.is_empty() {
            let _ = write!(text, "patches:\n{entries}");
        }
        if self.random.percent(8) {
            let Made { kind, name, namespace } = self.target();
            let patch = header(&kind, &name, &namespace) + &self.patch_body(&kind);
            let _ = write!(text, "patchesStrategicMerge:\n- |-\n{}", indented(&patch, 2));
        }
        if self.random.percent(8) {
            let Made { kind, name, .. } = self.target();
            let version = api_version(&kind);
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let _ = write!(
                text,
                "patchesJson6902:\n- target: {{group: '{group}', version: {version}, kind: {kind}, name: {name}}}\n  patch: |-\n    [{{\"op\": \"add\", \"path\": \"/metadata/labels\", \"value\": {{\"old\": \"1\"}}}}]\n"
            );
        }
    }

    /// Operations that an object of a kind can take.
    fn json(&mut self, kind: &str) -> String {
        let list: &[&str] = match kind {
            "Deployment" => &[
                "- {op: replace, path: /spec/replicas, value: 9}\n",
                "- {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: Z, value: z}}\n",
                "- {op: remove, path: /spec/template/spec/containers/0/ports/1}\n- {op: move, from: /spec/replicas, path: /spec/was}\n",
                "- {op: add, path: /spec/template/spec/containers/0, value: {name: first, image: nginx}}\n",
            ],
            "Service" => &[
                "- {op: replace, path: /spec/ports/0/port, value: 8080}\n",
                "- {op: add, path: /spec/ports/-, value: {port: 1}}\n- {op: remove, path: /spec/selector}\n",
            ],
            "ConfigMap" => {
                &["- {op: remove, path: /data/k}\n", "- {op: add, path: /data/a~1b, value: \"x~0\"}\n"]
            }
            _ => &[
                "- {op: add, path: /metadata/labels, value: {json: here}}\n",
                "- {op: replace, path: /metadata/name, value: renamed}\n",
                "- {op: add, path: /spec, value: {x: [1, {a: b}]}}\n",
            ],
        };
        self.random.of(list).to_owned()
    }

    fn patch_body(&mut self, kind: &str) -> String {
        match kind {
            "Deployment" | "StatefulSet" | "Job" => self
                .random
                .of(&[
                    "spec:\n  replicas: 5\n",
                    "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        image: patched:1\n        env:\n        - {name: A, value: patched}\n        - {name: N, value: '1'}\n",
                    "spec:\n  template:\n    spec:\n      containers:\n      - name: extra\n        image: nginx\n",
                    "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        $patch: delete\n      - {name: c, image: x}\n",
                    "spec:\n  template:\n    spec:\n      volumes:\n      - name: v\n        configMap: null\n        emptyDir: {}\n",
                    "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        ports:\n        - {containerPort: 80, name: web}\n        - {containerPort: 81, protocol: UDP}\n        args: [only]\n        volumeMounts:\n        - {mountPath: /v, name: w}\n        - {mountPath: /w, name: w}\n",
                    "spec:\n  strategy:\n    $patch: replace\n    type: Recreate\n  template:\n    metadata:\n      annotations: {note: null, more: x}\n    spec:\n      tolerations: [{key: a}]\n      nodeSelector: {a: b}\n      $patch: merge\n",
                    "spec:\n  template:\n    spec:\n      $setElementOrder/containers: [{name: main}]\n      initContainers: null\n      imagePullSecrets: [{name: pull}]\n",
                ])
                .to_owned(),
            "Service" => self
                .random
                .of(&[
                    "spec:\n  ports:\n  - {port: 80, targetPort: 8080}\n",
                    "spec:\n  ports:\n  - {port: 53, protocol: UDP, name: dns}\n  - {port: 9090, name: m}\n",
                    "spec:\n  type: NodePort\n  selector: {app: null, x: y}\n",
                    "spec:\n  ports:\n  - $patch: replace\n  - {port: 1}\n",
                ])
                .to_owned(),
            "ConfigMap" | "Secret" => self
                .random
                .of(&["data:\n  k: patched\n  new: \"2\"\n", "data: null\n", "data:\n  $patch: replace\n  only: this\n", "data:\n  text: null\n"])
                .to_owned(),
            "Widget" => self
                .random
                .of(&[
                    "spec:\n  list: [9]\n  items:\n  - {name: a, value: 7}\n",
                    "spec:\n  flag: no\n  nothing: 1\n  empty: null\n",
                    "spec:\n  items: []\n  selector:\n    $patch: replace\n    only: this\n",
                    "spec: {}\n",
                ])
                .to_owned(),
            "Ingress" => "spec:\n  rules:\n  - host: b.example.com\n".to_owned(),
            "Role" | "ClusterRole" => "rules:\n- apiGroups: ['*']\n  resources: ['*']\n  verbs: ['*']\n".to_owned(),
            "RoleBinding" | "ClusterRoleBinding" => "subjects:\n- {kind: User, name: u}\n".to_owned(),
            "PodDisruptionBudget" => "spec: {minAvailable: null, maxUnavailable: 1}\n".to_owned(),
            "ServiceAccount" => "imagePullSecrets:\n- name: added\nsecrets: [{name: x}]\n".to_owned(),
            _ => "spec: {patched: true}\n".to_owned(),
        }
    }

    fn replacements(&mut self, text: &mut String) {
        let Made { kind: source_kind, name: source_name, .. } = self.target();
        let fields: &[&str] = match source_kind.as_str() {
            "ConfigMap" => &["", "data.host", "data.host\n    options: {delimiter: ., index: 1}"],
            "Deployment" => &["spec.template.metadata.labels.app", "spec.template.spec.volumes.0.name"],
            "Service" => &["spec.ports.0.port", "spec.selector", "metadata.annotations.[a.b/c]"],
            "Widget" => &["spec.items.[name=b].value", "spec.image\n    options: {delimiter: ':'}"],
            _ => &["", "metadata.name", "kind"],
        };
        let field = match self.random.of(fields) {
            "" => String::new(),
            field => format!("\n    fieldPath: {field}"),
        };
        let (kinds, path, options) = FIELDS[self.random.below(FIELDS.len())];
        let (select, path, options) = match self.of_kind(kinds) {
            Some(made) => (format!("{{kind: {}, name: {}}}", made.kind, made.name), path, options),
            None => {
                let Made { kind, name, .. } = self.target();
                let select = match self.random.below(3) {
                    0 => format!("{{kind: {kind}}}"),
                    1 => format!("{{name: {name}}}"),
                    _ => format!("{{kind: {kind}, name: {name}}}"),
                };
                (select, "metadata.annotations.replaced", "create: true")
            }
        };
        let options =
            if options.is_empty() { String::new() } else { format!("\n    options: {{{options}}}") };
        let reject = if self.random.percent(20) { "\n    reject: [{name: db}]" } else { "" };
        let _ = writeln!(
            text,
            "replacements:\n- source:\n    kind: {source_kind}\n    name: {source_name}{field}\n  targets:\n  - select: {select}{reject}\n    fieldPaths: [\"{path}\"]{options}"
        );
    }

    fn transformers(&mut self, text: &mut String) {
        let transformer = self.random.of(&[
            "kind: NamespaceTransformer\nmetadata: {name: n, namespace: forced}\nunsetOnly: true\nfieldSpecs: [{path: metadata/namespace, create: true}]\n",
            "kind: NamespaceTransformer\nmetadata: {name: n, namespace: forced}\nsetRoleBindingSubjects: allServiceAccounts\n",
            "kind: NamespaceTransformer\nmetadata: {name: n, namespace: forced}\nsetRoleBindingSubjects: none\nfieldSpecs: [{path: metadata/namespace, create: true}]\n",
            "kind: PrefixTransformer\nmetadata: {name: p}\nprefix: t-\nfieldSpecs: [{path: metadata/name, kind: Service}]\n",
            "kind: SuffixTransformer\nmetadata: {name: p}\nsuffix: -t\nfieldSpecs: [{path: metadata/name}]\n",
            "kind: LabelTransformer\nmetadata: {name: l}\nlabels: {t: l}\nfieldSpecs: [{path: metadata/labels, create: true}, {path: spec/selector, kind: Service}]\n",
            "kind: AnnotationsTransformer\nmetadata: {name: l}\nannotations: {t: a}\nfieldSpecs: [{path: metadata/annotations, create: true}]\n",
            "kind: ImageTagTransformer\nmetadata: {name: i}\nimageTag: {name: nginx, newTag: t}\nfieldSpecs: [{path: 'spec/template/spec/containers[]/image'}]\n",
            "kind: ReplicaCountTransformer\nmetadata: {name: r}\nreplica: {name: web, count: 4}\nfieldSpecs: [{path: spec/replicas, create: true, kind: Deployment}]\n",
            "kind: PatchTransformer\nmetadata: {name: x}\ntarget: {kind: Service}\npatch: '[{\"op\": \"add\", \"path\": \"/metadata/annotations/t\", \"value\": \"p\"}]'\n",
            "kind: HashTransformer\nmetadata: {name: h}\n",
        ]);
        let _ = write!(
            text,
            "transformers:\n- |-\n{}",
            indented(&format!("apiVersion: builtin\n{transformer}"), 2)
        );
    }

    fn top_fields(&mut self, text: &mut String) {
        if self.random.percent(20) {
            let options = self.random.of(&[
                "{order: legacy}",
                "{order: fifo}",
                "{order: legacy, legacySortOptions: {orderFirst: [Service], orderLast: [Deployment]}}",
            ]);
            let _ = writeln!(text, "sortOptions: {options}");
        }
        if self.random.percent(12) {
            let _ = writeln!(text, "buildMetadata: [originAnnotations, transformerAnnotations]");
        }
    }
}

/// What every patch begins with.
fn header(kind: &str, name: &str, namespace: &str) -> String {
    let version = api_version(kind);
    let line = if namespace.is_empty() { String::new() } else { format!("  namespace: {namespace}\n") };
    format!("apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n{line}")
}

fn api_version(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" => "apps/v1",
        "RoleBinding" | "Role" | "ClusterRoleBinding" | "ClusterRole" => "rbac.authorization.k8s.io/v1",
        "Ingress" | "NetworkPolicy" => "networking.k8s.io/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2",
        "CronJob" | "Job" => "batch/v1",
        "PodDisruptionBudget" => "policy/v1",
        "CustomResourceDefinition" => "apiextensions.k8s.io/v1",
        "Widget" => "example.com/v1",
        "ValidatingWebhookConfiguration" => "admissionregistration.k8s.io/v1",
        _ => "v1",
    }
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}
