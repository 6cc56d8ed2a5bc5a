//! What a request promises: origins, inputs, what is needed, what is refused.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use seaway_render::{
    Error, Format, Image, Kind, LoadRestriction, Outcome, PlainOptions, Remote, RemoteBase, Remotes,
    RenderRequest, Rendered, detect, render,
};
use seaway_source::{Answer, FileTree, Memory, TreePath};
use serde_json::Value;

fn tree(files: &[(&str, &str)]) -> Memory {
    Memory::of(files.iter().copied()).unwrap()
}

fn rendered(request: &RenderRequest<'_>) -> Rendered {
    match render(request).unwrap() {
        Outcome::Rendered(rendered) => rendered,
        Outcome::Needs(needs) => panic!("needs {needs:?}"),
    }
}

fn error(tree: &dyn FileTree, path: &str) -> String {
    match render(&RenderRequest::new(tree, path)) {
        Err(error) => error.to_string(),
        Ok(outcome) => panic!("{outcome:?}"),
    }
}

const POD: &str =
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{image: 'nginx:1'}]}\n";

#[test]
fn a_kustomization_file_decides_over_plain_yaml() {
    let tree =
        tree(&[("k/kustomization.yml", "resources: [pod.yaml]"), ("k/pod.yaml", POD), ("p/pod.yaml", POD)]);
    assert_eq!(detect(&tree, &TreePath::new("k").unwrap()).unwrap(), Kind::Kustomize);
    assert_eq!(detect(&tree, &TreePath::new("p").unwrap()).unwrap(), Kind::Plain);
    assert_eq!(rendered(&RenderRequest::new(&tree, "k")).kind, Kind::Kustomize);
    assert_eq!(rendered(&RenderRequest::new(&tree, "p")).kind, Kind::Plain);
    let plain = RenderRequest { kind: Some(Kind::Plain), ..RenderRequest::new(&tree, "p") };
    assert_eq!(rendered(&plain).to_text(Format::Names), "pod/p\n");
}

#[test]
fn every_object_names_the_file_and_line_that_it_is_from() {
    let tree = tree(&[
        (
            "o/kustomization.yaml",
            "resources:\n- ../b\nnamePrefix: x-\nconfigMapGenerator:\n- name: g\n  literals: [a=b]\n",
        ),
        ("b/kustomization.yaml", "resources: [two.yaml]\n"),
        (
            "b/two.yaml",
            "# first\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n",
        ),
    ]);
    let origins: Vec<_> = rendered(&RenderRequest::new(&tree, "o"))
        .objects
        .iter()
        .map(|object| {
            let name =
                object.value["metadata"]["name"].as_str().unwrap().split("-k").next().unwrap().to_owned();
            (name, format!("{}:{}", object.origin.file, object.origin.line))
        })
        .collect();
    assert!(origins[0].0.starts_with("x-g") && origins[0].1 == "o/kustomization.yaml:5", "{origins:?}");
    assert_eq!(origins[1], ("x-a".to_owned(), "b/two.yaml:2".to_owned()));
    assert_eq!(origins[2], ("x-b".to_owned(), "b/two.yaml:6".to_owned()));
}

#[test]
fn inputs_are_what_was_asked_and_what_was_absent() {
    let files =
        [("k/kustomization.yaml", "resources: [pod.yaml]"), ("k/pod.yaml", POD), ("k/other.yaml", "x")];
    let mut tree = tree(&files);
    let inputs = rendered(&RenderRequest::new(&tree, "k")).inputs;
    let read: Vec<_> = inputs.files().map(|(path, _)| path.to_string()).collect();
    assert_eq!(read, ["k/kustomization.yaml", "k/pod.yaml"]);
    let absent = TreePath::new("k/Kustomization").unwrap();
    assert!(inputs.iter().any(|(path, answer)| *path == absent && *answer == Answer::Found(None)));
    tree.insert("k/other.yaml", "changed").unwrap();
    assert!(inputs.hold_in(&tree));
    tree.insert("k/Kustomization", "a second one").unwrap();
    assert!(!inputs.hold_in(&tree));
}

