//! `seaway up --demo`: the shop comes up, and each line that is printed does what it says.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use support::Kubectl;
use support::demo::Demo;

/// Runs a printed line as a person does, with kubectl in the path.
fn paste(line: &str) -> (bool, String) {
    let kubectl = Kubectl::program();
    let path = format!("{}:{}", kubectl.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", line])
        .env("PATH", path)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.com")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), text.join(""))
}

#[test]
fn each_of_the_five_things_to_try_does_what_it_says() {
    let mut demo = Demo::start();
    let text = demo.all();
    assert!(text.contains("staging is healthy") && text.contains("production is healthy"), "{text}");
    let lines: Vec<&str> = text
        .lines()
        .collect::<Vec<_>>()
        .windows(2)
        .filter(|pair| pair[0].starts_with(|c: char| c.is_ascii_digit()))
        .map(|pair| pair[1].trim())
        .collect();
    assert_eq!(lines.len(), 5, "{text}");
    let expected = ["Deployment", "", "", "", "drift"];
    for (line, expected) in lines.iter().zip(expected) {
        let (done, said) = paste(line);
        assert!(done, "{line}\n{said}");
        assert!(said.to_lowercase().contains(&expected.to_lowercase()), "{line}\n{said}");
    }
}
