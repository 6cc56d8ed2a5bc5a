//! A wider grammar: kinds in and outside of namespaces, custom ones among them, through bases, components and diamonds,
//! with the fields that decide how other fields work: replacements and labels with every option, generators with
//! behaviours, renamed objects, deprecated fields, plugins, schemas, definitions and configurations.

use std::fmt::Write as _;

use seaway_object::yaml;
use serde_json::{Value, json};

use crate::grammar::{Random, TOP};

const NAMES: &[&str] = &["web", "api", "db"];
const IMAGES: &[&str] = &["nginx", "nginx:1.2", "reg.io/a/b:v1", "reg.io:5000/x", "busybox@sha256:0123"];

/// Objects without their metadata. `NAME`, `OTHER`, `IMAGE` and `GENERATED` are filled in.
const OBJECTS: &[&str] = &[
    r#"{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":2,"selector":{"matchLabels":{"app":"NAME"}},"template":{"metadata":{"labels":{"app":"NAME"}},"spec":{"containers":[{"name":"main","image":"IMAGE","env":[{"name":"A","value":"a-$(V1)"},{"name":"B","valueFrom":{"configMapKeyRef":{"name":"GENERATED","key":"k"}}}],"args":["--x=$(V2)"],"ports":[{"containerPort":80},{"containerPort":53,"protocol":"UDP"}]},{"name":"side","image":"IMAGE","envFrom":[{"secretRef":{"name":"GENERATED"}}]}],"volumes":[{"name":"v","secret":{"secretName":"OTHER"}}]}}}}"#,
    r#"{"apiVersion":"apps/v1","kind":"StatefulSet","spec":{"serviceName":"OTHER","selector":{"matchLabels":{"app":"NAME"}},"template":{"metadata":{"labels":{"app":"NAME"}},"spec":{"serviceAccountName":"OTHER","containers":[{"name":"main","image":"IMAGE"}]}},"volumeClaimTemplates":[{"metadata":{"name":"data"}}]}}"#,
    r#"{"apiVersion":"apps/v1","kind":"DaemonSet","spec":{"selector":{"matchLabels":{"app":"NAME"}},"template":{"metadata":{"labels":{"app":"NAME"}},"spec":{"initContainers":[{"name":"init","image":"IMAGE"}],"containers":[{"name":"main","image":"IMAGE"}],"affinity":{"podAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"podAffinityTerm":{"labelSelector":{"matchLabels":{"app":"NAME"}}},"weight":1}]}}}}}}"#,
    r#"{"apiVersion":"v1","kind":"Service","spec":{"selector":{"app":"NAME"},"ports":[{"port":80},{"port":80,"protocol":"UDP"}]}}"#,
    r#"{"apiVersion":"v1","kind":"ConfigMap","data":{"k":"x:y","host":"OTHER.example.com"}}"#,
    r#"{"apiVersion":"v1","kind":"Secret","data":{"k":"dg=="}}"#,
    r#"{"apiVersion":"v1","kind":"ServiceAccount","secrets":[{"name":"OTHER"}],"imagePullSecrets":[{"name":"OTHER"}]}"#,
    r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","rules":[{"apiGroups":[""],"resources":["secrets"],"resourceNames":["OTHER"],"verbs":["get"]}]}"#,
    r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","subjects":[{"kind":"ServiceAccount","name":"OTHER","namespace":"shop"},{"kind":"ServiceAccount","name":"default"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"OTHER"}}"#,
    r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","rules":[]}"#,
    r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","subjects":[{"kind":"ServiceAccount","name":"OTHER","namespace":"ops"},{"kind":"User","name":"u"}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"OTHER"}}"#,
    r#"{"apiVersion":"extensions/v1beta1","kind":"Ingress","spec":{"rules":[{"host":"h.example.com","http":{"paths":[{"path":"/","backend":{"serviceName":"OTHER","servicePort":80}}]}}],"tls":[{"secretName":"OTHER"}]}}"#,
    r#"{"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","spec":{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"OTHER"}}}"#,
    r#"{"apiVersion":"batch/v1beta1","kind":"CronJob","spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"IMAGE"}]}}}}}}"#,
    r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","spec":{"volumeName":"OTHER","storageClassName":"OTHER"}}"#,
    r#"{"apiVersion":"v1","kind":"PersistentVolume","spec":{"claimRef":{"name":"OTHER","namespace":"shop"},"storageClassName":"OTHER"}}"#,
    r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass"}"#,
    r#"{"apiVersion":"v1","kind":"Namespace"}"#,
    r#"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingWebhookConfiguration","webhooks":[{"name":"a.b.c","clientConfig":{"service":{"name":"OTHER","namespace":"shop"}}}]}"#,
    r#"{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","spec":{"service":{"name":"OTHER","namespace":"shop"}}}"#,
    r#"{"apiVersion":"example.com/v1","kind":"Widget","spec":{"image":"IMAGE","ref":{"name":"GENERATED"},"refs":[{"name":"OTHER"},{"name":"NAME"}],"list":[{"key":"a","v":1},{"key":"b","v":"2"}],"sel":{"app":"NAME"},"host":"OTHER.x.z","num":5,"deep":{"containers":[{"name":"c","image":"IMAGE"}]}}}"#,
    r#"{"apiVersion":"example.com/v1","kind":"Widget","spec":{"ref":{"name":"OTHER"},"host":"a.b"}}"#,
    r#"{"apiVersion":"other.io/v2","kind":"Gadget","spec":{"w":"OTHER","replicas":2}}"#,
];

