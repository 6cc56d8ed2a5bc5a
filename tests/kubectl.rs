//! A current, real kubectl drives `seaway up` as it drives any cluster.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Seaway, eventually, failed_start};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: registry.example.com/web:1
        ports: [{containerPort: 80}]
";

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 0}
              color: {type: string, enum: [red, green], default: red}
          status: {type: object, properties: {size: {type: integer}}}
";

const WIDGET: &str = "
apiVersion: example.com/v1
kind: Widget
metadata: {name: one}
spec: {size: 2}
";

#[test]
fn what_there_is_can_be_discovered_and_explained() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    assert!(k.ok("version").stdout.contains("Server Version: v1."));
    assert!(k.ok("cluster-info").stdout.contains("is running at https://127.0.0.1:"));
    k.prints("get --raw /healthz", "ok");
    k.prints("get --raw /readyz", "ok");
    let resources = k.ok("api-resources --no-headers").rows();
    for row in [
        "configmaps cm v1 true ConfigMap",
        "deployments deploy apps/v1 true Deployment",
        "customresourcedefinitions crd,crds apiextensions.k8s.io/v1 false CustomResourceDefinition",
        "clusterroles rbac.authorization.k8s.io/v1 false ClusterRole",
    ] {
        assert!(resources.iter().any(|r| r == row), "{row} is missing in {resources:#?}");
    }
    let versions = k.ok("api-versions").rows();
    for version in ["apps/v1", "batch/v1", "networking.k8s.io/v1", "v1"] {
        assert!(versions.iter().any(|v| v == version), "{version}");
    }
    let explained = k.ok("explain deployment.spec.replicas").stdout;
    assert!(explained.contains("GROUP:") && explained.contains("FIELD: replicas <integer>"), "{explained}");
    assert!(explained.contains("Number of desired pods."), "{explained}");
    assert!(k.ok("explain pods.spec.containers --recursive").stdout.contains("imagePullPolicy"));
    let old_way = k.ok("explain deployment.spec.replicas --output=plaintext-openapiv2").stdout;
    assert!(
        old_way.contains("FIELD:    replicas <integer>") && old_way.contains("Number of desired pods."),
        "{old_way}"
    );
    k.fails("get nonsense", "the server doesn't have a resource type \"nonsense\"");
}