#[test]
fn remote_bases_are_asked_for_at_once_and_used_when_they_are_there() {
    let tree = tree(&[(
        "kustomization.yaml",
        "resources:\n- https://git.example.com/org/shop.git//deploy/base?ref=v1\n- github.com/org/other/sub?ref=main\n\
         - https://example.com/install.yaml\nnamePrefix: x-\n",
    )]);
    let mut request = RenderRequest::new(&tree, "");
    let base = |repository: &str, reference: &str, path: &str| {
        Remote::Base(RemoteBase {
            repository: repository.to_owned(),
            reference: Some(reference.to_owned()),
            path: path.to_owned(),
        })
    };
    let Outcome::Needs(needs) = render(&request).unwrap() else { panic!() };
    assert_eq!(
        needs,
        [
            base("https://git.example.com/org/shop.git", "v1", "deploy/base"),
            base("https://github.com/org/other", "main", "sub"),
            Remote::File("https://example.com/install.yaml".to_owned()),
        ]
    );
    let mut remotes = Remotes::default();
    for (repository, reference, path) in [
        ("https://git.example.com/org/shop.git", "v1", "deploy/base"),
        ("https://github.com/org/other", "main", "sub"),
    ] {
        let mut there = Memory::new();
        there.insert(&format!("{path}/kustomization.yaml"), "resources: [pod.yaml]").unwrap();
        there
            .insert(&format!("{path}/pod.yaml"), POD.replace("name: p", &format!("name: {reference}")))
            .unwrap();
        remotes.add_repository(repository, Some(reference.to_owned()), Arc::new(there));
    }
    remotes.add_file("https://example.com/install.yaml", POD.as_bytes());
    request.remotes = remotes;
    let rendered = rendered(&request);
    assert_eq!(rendered.to_text(Format::Names), "pod/x-main\npod/x-p\npod/x-v1\n");
    assert_eq!(rendered.objects[2].origin.file, "https://git.example.com/org/shop.git//deploy/base/pod.yaml");
}

