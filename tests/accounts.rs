//! People are added, log in on the command line as themselves, and may do what their role says.

#![allow(clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::person::{PASSWORD, Person, join};
use support::{Seaway, eventually};

#[test]
fn a_developer_is_added_and_works_as_herself_on_the_command_line() {
    let seaway = Seaway::start();
    let kubeconfig = seaway.folder.join("kubeconfig");
    let admin = Person::new(&kubeconfig);
    let mut ada = Person::new(Path::new("/nonexistent"));

    let made = admin.json("account create ada --role developer -o json");
    let link = made["link"].as_str().unwrap();
    join(link);
    let server = link.split_once("/join#").unwrap().0;
    assert_eq!(
        admin.run("account list").rows()[1].split(' ').take(3).collect::<Vec<_>>(),
        ["ada", "developer", "active"]
    );
    let again = admin.run("account create ada");
    assert!(!again.success && again.stderr.contains("there is an account"), "{again:?}");

    let login = ["login", "--server", server, "--user", "ada", "--password-stdin"];
    let wrong = ada.run_with(&login, "wrong password\n");
    assert!(!wrong.success && !ada.file().exists(), "{wrong:?}");
    let right = ada.run_with(&login, &format!("{PASSWORD}\n"));
    assert!(right.success, "{right:?}");
    assert_eq!(right.stderr, format!("Logging in as ada at {server}.\n"), "where the password goes is said");
    assert_eq!(std::fs::metadata(ada.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!right.stdout.contains("swy_") && !right.stderr.contains("swy_"));

    let k = seaway.kubectl();
    k.apply(
        "apiVersion: seaway.dev/v1alpha1
kind: Environment
metadata: {name: production, namespace: seaway}
spec: {stack: shop, class: production, destination: {namespace: shop}}
",
    );
    eventually("she sees it", || {
        ada.json("env list -o json").as_array().unwrap().iter().any(|one| one["name"] == "production")
    });
    for refused in
        ["account list", "account create eve", "env sync production", "env delete production --yes"]
    {
        let printed = ada.run(refused);
        assert!(!printed.success && printed.stderr.contains("forbidden"), "{refused}: {printed:?}");
    }
    // With the kubeconfig named she is whoever that is, whether by the option or by the variable.
    let named = ["account", "list", "-o", "name", "--kubeconfig", kubeconfig.to_str().unwrap()];
    assert_eq!(ada.run_with(&named, "").stdout, "ada\n");
    ada.kubeconfig = kubeconfig.clone();
    assert_eq!(ada.run("account list -o name").stdout, "ada\n");
    let warned = ada.run_with(&login, &format!("{PASSWORD}\n"));
    assert!(warned.success && warned.stderr.contains("unset KUBECONFIG"), "{warned:?}");
    // One that names no Seaway server, or has no token for it, does not keep her from being herself.
    let config = std::fs::read_to_string(&kubeconfig).unwrap();
    for (text, other) in [("seaway.dev/server", "example.com/other"), (" token:", " username:")] {
        assert!(config.contains(text), "{text}");
        ada.kubeconfig = seaway.folder.join("other-kubeconfig");
        std::fs::write(&ada.kubeconfig, config.replace(text, other)).unwrap();
        let printed = ada.run("account list");
        assert!(printed.stderr.contains("forbidden"), "{other}: {printed:?}");
    }

    let stolen = std::fs::read_to_string(ada.file()).unwrap();
    let out = ada.run("logout");
    assert!(out.success && !ada.file().exists(), "{out:?}");
    std::fs::write(ada.file(), stolen).unwrap();
    let after = ada.run("env list");
    assert!(!after.success && after.stderr.contains("log in again"), "{after:?}");
    let twice = ada.run("logout");
    assert!(
        twice.success && !ada.file().exists(),
        "what the server has forgotten is forgotten here: {twice:?}"
    );

    assert!(!admin.run("account delete ada").success, "nobody can be asked");
    let gone = admin.run("account delete ada --yes");
    assert!(gone.success, "{gone:?}");
    eventually("her namespace is gone", || !k.run("get namespace seaway-ada").success);
}