const METADATA: &[&str] = &[
    r#"{"name":"NAME"}"#,
    r#"{"name":"NAME"}"#,
    r#"{"name":"NAME","namespace":"shop"}"#,
    r#"{"name":"NAME","namespace":"default","labels":{"app":"NAME","tier":"x"}}"#,
    r#"{"name":"NAME","labels":{"num":1,"b":true},"annotations":{"a":"b","a.b/c":"OTHER"}}"#,
    r#"{"name":"NAME","annotations":{"ref":"OTHER","num":"1"}}"#,
];

/// What patches say besides whom they patch: of any kind, of one that makes pods, of one with data, of a custom one.
const PATCHES: [&[&str]; 4] = [
    &[
        r#"{"metadata":{"labels":{"pl":"1"}}}"#,
        r#"{"metadata":{"annotations":{"a":null,"pa":"2"}}}"#,
        r#"{"metadata":{"annotations":null}}"#,
        r#"{"metadata":{"annotations":{"$patch":"replace","only":"1"}}}"#,
        r#"{"spec":{"x":{"z":1}}}"#,
        r#"{"spec":null}"#,
        r#"{"$patch":"delete"}"#,
    ],
    &[
        r#"{"spec":{"replicas":7}}"#,
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"p:1","env":[{"name":"A","value":"p"},{"name":"C","value":"c"}]}]}}}}"#,
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","$patch":"delete"}]}}}}"#,
        r#"{"spec":{"template":{"spec":{"$patch":"replace","containers":[{"name":"only"}]}}}}"#,
        r#"{"spec":{"template":{"spec":{"containers":[{"$patch":"replace"},{"name":"r"}]}}}}"#,
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","ports":[{"containerPort":80,"name":"h"}]}]}}}}"#,
    ],
    &[
        r#"{"data":{"k":"cGF0Y2g=","nn":"eA=="}}"#,
        r#"{"data":null}"#,
        r#"{"data":{"$patch":"replace","z":"eA=="}}"#,
        r#"{"immutable":true}"#,
    ],
    &[
        r#"{"spec":{"list":[{"key":"a","v":9}]}}"#,
        r#"{"spec":{"sel":{"$patch":"replace","q":"r"}}}"#,
        r#"{"spec":{"refs":[]}}"#,
        r#"{"spec":{"num":null,"deep":{"containers":[{"name":"c","image":"z"}]}}}"#,
    ],
];