#[test]
fn all_notations_of_repositories_are_understood() {
    for (url, repository, reference, path) in [
        ("https://github.com/org/repo", "https://github.com/org/repo", None, ""),
        ("https://github.com/org/repo/a/b?ref=v1", "https://github.com/org/repo", Some("v1"), "a/b"),
        (
            "https://github.com/org/repo//a/b?ref=v1&timeout=90s",
            "https://github.com/org/repo",
            Some("v1"),
            "a/b",
        ),
        ("github.com/org/repo//a?version=x", "https://github.com/org/repo", Some("x"), "a"),
        (
            "git::https://gitlab.com/g/sub/repo.git//a?ref=t",
            "https://gitlab.com/g/sub/repo.git",
            Some("t"),
            "a",
        ),
        ("git@github.com:org/repo.git/a?ref=t", "git@github.com:org/repo.git", Some("t"), "a"),
        ("git@gitlab.com:g/sub/repo.git//a", "git@gitlab.com:g/sub/repo.git", None, "a"),
        ("ssh://git@host.com/org/repo.git//a", "ssh://git@host.com/org/repo.git", None, "a"),
        (
            "https://dev.azure.com/o/p/_git/repo/a?ref=t",
            "https://dev.azure.com/o/p/_git/repo",
            Some("t"),
            "a",
        ),
        ("https://github.com/org/repo.git/a", "https://github.com/org/repo.git", None, "a"),
        ("HTTPS://GitHub.com/org/repo//a/../b?ref=a&ref=b", "https://github.com/org/repo", Some("a"), "b"),
        ("https://host.com/g/sub/repo//a/b", "https://host.com/g/sub/repo", None, "a/b"),
        ("https://host.com/org/repo/a/b", "https://host.com/org/repo", None, "a/b"),
        ("https://host.com/repo//a", "https://host.com/repo", None, "a"),
        ("https://host.com:8443/org/repo?ref=", "https://host.com:8443/org/repo", None, ""),
        ("git::https://host.com/org/repo", "https://host.com/org/repo", None, ""),
        ("git@github.com/org/repo.git", "git@github.com:org/repo.git", None, ""),
        ("ssh://git@github.com/org/repo//a", "git@github.com:org/repo", None, "a"),
        ("ssh://git@github.com:22/org/repo.git", "git@github.com:org/repo.git", None, ""),
        ("ssh://github.com/org/repo", "github.com:org/repo", None, ""),
        ("ssh://git@github.com:443/org/repo/a", "git@github.com:org/repo", None, "a"),
        ("https://git@github.com/org/repo", "git@github.com:org/repo", None, ""),
        ("https://github.com:443/org/repo", "https://github.com/org/repo", None, ""),
        ("http://GITHUB.com/org/repo/a", "https://github.com/org/repo", None, "a"),
        ("https://user@dev.azure.com/o/p/_git/r/a", "https://user@dev.azure.com/o/p/_git/r", None, "a"),
        ("git@host.com:10022/o/g/repo.git?ref=v1", "git@host.com:10022/o/g/repo.git", Some("v1"), ""),
        ("git@host.com/org/repo", "git@host.com:org/repo", None, ""),
        (
            "github.com/o/r?ref=release%2F1.0&timeout=5&submodules=false",
            "https://github.com/o/r",
            Some("release/1.0"),
            "",
        ),
        ("github.com/o/r?version=v2", "https://github.com/o/r", Some("v2"), ""),
        ("github.com/o/r?version=v2&ref=v1", "https://github.com/o/r", Some("v1"), ""),
        ("github.com/o/r?ref=%zz", "https://github.com/o/r", None, ""),
        ("git::git@host.com:o/r//a/b?ref=x", "git@host.com:o/r", Some("x"), "a/b"),
        ("org-1@github.com:org/repo.git//a", "org-1@github.com:org/repo.git", None, "a"),
        ("https://o.visualstudio.com/p/_git/repo//a", "https://o.visualstudio.com/p/_git/repo", None, "a"),
        ("file:///srv/git/repo//a", "file:///srv/git/repo", None, "a"),
        ("file:///srv/git/repo", "file:///srv/git/repo", None, ""),
        ("file:///srv/git/repo.git//a?ref=t", "file:///srv/git/repo.git", Some("t"), "a"),
    ] {
        let tree = tree(&[("kustomization.yaml", &format!("resources: ['{url}']"))]);
        let expected = RemoteBase {
            repository: repository.to_owned(),
            reference: reference.map(str::to_owned),
            path: path.to_owned(),
        };
        match render(&RenderRequest::new(&tree, "")) {
            Ok(Outcome::Needs(needs)) => assert_eq!(needs, [Remote::Base(expected)], "{url}"),
            other => panic!("{url}: {other:?}"),
        }
    }
    for url in [
        "ssh://-oProxyCommand=x/org/repo?ref=a",
        "git@-x:org/repo",
        "github.com/org/repo?ref=--upload-pack=x",
        "https://github.com/org/repo//../../a",
    ] {
        let tree = tree(&[("kustomization.yaml", &format!("resources: ['{url}']"))]);
        assert!(matches!(render(&RenderRequest::new(&tree, "")), Err(Error::Invalid { .. })), "{url}");
    }
    // No repositories: files of this tree that are not there.
    for url in [
        "https://github.com/org",
        "https://host.com/a",
        "git@host.com:a",
        "gh:org/repo",
        "host.com/a/b",
        "a_b@host.com:o/r",
        "git::-x@y:z/a",
    ] {
        let tree = tree(&[("kustomization.yaml", &format!("resources: ['{url}']"))]);
        let needed = matches!(render(&RenderRequest::new(&tree, "")), Ok(Outcome::Needs(needs)) if needs.iter().any(|it| matches!(it, Remote::Base(_))));
        assert!(!needed, "{url}");
    }
}