#[test]
fn objects_are_created_read_changed_and_deleted() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    k.prints("create namespace shop", "namespace/shop created");
    k.fails("create namespace shop", "namespaces \"shop\" already exists");
    k.fails("create configmap x -n nowhere", "namespaces \"nowhere\" not found");
    k.prints(
        "create configmap settings -n shop --from-literal=color=red --from-literal=size=2",
        "configmap/settings created",
    );
    k.prints("create secret generic key -n shop --from-literal=token=abc", "secret/key created");
    k.prints("create serviceaccount robot -n shop", "serviceaccount/robot created");
    k.prints(
        "create deployment web -n shop --image=registry.example.com/web:1 --replicas=3",
        "deployment.apps/web created",
    );
    k.prints("expose deployment web -n shop --port=80 --target-port=8080", "service/web exposed");
    k.prints("create job once -n shop --image=registry.example.com/job:1", "job.batch/once created");
    k.prints(
        "create role reader -n shop --verb=get,list --resource=pods",
        "role.rbac.authorization.k8s.io/reader created",
    );
    k.prints(
        "create rolebinding robot-reads -n shop --role=reader --serviceaccount=shop:robot",
        "rolebinding.rbac.authorization.k8s.io/robot-reads created",
    );
    k.prints("create quota limits -n shop --hard=pods=5", "resourcequota/limits created");

    k.prints("get configmap settings -n shop -o jsonpath={.data.color}", "red");
    k.prints("get secret key -n shop -o go-template={{.data.token}}", "YWJj");
    k.prints("get deployments -n shop -o name", "deployment.apps/web");
    k.prints(
        "get deploy web -n shop -o custom-columns=N:.metadata.name,R:.spec.replicas --no-headers",
        "web   3",
    );
    let wide = k.ok("get deployments -n shop -o wide").rows();
    assert_eq!(wide[0], "NAME READY UP-TO-DATE AVAILABLE AGE CONTAINERS IMAGES SELECTOR");
    assert!(wide[1].starts_with("web 0/3 "), "{wide:?}");
    assert!(wide[1].ends_with(" web registry.example.com/web:1 app=web"), "{wide:?}");
    let yaml = k.ok("get deploy web -n shop -o yaml").stdout;
    assert!(yaml.contains("  revisionHistoryLimit: 10\n"), "defaults are filled in: {yaml}");
    let json: serde_json::Value = serde_json::from_str(&k.ok("get svc web -n shop -o json").stdout).unwrap();
    assert_eq!(json["spec"]["ports"][0]["targetPort"], 8080);
    assert!(json["spec"]["clusterIP"].as_str().unwrap().starts_with("10.96."));
    assert!(k.ok("get all -n shop").stdout.contains("deployment.apps/web"));
    assert!(k.ok("get ns --no-headers").stdout.contains("shop "));
    assert!(k.ok("describe deployment web -n shop").stdout.contains("Replicas:"));
    assert!(k.ok("describe configmap settings -n shop").stdout.contains("color:"));

    k.prints("label deploy web -n shop tier=front", "deployment.apps/web labeled");
    k.prints("get deploy -n shop -l tier=front,app!=x -o name", "deployment.apps/web");
    assert_eq!(k.ok("get deploy -n shop -l tier=back -o name").stdout, "");
    k.fails("label deploy web -n shop tier=back", "already has a value");
    k.prints("label deploy web -n shop tier-", "deployment.apps/web unlabeled");
    k.prints("annotate deploy web -n shop note=hello", "deployment.apps/web annotated");
    k.prints("get deploy web -n shop -o jsonpath={.metadata.annotations.note}", "hello");
    k.prints("scale deploy web -n shop --replicas=5", "deployment.apps/web scaled");
    k.prints("get deploy web -n shop -o jsonpath={.spec.replicas}", "5");
    k.prints(
        "set image deploy/web -n shop web=registry.example.com/web:2",
        "deployment.apps/web image updated",
    );
    k.prints("get configmaps -n shop --field-selector metadata.name=settings -o name", "configmap/settings");
    k.fails("get configmaps -n shop --field-selector data.x=1", "\"data.x\" is not a known field selector");
    let in_pages = k.ok("get configmaps -A --chunk-size=2 -o name").rows();
    assert!(in_pages.len() > 4);
    assert_eq!(in_pages, k.ok("get configmaps -A -o name").rows());

    k.prints("delete deploy web -n shop", "deployment.apps \"web\" deleted from shop namespace");
    k.fails("get deploy web -n shop", "deployments.apps \"web\" not found");
    k.prints(
        "delete configmap settings gone -n shop --ignore-not-found",
        "configmap \"settings\" deleted from shop namespace",
    );
    k.ok("delete secrets --all -n shop");
    assert_eq!(k.ok("get secrets -n shop -o name").stdout, "");
    k.prints("delete namespace shop", "namespace \"shop\" deleted");
    assert!(!k.run("get ns shop").success);
    k.fails("delete namespace default", "this namespace may not be deleted");
}