const OPERATIONS: &[&str] = &[
    r#"[{"op":"add","path":"/metadata/annotations","value":{"j":"1"}}]"#,
    r#"[{"op":"replace","path":"/metadata/name","value":"renamed"}]"#,
    r#"[{"op":"add","path":"/metadata/labels","value":{"j~1":"x"}}]"#,
    r#"[{"op":"add","path":"/metadata/namespace","value":"jns"}]"#,
    r#"[{"op":"replace","path":"/kind","value":"Other"}]"#,
    r#"[{"op":"test","path":"/kind","value":"KIND"},{"op":"add","path":"/extra","value":[1,{"a":null}]}]"#,
];

const LABELS: &[&str] = &[
    r#"{"pairs":{"l":"1"}}"#,
    r#"{"pairs":{"app":"z"},"includeSelectors":true}"#,
    r#"{"pairs":{"l":"1"},"includeTemplates":true}"#,
    r#"{"pairs":{"l":"2"},"includeSelectors":true,"includeTemplates":true}"#,
    r#"{"pairs":{"l":"1"},"fields":[{"path":"spec/sel","kind":"Widget","create":true}]}"#,
    r#"{"pairs":{"l":"1"},"includeTemplates":true,"fields":[{"path":"spec/new/labels","group":"example.com","create":true}]}"#,
    r#"{"pairs":{"l":"1"},"fields":[{"path":"spec/selector","version":"v1","kind":"Service"}]}"#,
];

/// Where replacements read, by kind; any other kind by its name.
const SOURCES: &[(&str, &[&str])] = &[
    ("ConfigMap", &["data.host", "data.k"]),
    ("Service", &["spec.ports.0.port", "spec.selector", "spec.ports.[port=80].port"]),
    ("Deployment", &["spec.template.spec.containers.[name=main].image", "spec.replicas"]),
    ("Widget", &["spec.host", "spec.ref.name"]),
];

/// Where replacements write, by kind, with options; any other kind into an annotation.
const TARGETS: &[(&str, &str, &str)] = &[
    ("ConfigMap", "data.host", ""),
    ("ConfigMap", "data.new", "create: true"),
    ("Service", "spec.selector.app", ""),
    ("Service", "spec.ports.*.targetPort", "create: true"),
    ("Deployment", "spec.template.spec.containers.*.image", "delimiter: ':', index: 1"),
    ("Deployment", "spec.template.spec.containers.[name=main].env.[name=NEW].value", "create: true"),
    ("Deployment", "spec.template.spec.containers.0.args.0", "delimiter: '=', index: 5"),
    ("Widget", "spec.host", "delimiter: ., index: -1"),
    ("Widget", "spec.new.deep.field", "create: true"),
];

const TRANSFORMERS: &[&str] = &[
    r#"{"kind":"NamespaceTransformer","metadata":{"name":"t","namespace":"tns"},"unsetOnly":true,"fieldSpecs":[{"path":"metadata/namespace","create":true}]}"#,
    r#"{"kind":"NamespaceTransformer","metadata":{"name":"t","namespace":"tns"},"setRoleBindingSubjects":"allServiceAccounts"}"#,
    r#"{"kind":"PrefixTransformer","metadata":{"name":"t"},"prefix":"t-","fieldSpecs":[{"path":"metadata/name"}]}"#,
    r#"{"kind":"PrefixSuffixTransformer","metadata":{"name":"t"},"prefix":"t-","suffix":"-t","fieldSpecs":[{"path":"metadata/name","kind":"Service"}]}"#,
    r#"{"kind":"LabelTransformer","metadata":{"name":"t"},"labels":{"tl":"1"},"fieldSpecs":[{"path":"metadata/labels","create":true},{"path":"spec/template/metadata/labels","kind":"Deployment"}]}"#,
    r#"{"kind":"ImageTagTransformer","metadata":{"name":"t"},"imageTag":{"name":"nginx","newTag":"tt"},"fieldSpecs":[{"path":"spec/image","kind":"Widget"}]}"#,
    r#"{"kind":"PatchTransformer","metadata":{"name":"t"},"patch":"[{\"op\":\"add\",\"path\":\"/spec/t\",\"value\":1}]","target":{"kind":"Widget|Service"}}"#,
    r#"{"kind":"HashTransformer","metadata":{"name":"t"}}"#,
    r#"{"kind":"ValueAddTransformer","metadata":{"name":"t"},"value":"va","targets":[{"fieldPath":"metadata/annotations/va"}]}"#,
];