#[test]
fn files_outside_are_refused_unless_the_tree_is_the_limit() {
    let tree = tree(&[("a/kustomization.yaml", "resources: [../pod.yaml]"), ("pod.yaml", POD)]);
    assert!(error(&tree, "a").contains("a/kustomization.yaml:1: resources[0]: security; file 'pod.yaml'"));
    let request = RenderRequest { restriction: LoadRestriction::Tree, ..RenderRequest::new(&tree, "a") };
    assert_eq!(rendered(&request).objects.len(), 1);
}

#[cfg(unix)]
#[test]
fn a_link_out_of_the_kustomization_is_a_file_outside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    std::fs::write(folder.path().join("a/kustomization.yaml"), "resources: [pod.yaml]").unwrap();
    std::fs::write(folder.path().join("pod.yaml"), POD).unwrap();
    std::os::unix::fs::symlink("../pod.yaml", folder.path().join("a/pod.yaml")).unwrap();
    let directory = folder.path().join("a");
    let error = seaway_render::render_directory(folder.path(), &directory, None).unwrap_err();
    assert!(error.to_string().contains("security"), "{error}");
    // With the directory itself as the root, the link leaves the tree.
    let error = seaway_render::render_directory(&directory, &directory, None).unwrap_err();
    assert!(error.to_string().contains("leads out of the tree"), "{error}");
}

#[test]
fn images_and_namespace_of_the_request_apply_to_every_kind() {
    let namespaced = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, namespace: own}\n---\napiVersion: v1\nkind: \
                      Namespace\nmetadata: {name: n}\n---\napiVersion: e.com/v1\nkind: Foo\nmetadata: {name: f}\n---\n\
                      apiVersion: e.com/v1\nkind: Unknown\nmetadata: {name: u}\n---\napiVersion: \
                      apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: foos.e.com}\nspec: \
                      {group: e.com, scope: Namespaced, names: {kind: Foo}}\n";
    let tree = tree(&[
        ("p/pod.yaml", POD),
        ("p/others.yaml", namespaced),
        ("k/kustomization.yaml", "resources: [pod.yaml, others.yaml]"),
        ("k/pod.yaml", POD),
        ("k/others.yaml", namespaced),
    ]);
    for path in ["p", "k"] {
        let image = Image { name: "nginx".to_owned(), new_tag: "2".to_owned(), ..Image::default() };
        let request = RenderRequest {
            images: vec![image],
            namespace: Some("target".to_owned()),
            ..RenderRequest::new(&tree, path)
        };
        let objects = rendered(&request).objects;
        let of =
            |kind: &str| objects.iter().find(|object| object.value["kind"] == kind).unwrap().value.clone();
        assert_eq!(of("Pod")["spec"]["containers"][0]["image"], "nginx:2");
        assert_eq!(of("Pod")["metadata"]["namespace"], "target");
        assert_eq!(of("ConfigMap")["metadata"]["namespace"], "own");
        assert_eq!(of("Namespace")["metadata"]["namespace"], Value::Null);
        assert_eq!(of("Foo")["metadata"]["namespace"], "target", "its definition says so");
        assert_eq!(of("Unknown")["metadata"]["namespace"], Value::Null);
    }
}

#[test]
fn parameters_are_for_scripts_and_charts() {
    let tree = tree(&[("pod.yaml", POD)]);
    let request = RenderRequest {
        parameters: BTreeMap::from([("a".to_owned(), Value::from(1))]),
        ..RenderRequest::new(&tree, "")
    };
    assert!(matches!(render(&request), Err(Error::Request(_))));
    let request = RenderRequest { kind: Some(Kind::Helm), ..RenderRequest::new(&tree, "") };
    assert!(matches!(render(&request), Err(Error::Unsupported { .. })));
}