#[test]
fn the_patches_do_what_each_of_them_means() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    k.apply(DEPLOYMENT);
    let patch = |kind: &str, patch: &str| {
        k.args(&["patch", "deploy", "web", &format!("--type={kind}"), "-p", patch], "")
    };
    let images = || k.ok("get deploy web -o jsonpath={.spec.template.spec.containers[*].image}").stdout;
    // Strategic: lists are merged by name.
    let printed = patch(
        "strategic",
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"side:1"}]}}}}"#,
    );
    assert_eq!(printed.stdout.trim(), "deployment.apps/web patched", "{}", printed.stderr);
    assert_eq!(images(), "side:1 registry.example.com/web:1");
    patch(
        "strategic",
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"side","$patch":"delete"}]}}}}"#,
    );
    assert_eq!(images(), "registry.example.com/web:1");
    // JSON merge: lists are replaced.
    patch("merge", r#"{"spec":{"template":{"spec":{"containers":[{"name":"other","image":"other:1"}]}}}}"#);
    assert_eq!(images(), "other:1");
    // JSON patch: by position, with tests.
    assert!(patch("json", r#"[{"op":"test","path":"/spec/replicas","value":2},{"op":"replace","path":"/spec/replicas","value":4}]"#).success);
    k.prints("get deploy web -o jsonpath={.spec.replicas}", "4");
    let refused = patch("json", r#"[{"op":"test","path":"/spec/replicas","value":2}]"#);
    assert!(!refused.success && !refused.stderr.is_empty());
    let refused = patch("merge", "{\"spec\":");
    assert!(!refused.success);
    // What validation refuses, it refuses in a patch too, naming the field.
    let refused = patch("merge", r#"{"spec":{"replicas":-1}}"#);
    assert!(refused.stderr.contains("spec.replicas: Invalid value: -1"), "{}", refused.stderr);
    let refused = patch("merge", r#"{"spec":{"selector":{"matchLabels":{"app":"y"}}}}"#);
    assert!(refused.stderr.contains("spec.selector"), "{}", refused.stderr);
    assert!(refused.stderr.contains("field is immutable"), "{}", refused.stderr);
}

#[test]
fn apply_on_the_client_is_a_three_way_merge() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    assert_eq!(k.apply(DEPLOYMENT), "deployment.apps/web created\n");
    assert_eq!(k.apply(DEPLOYMENT), "deployment.apps/web unchanged\n");
    k.ok("scale deploy web --replicas=7");
    let without_replicas = DEPLOYMENT.replace("  replicas: 2\n", "");
    assert_eq!(k.apply(&DEPLOYMENT.replace("web:1", "web:2")), "deployment.apps/web configured\n");
    k.prints("get deploy web -o jsonpath={.spec.replicas}", "2");
    assert_eq!(k.apply(&without_replicas), "deployment.apps/web configured\n");
    k.prints("get deploy web -o jsonpath={.spec.replicas}", "1");
    let changed = DEPLOYMENT.replace("web:1", "web:3");
    let printed = k.args(&["diff", "-f", "-"], &changed);
    assert!(
        !printed.success && printed.stdout.contains("+        image: registry.example.com/web:3")
            || printed.stdout.contains("+      - image: registry.example.com/web:3"),
        "{}{}",
        printed.stdout,
        printed.stderr
    );
    let printed = k.args(&["apply", "--dry-run=server", "-f", "-"], &changed);
    assert_eq!(printed.stdout, "deployment.apps/web configured (server dry run)\n");
    k.prints(
        "get deploy web -o jsonpath={.spec.template.spec.containers[0].image}",
        "registry.example.com/web:1",
    );
    k.apply_fails(
        &DEPLOYMENT.replace("replicas: 2", "replicas: 2\n  replicsa: 3"),
        "unknown field \"spec.replicsa\"",
    );
    k.apply_fails(&DEPLOYMENT.replace("replicas: 2", "replicas: two"), "replicas");
}

#[test]
fn apply_on_the_server_knows_who_owns_what() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    let apply = |manager: &str, extra: &[&str], manifest: &str| {
        let mut arguments = vec!["apply", "--server-side", "--field-manager", manager, "-f", "-"];
        arguments.extend(extra);
        k.args(&arguments, manifest)
    };
    let first = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: one, b: one}\n";
    let second = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {b: two, c: two}\n";
    assert_eq!(apply("first", &[], first).stdout, "configmap/c serverside-applied\n");
    let refused = apply("second", &[], second);
    assert!(
        refused.stderr.contains("Apply failed with 1 conflict: conflict with \"first\": .data.b"),
        "{}",
        refused.stderr
    );
    k.prints("get cm c -o jsonpath={.data}", r#"{"a":"one","b":"one"}"#);
    assert!(apply("second", &["--force-conflicts"], second).success);
    k.prints("get cm c -o jsonpath={.data}", r#"{"a":"one","b":"two","c":"two"}"#);
    // What a manager no longer applies and nobody else owns goes away.
    assert!(
        apply("second", &[], "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {b: two}\n")
            .success
    );
    k.prints("get cm c -o jsonpath={.data}", r#"{"a":"one","b":"two"}"#);
    k.prints(
        "get cm c --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}",
        "first second",
    );
    k.prints(
        "get cm c --show-managed-fields -o jsonpath={.metadata.managedFields[*].operation}",
        "Apply Apply",
    );
    // An unchanged apply writes nothing.
    let revision = || k.ok("get cm c -o jsonpath={.metadata.resourceVersion}").stdout;
    let before = revision();
    assert!(
        apply("second", &[], "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {b: two}\n")
            .success
    );
    assert_eq!(revision(), before);
}

#[test]
fn definitions_bring_kinds_of_their_own() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    assert_eq!(
        k.apply(DEFINITION),
        "customresourcedefinition.apiextensions.k8s.io/widgets.example.com created\n"
    );
    k.prints(
        "wait --for=condition=Established crd/widgets.example.com --timeout=10s",
        "customresourcedefinition.apiextensions.k8s.io/widgets.example.com condition met",
    );
    assert_eq!(k.apply(WIDGET), "widget.example.com/one created\n");
    assert_eq!(k.ok("get wd").rows(), ["NAME SIZE", "one 2"]);
    k.prints("get widget one -o jsonpath={.spec.color}", "red");
    assert!(k.ok("explain widget.spec").stdout.contains("color"));
    assert!(k.ok("api-resources --api-group=example.com --no-headers").stdout.contains("widgets"));
    k.apply_fails(&WIDGET.replace("size: 2", "size: -1"), "spec.size: Invalid value: -1");
    k.apply_fails(
        &WIDGET.replace("size: 2", "size: 2, color: blue"),
        "spec.color: Unsupported value: \"blue\"",
    );
    k.apply_fails(&WIDGET.replace("size: 2", "color: red"), "spec.size: Required value");
    k.apply_fails(&WIDGET.replace("size: 2", "size: 2, shape: round"), "unknown field \"spec.shape\"");
    k.prints("scale widget one --replicas=4", "widget.example.com/one scaled");
    k.prints("get widget one -o jsonpath={.spec.size}", "4");
    let printed = k.args(
        &[
            "patch",
            "widget",
            "one",
            "--subresource=status",
            "--type=merge",
            "-p",
            r#"{"status":{"size":4},"spec":{"size":9}}"#,
        ],
        "",
    );
    assert!(printed.success, "{}", printed.stderr);
    k.prints("get widget one -o jsonpath={.spec.size}/{.status.size}", "4/4");
    k.prints(
        "delete crd widgets.example.com",
        "customresourcedefinition.apiextensions.k8s.io \"widgets.example.com\" deleted",
    );
    eventually("the kind is gone", || !k.run("get widgets").success);
}

#[test]
fn a_watch_prints_each_change() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    k.ok("create configmap first --from-literal=a=1");
    let watch = k.follow("get configmaps -w --output-watch-events --no-headers");
    let first = watch.line();
    assert!(first.starts_with("ADDED first 1 "), "{first}");
    assert!(watch.line().starts_with("ADDED kube-root-ca.crt 1 "));
    k.ok("create configmap second --from-literal=a=1");
    assert!(watch.line().starts_with("ADDED second 1 "));
    k.ok("label configmap second x=y");
    assert!(watch.line().starts_with("MODIFIED second 1 "));
    k.ok("delete configmap second");
    assert!(watch.line().starts_with("DELETED second 1 "));
}

#[test]
fn deletion_cascades_as_asked() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    let owned = |name: &str, owner: &str| {
        let uid = k.ok(&format!("get configmap {owner} -o jsonpath={{.metadata.uid}}")).stdout;
        k.apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  ownerReferences:\n  - {{apiVersion: v1, kind: ConfigMap, name: {owner}, uid: {uid}, blockOwnerDeletion: true}}\n"
        ));
    };
    for policy in ["background", "foreground"] {
        k.ok("create configmap owner");
        owned("child", "owner");
        owned("grandchild", "child");
        k.ok(&format!("delete configmap owner --cascade={policy}"));
        eventually("children are gone", || {
            !k.run("get configmap child").success && !k.run("get configmap grandchild").success
        });
    }
    k.ok("create configmap owner");
    owned("child", "owner");
    k.ok("delete configmap owner --cascade=orphan");
    k.prints("get configmap child -o jsonpath={.metadata.ownerReferences}", "");
    // A finalizer holds an object until it is taken off.
    k.ok("create configmap held");
    k.args(
        &["patch", "cm", "held", "--type=merge", "-p", r#"{"metadata":{"finalizers":["example.com/hold"]}}"#],
        "",
    );
    k.ok("delete configmap held --wait=false");
    assert_ne!(k.ok("get cm held -o jsonpath={.metadata.deletionTimestamp}").stdout, "");
    k.args(
        &["patch", "cm", "held", "--type=json", "-p", r#"[{"op":"remove","path":"/metadata/finalizers"}]"#],
        "",
    );
    k.fails("get configmap held", "not found");
}

#[test]
fn strangers_are_refused_and_rights_are_those_of_the_roles() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    let server = k.ok("config view --minify -o jsonpath={.clusters[0].cluster.server}").stdout;
    let anonymous = |token: &str| {
        let kubeconfig = seaway.folder.join("stranger");
        std::fs::write(&kubeconfig, format!("{{apiVersion: v1, kind: Config, current-context: x, contexts: [{{name: x, context: {{cluster: x, user: x}}}}], clusters: [{{name: x, cluster: {{server: \"{server}\", insecure-skip-tls-verify: true}}}}], users: [{{name: x, user: {{token: \"{token}\"}}}}]}}")).unwrap();
        support::Kubectl::new(&kubeconfig)
    };
    anonymous("wrong").fails("get namespaces", "You must be logged in to the server");
    assert!(!anonymous("").run("get --raw /api").success);

    k.fails("get pods --as jane", "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"");
    k.fails("get nodes --as jane", "at the cluster scope");
    assert_eq!(k.run("auth can-i create deployments --as jane").stdout.trim(), "no");
    k.ok("create rolebinding jane-edits --clusterrole=edit --user=jane");
    assert_eq!(k.run("auth can-i create deployments --as jane").stdout.trim(), "yes");
    assert_eq!(k.run("auth can-i create deployments --as jane -n kube-system").stdout.trim(), "no");
    assert_eq!(k.run("auth can-i create rolebindings --as jane").stdout.trim(), "no");
    k.ok("create configmap hers --as jane");
    assert!(k.ok("auth whoami").stdout.contains("kubernetes-admin"));
    // Nobody gives away rights that he does not have.
    k.ok("create rolebinding jane-administers --clusterrole=admin --user=jane");
    k.ok("create rolebinding same --clusterrole=edit --user=joe --as jane");
    k.fails("create clusterrolebinding all --clusterrole=cluster-admin --user=jane --as jane", "forbidden");
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: more}\nrules: [{apiGroups: [\"\"], resources: [nodes], verbs: [get]}]\n";
    let refused = k.args(&["apply", "--as", "jane", "-f", "-"], role);
    assert!(
        refused.stderr.contains("is attempting to grant RBAC permissions not currently held"),
        "{}",
        refused.stderr
    );

    k.ok("create serviceaccount robot");
    k.ok("create rolebinding robot-views --clusterrole=view --serviceaccount=default:robot");
    let token = k.ok("create token robot").stdout.trim().to_owned();
    let robot = anonymous(&token);
    robot.ok("get configmaps");
    robot.fails(
        "get secrets",
        "User \"system:serviceaccount:default:robot\" cannot list resource \"secrets\"",
    );
    k.ok("delete serviceaccount robot");
    robot.fails("get configmaps", "You must be logged in to the server");
}

#[test]
fn kustomizations_are_applied() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web.yaml"), DEPLOYMENT).unwrap();
    std::fs::write(
        folder.path().join("kustomization.yaml"),
        "resources: [web.yaml]\nnamePrefix: my-\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n",
    )
    .unwrap();
    let printed = k.ok(&format!("apply -k {}", folder.path().display())).stdout;
    assert!(printed.contains("deployment.apps/my-web created"), "{printed}");
    assert!(printed.contains("configmap/my-settings-"), "{printed}");
    k.ok(&format!("delete -k {}", folder.path().display()));
}

#[test]
fn everything_is_there_after_kill_9() {
    let seaway = Seaway::start();
    let k = seaway.kubectl();
    k.apply(DEFINITION);
    k.ok("wait --for=condition=Established crd/widgets.example.com --timeout=10s");
    k.apply(DEPLOYMENT);
    k.apply(WIDGET);
    let token = k.ok("create token default").stdout;
    // Of the Deployment what no controller goes on changing.
    let state = |k: &support::Kubectl| -> Vec<String> {
        [
            "get cm,sa,ns,crd,wd,clusterroles -A -o yaml --show-managed-fields",
            "get deploy web -o jsonpath={.metadata.uid}{.spec}",
        ]
        .iter()
        .map(|line| k.ok(line).stdout)
        .collect()
    };
    let port = |ready: &str| ready.split("https://").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let before = state(&k);
    let address = port(&seaway.ready_line);
    let (folder, _temporary) = seaway.kill();
    let again = Seaway::start_in(&folder);
    let k = again.kubectl();
    let after = state(&k);
    for (before, after) in before.iter().zip(&after) {
        let changed: Vec<_> = before.lines().zip(after.lines()).filter(|(b, a)| b != a).take(5).collect();
        assert!(before == after, "at {address}: {changed:#?}");
    }
    // Tokens that were given out still hold.
    let review = format!(
        "{{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenReview\",\"spec\":{{\"token\":\"{}\"}}}}",
        token.trim()
    );
    let printed = k.args(&["create", "-o", "jsonpath={.status.authenticated}", "-f", "-"], &review);
    assert_eq!(printed.stdout, "true", "{}", printed.stderr);
    assert!(again.terminate().success(), "SIGTERM ends it cleanly");
}

#[test]
fn a_folder_or_port_in_use_is_named() {
    let seaway = Seaway::start();
    let folder = seaway.folder.display().to_string();
    let (code, text) = failed_start(&[
        "up",
        "--data-dir",
        &folder,
        "--kube-listen",
        "127.0.0.1:0",
        "--gateway-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(code, Some(1));
    assert!(text.contains("is used by another seaway"), "{text}");
    let address = seaway.ready_line.split("https://").nth(1).unwrap().split(',').next().unwrap();
    let other = tempfile::tempdir().unwrap();
    let (code, text) =
        failed_start(&["up", "--data-dir", &other.path().display().to_string(), "--kube-listen", address]);
    assert_eq!(code, Some(1));
    assert!(text.contains(address) && text.contains("--kube-listen"), "{text}");
}