const CONFIGURATIONS: &[&str] = &[
    r#"{"nameReference":[{"kind":"ConfigMap","fieldSpecs":[{"path":"spec/ref/name","kind":"Widget"},{"path":"spec/refs/name","kind":"Widget"}]}]}"#,
    r#"{"nameReference":[{"kind":"Widget","group":"example.com","fieldSpecs":[{"path":"spec/w","kind":"Gadget"}]}],"images":[{"path":"spec/image","kind":"Widget"}]}"#,
    r#"{"varReference":[{"path":"spec/host","kind":"Widget"}],"namespace":[{"path":"spec/ns","kind":"Widget","create":true}]}"#,
    r#"{"namePrefix":[{"path":"spec/w","kind":"Gadget"}],"replicas":[{"path":"spec/replicas","kind":"Gadget","create":true}]}"#,
    r#"{"commonAnnotations":[{"path":"spec/anno","create":true,"kind":"Widget"}]}"#,
];

const SCHEMA: &str = r#"{"definitions":{"W":{"properties":{"spec":{"properties":{"list":{"type":"array","items":{"type":"object"},"x-kubernetes-patch-merge-key":"key","x-kubernetes-patch-strategy":"merge"}}}},"x-kubernetes-group-version-kind":[{"group":"example.com","kind":"Widget","version":"v1"}]}}}"#;
const DEFINITIONS: &str = r#"{"com.example.v1.Widget":{"Schema":{"properties":{"apiVersion":{},"kind":{},"metadata":{},"spec":{"$ref":"WS"}}}},"WS":{"Schema":{"properties":{"ref":{"x-kubernetes-object-ref-api-version":"v1","x-kubernetes-object-ref-kind":"Secret"},"host":{"x-kubernetes-identity":""}}}}}"#;

#[derive(Clone)]
struct Made {
    kind: String,
    name: String,
    namespace: Option<String>,
    version: String,
}

struct Writer {
    random: Random,
    files: Vec<(String, String)>,
    made: Vec<Made>,
    /// Fields and names of generators.
    generated: Vec<(&'static str, String)>,
}

/// The kustomization of a seed.
pub(crate) fn files(seed: u64) -> Vec<(String, String)> {
    let mut it =
        Writer { random: Random::new(seed), files: Vec::new(), made: Vec::new(), generated: Vec::new() };
    it.kustomization("base", &[], false);
    let mut below = vec!["../base".to_owned()];
    match it.random.below(4) {
        0 => {
            it.kustomization("other", &[], false);
            below.push("../other".to_owned());
        }
        1 => {
            it.kustomization("left", &below, false);
            it.kustomization("right", &below, false);
            // Both rename what they share, or it would be there twice.
            for (side, line) in [("left", "namePrefix: l-\n"), ("right", "namePrefix: r-\n")] {
                let path = format!("{side}/kustomization.yaml");
                let file = it.files.iter_mut().find(|(name, _)| *name == path).unwrap();
                file.1 = file
                    .1
                    .lines()
                    .filter(|line| !line.starts_with("namePrefix"))
                    .fold(line.to_owned(), |text, line| text + line + "\n");
            }
            below = vec!["../left".to_owned(), "../right".to_owned()];
        }
        _ => {}
    }
    it.kustomization(TOP, &below, true);
    it.files
}

impl Writer {
    fn json(&mut self, templates: &[&str], name: &str) -> Value {
        let text = self.random.of(templates);
        let (other, generated) = (self.random.of(NAMES), self.random.of(&["gen", "gen", "web"]));
        let image = self.random.of(IMAGES);
        let text = text.replace("NAME", name).replace("OTHER", other).replace("GENERATED", generated);
        serde_json::from_str(&text.replace("IMAGE", image)).unwrap()
    }