#[test]
fn plain_directories_are_read_in_order_with_globs() {
    let named = |name: &str| {
        format!("{{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {{\"name\": \"{name}\"}}}}")
    };
    let mut files = Memory::new();
    for path in ["b.yaml", "a.json", "sub/c.yml", "sub/deep/d.yaml", "x.txt", ".hidden/h.yaml"] {
        let name = path.replace(['/', '.'], "-");
        files.insert(path, named(&name)).unwrap();
    }
    let names = |options: PlainOptions| {
        let request = RenderRequest { plain: options, ..RenderRequest::new(&files, "") };
        rendered(&request).to_text(Format::Names)
    };
    assert_eq!(
        names(PlainOptions::default()),
        "pod/a-json\npod/b-yaml\npod/sub-c-yml\npod/sub-deep-d-yaml\n"
    );
    assert_eq!(names(PlainOptions { recurse: false, ..PlainOptions::default() }), "pod/a-json\npod/b-yaml\n");
    let include = |glob: &str| PlainOptions { include: vec![glob.to_owned()], ..PlainOptions::default() };
    assert_eq!(names(include("*.yaml")), "pod/b-yaml\n");
    assert_eq!(names(include("**/*.yaml")), "pod/b-yaml\npod/sub-deep-d-yaml\n");
    assert_eq!(names(include("{a,b}.*")), "pod/a-json\npod/b-yaml\n");
    let exclude = PlainOptions { exclude: vec!["sub/**".to_owned()], ..PlainOptions::default() };
    assert_eq!(names(exclude), "pod/a-json\npod/b-yaml\n");
    let one = RenderRequest::new(&files, "sub/c.yml");
    assert_eq!(rendered(&one).to_text(Format::Names), "pod/sub-c-yml\n");
}

#[test]
fn plain_files_mean_what_kubectl_takes_them_to_mean() {
    let tree = tree(&[("c.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {on: yes}\n")]);
    assert_eq!(rendered(&RenderRequest::new(&tree, "")).objects[0].value["data"]["true"], true);
}

#[test]
fn deprecated_fields_and_unused_variables_are_warned_of() {
    let tree = tree(&[
        (
            "kustomization.yaml",
            "bases: [b]\ncommonLabels: {a: b}\nvars: [{name: V, objref: {apiVersion: v1, kind: Pod, name: p}}]\n",
        ),
        ("b/kustomization.yaml", "resources: [pod.yaml]"),
        ("b/pod.yaml", POD),
    ]);
    let warnings = rendered(&RenderRequest::new(&tree, "")).warnings.join("\n");
    for field in ["'bases'", "'commonLabels'", "'vars'", "never replaced: V"] {
        assert!(warnings.contains(field), "{field} in {warnings}");
    }
}

#[test]
fn errors_name_the_file_the_line_and_the_field() {
    for (files, expected) in [
        (
            vec![("kustomization.yaml", "resources: []\nfoo: 1\n")],
            "kustomization.yaml:2: foo: unknown field `foo`",
        ),
        (
            vec![("kustomization.yaml", "resources:\n- a\nnamePrefix: 5\n")],
            "kustomization.yaml:3: namePrefix: invalid type",
        ),
        (
            vec![("kustomization.yaml", "images:\n- name: a\n- name: b\n  newTag: 1.10\n")],
            "kustomization.yaml:3: images.1: invalid type: floating point `1.1`",
        ),
        (
            vec![("kustomization.yaml", "resources:\n- none.yaml\n")],
            "kustomization.yaml:2: resources[0]: none.yaml: no such",
        ),
        (vec![("kustomization.yaml", "a: [b")], "kustomization.yaml: line 2, column 1: not valid YAML"),
        (vec![("kustomization.yaml", "")], "kustomization.yaml: is empty"),
        (
            vec![("kustomization.yaml", "resources: [a.yaml]"), ("a.yaml", "\nkind: X\n")],
            "kustomization.yaml:1: resources[0]: a.yaml:2: missing metadata.name",
        ),
        (
            vec![
                ("kustomization.yaml", "resources: [a.yaml]"),
                ("a.yaml", "kind: X\nmetadata: {name: a}\nb:\n  c: 1\n  c: 2\n"),
            ],
            "kustomization.yaml:1: resources[0]: a.yaml: line 5, column 3: mapping key \"c\" already defined at line 4",
        ),
        (
            vec![
                (
                    "kustomization.yaml",
                    "resources: [p.yaml]\npatches:\n- patch: '[{\"op\": \"remove\", \"path\": \"/spec\"}]'\n",
                ),
                ("p.yaml", POD),
            ],
            "kustomization.yaml:3: patches[0]: must specify a target",
        ),
        (
            vec![("kustomization.yaml", "helmCharts: [{name: a}]")],
            "kustomization.yaml:1: helmCharts[0]: inflating Helm charts",
        ),
    ] {
        let tree = tree(&files);
        let found =
            match render(&RenderRequest { kind: Some(Kind::Kustomize), ..RenderRequest::new(&tree, "") }) {
                Err(error) => error.to_string(),
                Ok(outcome) => panic!("{expected}: {outcome:?}"),
            };
        assert!(found.starts_with(expected), "{expected}\nbut: {found}");
    }
}

