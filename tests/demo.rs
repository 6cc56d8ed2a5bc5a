//! `seaway up --demo`: the shop comes up, and each line that is printed does what it says.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use support::demo::Demo;
use support::{Kubectl, eventually};

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

/// What staging's page answers, through the gateway: its status and its version.
fn staging(demo: &Demo) -> (u16, String) {
    let mut stream = TcpStream::connect(demo.address("gateway at http://")).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: staging.shop.localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    // `<title>Seaway Shop – staging 2.0</title>`, or `web 2.1 failed on purpose`.
    let title = answer.split_once("</title>").and_then(|(before, _)| before.rsplit(' ').next());
    let failed = answer.split_once("web ").and_then(|(_, rest)| rest.split(' ').next());
    (status, title.or(failed).unwrap_or_default().to_owned())
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
    assert_eq!(text.lines().last().unwrap().split_whitespace().last(), Some(demo.link.as_str()), "{text}");
    let first = staging(&demo);
    assert_eq!(first.0, 200, "{first:?}");
    let do_it = |line: &str| {
        let (done, said) = paste(line);
        assert!(done, "{line}\n{said}");
        said
    };

    let plan = do_it(lines[0]);
    assert!(plan.contains("Deployment") && plan.contains("shop:2.0"), "{plan}");
    assert_eq!(staging(&demo), first, "looking ahead changes nothing");

    do_it(lines[1]);
    eventually("staging shows version 2.0", || staging(&demo) == (200, "2.0".to_owned()));

    do_it(lines[2]);
    eventually("staging shows version 2.1", || staging(&demo).1 == "2.1");
    let answers: Vec<u16> = (0..90).map(|_| staging(&demo).0).collect();
    let failed = answers.iter().filter(|status| **status == 500).count();
    assert!((5..80).contains(&failed), "about a third of {answers:?} fails");

    do_it(lines[3]);
    eventually("the version before is back, and no request fails", || {
        (0..40).all(|_| staging(&demo) == (200, "2.0".to_owned()))
    });

    let history = do_it(lines[4]);
    assert!(history.to_lowercase().contains("drift"), "{history}");
}