    /// A value as text: JSON or blocks, which are read differently where they hold nothing.
    fn text(&mut self, value: &Value) -> String {
        if self.random.percent(50) { format!("{value}\n") } else { yaml::to_string(value) }
    }

    fn file(&mut self, folder: &str, content: String) -> String {
        let name = format!("f{}.yaml", self.files.len());
        self.files.push((format!("{folder}/{name}"), content));
        name
    }

    fn object(&mut self) -> Option<String> {
        let name = self.random.of(NAMES);
        let mut object = self.json(OBJECTS, name);
        object["metadata"] = self.json(METADATA, name);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let made = Made {
            kind: text(&object["kind"]).unwrap(),
            name: name.to_owned(),
            namespace: text(&object["metadata"]["namespace"]),
            version: text(&object["apiVersion"]).unwrap(),
        };
        if self.made.iter().any(|other| other.kind == made.kind && other.name == made.name) {
            return None;
        }
        self.made.push(made);
        Some(self.text(&object))
    }

    fn target(&mut self) -> Made {
        self.made[self.random.below(self.made.len())].clone()
    }

    fn kustomization(&mut self, folder: &str, below: &[String], is_top: bool) {
        let mut resources = below.to_vec();
        let count = if below.is_empty() { 2 + self.random.below(4) } else { self.random.below(3) };
        for _ in 0..count {
            if let Some(object) = self.object() {
                resources.push(self.file(folder, object));
            }
        }
        let mut text = format!("resources: {}\n", json!(resources));
        if self.random.percent(30) {
            let component = format!("c{}", self.files.len());
            let mut fields = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n".to_owned();
            self.fields(&component, &mut fields);
            self.files.push((format!("{component}/kustomization.yaml"), fields));
            let _ = writeln!(text, "components: [../{component}]");
        }
        self.fields(folder, &mut text);
        if is_top && self.random.percent(25) {
            let options = self.random.of(&[
                "sortOptions: {order: fifo}",
                "sortOptions: {order: legacy, legacySortOptions: {orderFirst: [Widget, Service], orderLast: [Namespace]}}",
                "buildMetadata: [originAnnotations]",
                "buildMetadata: [originAnnotations, transformerAnnotations]",
            ]);
            let _ = writeln!(text, "{options}");
        }
        self.files.push((format!("{folder}/kustomization.yaml"), text));
    }

    fn fields(&mut self, folder: &str, text: &mut String) {
        const FIELDS: &[fn(&mut Writer, &str) -> String] = &[
            Writer::generator,
            Writer::labels,
            |it, _| {
                it.random
                    .of(&["commonAnnotations: {ca: x}", "commonAnnotations: {a: over, t: '2'}"])
                    .to_owned()
            },
            |it, _| format!("namespace: {}", it.random.of(&["shop", "team", "default"])),
            |it, _| it.random.of(&["namePrefix: p-", "nameSuffix: -s"]).to_owned(),
            Writer::images,
            Writer::patches,
            Writer::replacements,
            Writer::transformers,
            Writer::variables,
            |it, folder| {
                let content = it.random.of(CONFIGURATIONS).to_owned();
                format!("configurations: [{}]", it.file(folder, content))
            },
            |it, folder| format!("openapi: {{path: {}}}", it.file(folder, SCHEMA.to_owned())),
            |it, folder| format!("crds: [{}]", it.file(folder, DEFINITIONS.to_owned())),
            Writer::deprecated,
        ];
        for field in FIELDS {
            if self.random.percent(12) {
                let line = field(self, folder);
                let _ = writeln!(text, "{}", line.trim_end());
            }
        }
    }