#[test]
fn hostile_input_is_refused_and_never_hangs() {
    let long_chain: Vec<(String, String)> = (0..100)
        .map(|n| (format!("d{n}/kustomization.yaml"), format!("resources: [../d{}]\n", n + 1)))
        .collect();
    let chain: Vec<(&str, &str)> =
        long_chain.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert!(error(&tree(&chain), "d0").contains("more than 64 kustomizations inside each other"));

    let mut bomb = String::from(
        "apiVersion: v1\nkind: X\nmetadata: {name: a}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n",
    );
    for n in 1..12 {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{items}]\n"));
    }
    let files = [("kustomization.yaml", "resources: [bomb.yaml]"), ("bomb.yaml", bomb.as_str())];
    assert!(error(&tree(&files), "").contains("bomb.yaml: line"));

    let deep = format!(
        "apiVersion: v1\nkind: X\nmetadata: {{name: a}}\na: {}{}\n",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let files = [("kustomization.yaml", "resources: [deep.yaml]"), ("deep.yaml", deep.as_str())];
    assert!(error(&tree(&files), "").contains("deep.yaml"));

    let pattern = format!("(a{{1000}}){{1000}}{}", "x*".repeat(50));
    let explode =
        format!("resources: [pod.yaml]\npatches: [{{target: {{name: '{pattern}'}}, patch: '[]'}}]\n");
    let files = [("kustomization.yaml", explode.as_str()), ("pod.yaml", POD)];
    assert!(error(&tree(&files), "").contains("is not a regular expression that can be used"));

    let mut files = Memory::of([("kustomization.yaml", "resources: [bytes.yaml]")]).unwrap();
    files.insert("bytes.yaml", b"a: \xff\n".to_vec()).unwrap();
    assert!(error(&files, "").contains("bytes.yaml is not UTF-8: the byte at offset 3"));

    let files = [("kustomization.yaml", "resources: [/etc/passwd]")];
    assert!(error(&tree(&files), "").contains("resources[0]: \"/etc/passwd\": is absolute"));
    let files = [("kustomization.yaml", "resources: [../../../etc]")];
    assert!(error(&tree(&files), "").contains("leads out of the tree"));
}

#[test]
fn a_file_that_is_too_large_is_named_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::File::create(folder.path().join("huge.yaml")).unwrap().set_len(100 << 20).unwrap();
    write("pod.yaml", POD);
    let message = || {
        let outcome = seaway_render::render_directory(folder.path(), folder.path(), None);
        outcome.unwrap_err().to_string()
    };
    for (kustomization, place) in [
        ("resources:\n- huge.yaml\n", "kustomization.yaml:2: resources[0]"),
        ("resources: [pod.yaml]\npatches:\n- path: huge.yaml\n", "kustomization.yaml:3: patches[0].path"),
        (
            "configMapGenerator:\n- name: g\n  files: [huge.yaml]\n",
            "kustomization.yaml:2: configMapGenerator[0].files[0]",
        ),
    ] {
        write("kustomization.yaml", kustomization);
        let message = message();
        assert!(message.starts_with(place), "{message}");
        assert!(message.contains("huge.yaml: 104857600 bytes are more than the limit"), "{message}");
    }
    std::fs::File::create(folder.path().join("kustomization.yaml")).unwrap().set_len(100 << 20).unwrap();
    assert!(
        message().contains("kustomization.yaml: 104857600 bytes are more than the limit"),
        "{}",
        message()
    );
}