    fn generator(&mut self, folder: &str) -> String {
        let field = if self.random.percent(50) { "configMapGenerator" } else { "secretGenerator" };
        let mut args = json!({"name": "gen", "literals": [self.random.of(&["a=1", "k=v", "b=", "q='x'"])]});
        if self.generated.iter().any(|(other, _)| *other == field) {
            args["behavior"] = Value::from(self.random.of(&["merge", "merge", "replace", "create"]));
        }
        if self.random.percent(30) {
            let content = self.random.of(&["text\n", "a\nb", "x\r\nz\r\n", "ü\n"]).to_owned();
            args["files"] = json!([format!("n={}", self.file(folder, content))]);
        }
        if self.random.percent(40) {
            let options = self.random.of(&[
                r#"{"disableNameSuffixHash":true}"#,
                r#"{"immutable":true}"#,
                r#"{"labels":{"gl":"1"},"annotations":{"ga":"2"}}"#,
            ]);
            args["options"] = serde_json::from_str(options).unwrap();
        }
        self.generated.push((field, "gen".to_owned()));
        format!("{field}: [{args}]")
    }

    fn labels(&mut self, _: &str) -> String {
        match self.random.below(3) {
            0 => format!("commonLabels: {{{}}}", self.random.of(&["cl: x", "app: over"])),
            1 => format!("labels: [{}]", self.random.of(LABELS)),
            _ => format!("labels: [{}, {}]", self.random.of(LABELS), self.random.of(LABELS)),
        }
    }

    fn images(&mut self, _: &str) -> String {
        const RULES: &[&str] = &[
            "{name: nginx, newTag: '9'}",
            "{name: reg.io/a/b, newName: n/m}",
            "{name: 'reg.io:5000/x', newTag: t, newName: v}",
            "{name: busybox, digest: 'sha256:ff'}",
            "{name: ngin., newTag: dot}",
            "{name: nginx, tagSuffix: -s}",
        ];
        format!("images: [{}, {}]", self.random.of(RULES), self.random.of(RULES))
    }

    fn patch(&mut self, target: &Made) -> Value {
        let own = match target.kind.as_str() {
            "Deployment" | "StatefulSet" | "DaemonSet" => 1,
            "ConfigMap" | "Secret" => 2,
            "Widget" => 3,
            _ => 0,
        };
        let list = if self.random.percent(60) { PATCHES[own] } else { PATCHES[0] };
        let mut patch: Value = serde_json::from_str(self.random.of(list)).unwrap();
        patch["apiVersion"] = Value::from(target.version.as_str());
        patch["kind"] = Value::from(target.kind.as_str());
        if !patch["metadata"].is_object() {
            patch["metadata"] = json!({});
        }
        patch["metadata"]["name"] = Value::from(target.name.as_str());
        if let Some(namespace) = &target.namespace {
            patch["metadata"]["namespace"] = Value::from(namespace.as_str());
        }
        patch
    }

    fn patches(&mut self, folder: &str) -> String {
        let mut entries = Vec::new();
        for _ in 0..=self.random.below(2) {
            let target = self.target();
            let Made { kind, name, .. } = &target;
            let mut entry = json!({});
            let mut text = {
                let patch = self.patch(&target);
                self.text(&patch)
            };
            if self.random.percent(50) {
                entry["target"] = match self.random.below(6) {
                    0 => json!({"kind": kind}),
                    1 => json!({"name": name}),
                    2 => json!({"kind": kind, "name": format!("{}.*", &name[..1])}),
                    3 => json!({"labelSelector": format!("app in ({name},zz)")}),
                    4 => json!({"annotationSelector": "a=b", "version": "v1"}),
                    _ => json!({"kind": kind, "name": name}),
                };
                if self.random.percent(50) {
                    let operations: Value =
                        serde_json::from_str(&self.random.of(OPERATIONS).replace("KIND", kind)).unwrap();
                    text = self.text(&operations);
                }
            }
            if self.random.percent(15) {
                entry["options"] = json!({self.random.of(&["allowNameChange", "allowKindChange"]): true});
            }
            let field = if self.random.percent(40) { "path" } else { "patch" };
            entry[field] = Value::from(if field == "path" { self.file(folder, text) } else { text });
            entries.push(entry);
        }
        format!("patches: {}", Value::from(entries))
    }

    fn deprecated(&mut self, folder: &str) -> String {
        let target = self.target();
        if self.random.percent(50) {
            let patch = self.patch(&target);
            let text = self.text(&patch);
            return format!("patchesStrategicMerge: [{}]", self.file(folder, text));
        }
        let (group, version) = target.version.split_once('/').unwrap_or(("", &target.version));
        let operations = self.random.of(OPERATIONS).replace("KIND", &target.kind);
        let exact = json!({"group": group, "version": version, "kind": target.kind, "name": target.name});
        format!("patchesJson6902: [{}]", json!({"target": exact, "patch": operations}))
    }

    fn replacements(&mut self, folder: &str) -> String {
        let (from, to) = (self.target(), self.target());
        let mut source = json!({"kind": from.kind, "name": from.name});
        if self.random.percent(15) {
            source["namespace"] = Value::from(from.namespace.as_deref().unwrap_or("default"));
        }
        if let Some(&(_, fields)) = SOURCES.iter().find(|(kind, _)| *kind == from.kind) {
            source["fieldPath"] = Value::from(self.random.of(fields));
        }
        if self.random.percent(20) {
            source["options"] =
                json!({"delimiter": self.random.of(&[".", ":"]), "index": self.random.below(2)});
        }
        let fitting: Vec<&(&str, &str, &str)> =
            TARGETS.iter().filter(|(kind, ..)| *kind == to.kind).collect();
        let (path, options) = match fitting.len() {
            0 => ("metadata.annotations.[a.b/c]", "create: true"),
            count => {
                let (_, path, options) = fitting[self.random.below(count)];
                (*path, *options)
            }
        };
        let select = if self.random.percent(50) {
            json!({"kind": to.kind, "name": to.name})
        } else {
            json!({"kind": to.kind})
        };
        let reject = match self.random.below(8) {
            0 => ", reject: [{name: db}]",
            1 => ", reject: [{labelSelector: 'tier=x'}]",
            2 => ", reject: [{kind: Service}, {annotationSelector: 'a=b', kind: Widget}]",
            _ => "",
        };
        let entry = format!(
            "{{source: {source}, targets: [{{select: {select}, fieldPaths: [\"{path}\"], options: {{{options}}}{reject}}}]}}"
        );
        if self.random.percent(25) {
            return format!("replacements: [{{path: {}}}]", self.file(folder, format!("[{entry}]\n")));
        }
        format!("replacements: [{entry}]")
    }

    fn transformers(&mut self, folder: &str) -> String {
        let mut plugin: Value = serde_json::from_str(self.random.of(TRANSFORMERS)).unwrap();
        plugin["apiVersion"] = Value::from("builtin");
        let text = self.text(&plugin);
        if self.random.percent(40) {
            return format!("transformers: [{}]", self.file(folder, text));
        }
        format!("transformers: [{}]", Value::from(text))
    }

    fn variables(&mut self, _: &str) -> String {
        let Made { kind, name, version, .. } = self.target();
        let variable = self.random.of(&["V1", "V2"]);
        let field = match kind.as_str() {
            "Service" => "spec.ports[0].port",
            "ConfigMap" => "data.host",
            "Widget" => "spec.host",
            _ => "metadata.name",
        };
        let object = json!({"kind": kind, "name": name, "apiVersion": version});
        format!("vars: [{{name: {variable}, objref: {object}, fieldref: {{fieldpath: \"{field}\"}}}}]")
    }
}