#[test]
fn a_circle_of_bases_is_named_wherever_it_leads() {
    let circle = tree(&[
        ("a/kustomization.yaml", "resources:\n- ../b\n"),
        ("b/kustomization.yaml", "components:\n- ../c\n"),
        ("c/kustomization.yaml", "kind: Component\nresources:\n- ../a\n"),
    ]);
    let message = error(&circle, "a");
    assert!(message.starts_with("c/kustomization.yaml:3: resources[0]: cycle detected"), "{message}");

    let url = "https://example.com/org/repo//a?ref=v1";
    let text = format!("resources: ['{url}']\n");
    let top = tree(&[("kustomization.yaml", &text)]);
    let base = tree(&[("a/kustomization.yaml", &text)]);
    let mut remotes = Remotes::default();
    remotes.add_repository("https://example.com/org/repo", Some("v1".to_owned()), Arc::new(base));
    let request = RenderRequest { remotes, ..RenderRequest::new(&top, "") };
    let message = render(&request).unwrap_err().to_string();
    assert!(
        message.starts_with("https://example.com/org/repo//a/kustomization.yaml:1: resources[0]: cycle"),
        "{message}"
    );
}

#[test]
fn a_patch_that_matches_nothing_is_named() {
    let patch = |target: &str, text: &str| {
        tree(&[
            ("kustomization.yaml", &format!("resources: [pod.yaml]\npatches:\n- {target}patch: '{text}'\n")),
            ("pod.yaml", POD),
        ])
    };
    let by_name = patch("", r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other"}}"#);
    let message = error(&by_name, "");
    assert!(message.starts_with("kustomization.yaml:3: patches[0]: no matches for Id Pod"), "{message}");
    // With a target, kustomize patches nothing and says nothing.
    let by_target = patch("target: {kind: Service}\n  ", r#"[{"op": "remove", "path": "/spec"}]"#);
    let rendered = rendered(&RenderRequest::new(&by_target, ""));
    assert_eq!(rendered.to_text(Format::Names), "pod/p\n");
    assert_eq!(
        rendered.warnings,
        ["kustomization.yaml:3: patches[0]: the target is no object here: nothing is patched"]
    );
}

#[test]
fn regular_expressions_that_explode_elsewhere_take_no_time() {
    let text = "a".repeat(60);
    for pattern in ["(a+)+$b", "(a|aa)+$b", "(.*a){25}b"] {
        let tree = tree(&[
            (
                "kustomization.yaml",
                &format!(
                    "resources: [pod.yaml]\npatches: [{{target: {{name: '{pattern}'}}, patch: '[]'}}]\nimages: [{{name: '{pattern}', newTag: x}}]\n"
                ),
            ),
            ("pod.yaml", &POD.replace("name: p", &format!("name: {text}"))),
        ]);
        let outcome = render(&RenderRequest::new(&tree, ""));
        assert!(outcome.is_ok() || outcome.unwrap_err().to_string().contains("kustomization.yaml"));
    }
}

#[test]
fn text_comes_as_yaml_json_and_names() {
    let tree = tree(&[
        ("pod.yaml", POD),
        (
            "role.yaml",
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r, namespace: ns}\n",
        ),
    ]);
    let rendered = rendered(&RenderRequest::new(&tree, ""));
    assert_eq!(rendered.to_text(Format::Names), "pod/p\nns role.rbac.authorization.k8s.io/r\n");
    let list: Value = serde_json::from_str(&rendered.to_text(Format::Json)).unwrap();
    assert_eq!(list["items"][1]["kind"], "Role");
    assert!(rendered.to_text(Format::Yaml).contains("\n---\n"));
}

#[test]
fn bases_that_double_at_every_level_are_given_up() {
    let mut files = Vec::new();
    for level in 0..40 {
        let next = level + 1;
        files.push((
            format!("{level}/kustomization.yaml"),
            format!("resources: [../{next}, again]\nnamePrefix: a-\n"),
        ));
        files.push((format!("{level}/again/kustomization.yaml"), format!("resources: [../../{next}]\n")));
    }
    files.push(("40/kustomization.yaml".to_owned(), "namePrefix: a-\n".to_owned()));
    let tree = Memory::of(files.iter().map(|(path, text)| (path.as_str(), text.as_str()))).unwrap();
    let message = error(&tree, "0");
    assert!(message.contains("kustomization.yaml") && message.contains("name each base once"), "{message}");
}

#[test]
fn an_image_name_that_explodes_as_a_regular_expression_is_named() {
    let name = "((a{1,100}){1,100}){1,100}";
    let kustomization = format!("resources: [pod.yaml]\nimages:\n- {{name: '{name}', newTag: x}}\n");
    let tree = tree(&[("kustomization.yaml", &kustomization), ("pod.yaml", POD)]);
    assert!(error(&tree, "").contains("kustomization.yaml:3: images[0]"));
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: x}\n";

#[test]
fn a_replacement_of_a_field_by_itself_ends() {
    let paths = "data.a, ".repeat(36);
    let replacement = format!(
        "- source: {{kind: ConfigMap, fieldPath: data.a}}\n  targets:\n  - select: {{kind: ConfigMap}}\n    \
         fieldPaths: [{paths}]\n    options: {{delimiter: '/', index: -1}}\n"
    );
    let kustomization = format!("resources: [m.yaml]\nreplacements:\n{replacement}");
    let tree = tree(&[("k/kustomization.yaml", &kustomization), ("k/m.yaml", MAP)]);
    let error = error(&tree, "k");
    assert!(error.contains("data.a") && error.contains("larger than"), "{error}");
}

#[test]
fn a_map_that_is_put_into_itself_over_and_over_ends() {
    let replacement = "- source: {kind: ConfigMap, fieldPath: data}\n  targets:\n  - select: {kind: ConfigMap}\n    \
                       fieldPaths: [data.b]\n    options: {create: true}\n";
    let kustomization = format!("resources: [m.yaml]\nreplacements:\n{}", replacement.repeat(130));
    let tree = tree(&[("k/kustomization.yaml", &kustomization), ("k/m.yaml", MAP)]);
    let error = error(&tree, "k");
    assert!(error.contains("larger or deeper"), "{error}");
}

#[test]
fn a_path_deeper_than_objects_are_is_refused() {
    let deep = |separator: &str| format!("data{}", format!("{separator}a").repeat(300_000));
    let replacement = format!(
        "resources: [m.yaml]\nreplacements:\n- source: {{kind: ConfigMap, fieldPath: data.a}}\n  targets:\n  \
         - select: {{kind: ConfigMap}}\n    fieldPaths: [{}]\n    options: {{create: true}}\n",
        deep(".")
    );
    let labels = format!(
        "resources: [m.yaml]\nlabels:\n- pairs: {{x: z}}\n  fields: [{{path: {}, create: true}}]\n",
        deep("/")
    );
    for kustomization in [replacement, labels] {
        let tree = tree(&[("k/kustomization.yaml", &kustomization), ("k/m.yaml", MAP)]);
        let error = error(&tree, "k");
        assert!(error.contains("300001 parts"), "{}", error.chars().take(200).collect::<String>());
    }
}

#[test]
fn a_variable_does_not_multiply_a_text_without_limit() {
    let map = format!("{MAP}---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, args: ['{}']}}]}}\n", "$(V)".repeat(2000))
        .replace("a: x", &format!("a: {}", "x".repeat(20_000)));
    let kustomization = "resources: [m.yaml]\nvars:\n- name: V\n  objref: {apiVersion: v1, kind: ConfigMap, name: m}\n  \
                         fieldref: {fieldpath: data.a}\n";
    let tree = tree(&[("k/kustomization.yaml", kustomization), ("k/m.yaml", &map)]);
    let error = error(&tree, "k");
    assert!(error.contains("'V'") && error.contains("larger than"), "{error}");
}
