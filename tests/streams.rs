//! What flows between a terminal and a pod: port-forward, exec, attach, cp and logs, by the real kubectl.

#![allow(clippy::unwrap_used)]

#[path = "support/images.rs"]
mod images;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Stdio};
use std::time::Duration;

use support::{Kubectl, Seaway, eventually};

/// A program, with pods on it; `None` (and why) where this machine runs none.
fn machine() -> Option<(tempfile::TempDir, Seaway, Kubectl)> {
    let temporary = tempfile::tempdir().unwrap();
    let layout = temporary.path().join("images");
    images::web(&layout, "www")?;
    let layout = layout.display().to_string();
    let seaway = Seaway::start_with(&temporary.path().join("data"), &["--image-layout", &layout]);
    let k = seaway.kubectl();
    if k.ok("get nodes -o name").stdout.is_empty() {
        println!("skipped: this host allows no namespaces");
        return None;
    }
    Some((temporary, seaway, k))
}

/// Applies a pod of one container `c` that runs a script, and waits until it is ready.
fn run(k: &Kubectl, name: &str, script: &str) {
    let script = script.replace('\'', "''");
    k.apply(&format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: registry.test/web:1
    stdin: true
    command: [sh, -c, '{script}']
"
    ));
    k.ok(&format!("wait --for=condition=Ready pod/{name} --timeout=60s"));
}

/// A running `kubectl port-forward` to one port.
struct Forward {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    port: u16,
}

impl Forward {
    fn start(k: &Kubectl, target: &str, port: u16) -> Self {
        Self::of(&mut k.command(&["port-forward", target, &format!(":{port}")]))
    }

    fn of(command: &mut std::process::Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split(' ').next());
        let port = port.unwrap_or_else(|| panic!("kubectl port-forward said {line:?}")).parse().unwrap();
        Self { child, lines, port }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// The body of a GET.
    fn get(&self, path: &str) -> Vec<u8> {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        answer.split_off(head + 4)
    }

    /// Waits until kubectl ends by itself; what it said on its error stream.
    fn ended(mut self) -> (bool, String) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (self.child.wait().unwrap().success(), text)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A web server that only the pod's own loopback reaches, and one that counts what it is sent.
const SERVERS: &str = "head -c 5000000 /dev/zero > /www/big; nc -ll -p 9000 -e wc -c & \
                       exec httpd -f -p 127.0.0.1:80 -h /www";

#[test]
fn port_forward_carries_connections_to_a_pods_own_ports() {
    let Some((_folder, _seaway, k)) = machine() else { return };
    run(&k, "web", SERVERS);
    let forward = Forward::start(&k, "pod/web", 80);
    eventually("the server answers", || forward.get("/index.html") == b"version 1\n");
    assert_eq!(forward.get("/big").len(), 5_000_000);

    // Side by side, while one that sends nothing stays open.
    let idle = forward.connect();
    std::thread::scope(|threads| {
        for _ in 0..20 {
            threads.spawn(|| (0..5).for_each(|_| assert_eq!(forward.get("/index.html"), b"version 1\n")));
        }
    });
    drop(idle);

    // The client says that it has sent all, and still gets the answer.
    let counter = Forward::start(&k, "web", 9000);
    let mut stream = counter.connect();
    stream.write_all(&vec![b'x'; 3_000_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut count = String::new();
    stream.read_to_string(&mut count).unwrap();
    assert_eq!(count.trim(), "3000000");

    // Nobody listens: the connection ends, and kubectl says why.
    let refused = Forward::start(&k, "web", 81);
    assert_eq!(refused.connect().read(&mut [0]).unwrap_or(0), 0);
    let (success, said) = refused.ended();
    assert!(!success && said.contains("localhost:81 inside the pod: Connection refused"), "{said}");

    // The pod ends, and with it the forwarding.
    k.ok("delete pod web --wait=false");
    let (success, said) = forward.ended();
    assert!(!success && said.contains("lost connection to pod"), "{said}");
    k.ok("wait --for=delete pod/web --timeout=30s");
    k.fails("port-forward pod/web :80", "not found");
}

#[test]
fn port_forward_finds_the_pod_of_a_service_and_of_a_deployment() {
    let Some((_folder, _seaway, k)) = machine() else { return };
    k.ok("create deployment web --image=registry.test/web:1 --port=80");
    k.ok("expose deployment web --port=8080 --target-port=80");
    k.ok("rollout status deployment/web --timeout=60s");
    let service = Forward::start(&k, "svc/web", 8080);
    eventually("the service answers", || service.get("/") == b"version 1\n");
    assert_eq!(Forward::start(&k, "deploy/web", 80).get("/"), b"version 1\n");

    // Who may only look at pods cannot connect to them.
    k.ok("create serviceaccount reader");
    k.ok("create rolebinding reader --clusterrole=view --serviceaccount=default:reader");
    k.fails("port-forward deploy/web :80 --as=system:serviceaccount:default:reader", "forbidden");
}

#[test]
fn port_forward_works_for_programs_that_know_spdy_alone() {
    let Some((_folder, _seaway, k)) = machine() else { return };
    run(&k, "web", SERVERS);
    let mut command = k.command(&["port-forward", "pod/web", ":80"]);
    let forward = Forward::of(command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false"));
    eventually("the server answers", || forward.get("/index.html") == b"version 1\n");
    assert_eq!(forward.get("/big").len(), 5_000_000);
    k.ok("delete pod web --wait=false");
    let (success, said) = forward.ended();
    assert!(!success && said.contains("lost connection to pod"), "{said}");
}

#[test]
fn exec_gives_streams_a_terminal_and_the_exit_code() {
    let Some((_folder, _seaway, k)) = machine() else { return };
    run(&k, "shell", "exec sleep 3600");
    let sh = |script: &str, input: &str| k.args(&["exec", "-i", "shell", "--", "sh", "-c", script], input);
    let printed = sh("echo out; echo err >&2; exit 7", "");
    assert_eq!((printed.stdout.as_str(), printed.stderr.lines().next()), ("out\n", Some("err")));
    assert!(printed.stderr.contains("terminated with exit code 7"), "{printed:?}");
    assert!(sh("kill -9 $$", "").stderr.contains("exit code 137"));
    k.fails("exec shell -- no-such-program", "no-such-program");
    k.fails("exec shell -c nobody -- true", "container nobody is not valid for pod shell");

    // The end of input reaches the program; what it printed before its end arrives whole.
    assert_eq!(sh("wc -c", &"y".repeat(2_000_000)).stdout.trim(), "2000000");
    assert_eq!(sh("head -c 3000000 /dev/zero | tr '\\0' z", "").stdout.len(), 3_000_000);

    // A terminal has the size of the client's, also after that changed.
    let size = nix::pty::Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = nix::pty::openpty(&size, None).unwrap();
    let name = nix::unistd::ttyname(terminal.slave.as_fd()).unwrap();
    let kubectl = k.command(&["exec", "-it", "shell", "--", "sh"]);
    let mut command = std::process::Command::new("setsid");
    command.arg("--ctty").arg(kubectl.get_program()).args(kubectl.get_args());
    command.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let side = || Stdio::from(terminal.slave.try_clone().unwrap());
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    let mut keyboard = std::fs::File::from(terminal.master.try_clone().unwrap());
    let mut screen = std::fs::File::from(terminal.master);
    let (sender, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = screen.read(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut text = String::new();
    let mut until = |what: &str, part: &str| {
        while !text.contains(part) {
            text += &shown
                .recv_timeout(Duration::from_secs(60))
                .unwrap_or_else(|e| panic!("{what}: {e}: {text:?}"));
        }
        text.clear();
    };
    until("a prompt comes", "# ");
    keyboard
        .write_all(b"until [ \"$(stty size)\" = '33 101' ]; do sleep 0.1; done; echo first-$((1+1))\n")
        .unwrap();
    until("the first size is known", "first-2");
    let resized =
        std::process::Command::new("stty").arg("-F").arg(&name).args(["rows", "44", "cols", "120"]).status();
    assert!(resized.unwrap().success());
    keyboard
        .write_all(b"until [ \"$(stty size)\" = '44 120' ]; do sleep 0.1; done; echo second-$((1+1))\n")
        .unwrap();
    until("the second size is known", "second-2");
    keyboard.write_all(b"exit 5\n").unwrap();
    until("the end is told", "exit code 5");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn attach_joins_a_running_program() {
    let Some((_folder, _seaway, k)) = machine() else { return };
    run(&k, "echo", "while read line; do echo \"got $line\"; [ $line = stop ] && exit 4; done; sleep 3600");
    let mut child = k.command(&["attach", "-i", "echo"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut input = child.stdin.take().unwrap();
    // What is printed before kubectl is there goes to the log alone, so it is asked until it hears an answer.
    input.write_all(b"one\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got one");
    input.write_all(b"two\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "got two");
    drop(input);
    let _ = child.kill();
    child.wait().unwrap();
    let log = k.ok("logs echo").stdout;
    assert!(log.contains("got one\ngot two\n"), "{log}");
}

#[test]
fn run_with_piped_input_ends_with_it() {
    let Some((_folder, _seaway, k)) = machine() else { return };
    for name in ["first", "second"] {
        let run = ["run", name, "-i", "--rm", "--quiet", "--restart=Never", "--image=registry.test/web:1"];
        let printed =
            k.args(&[&run[..], &["--", "sh", "-c", "tr a-z A-Z; echo end"]].concat(), "piped words\n");
        assert!(printed.success && printed.stdout.ends_with("PIPED WORDS\nend\n"), "{printed:?}");
    }
    eventually("they are removed", || k.ok("get pods -o name").stdout.is_empty());
}

#[test]
fn cp_copies_files_and_folders_both_ways() {
    let Some((folder, _seaway, k)) = machine() else { return };
    run(&k, "box", "exec sleep 3600");
    let local = folder.path().join("local");
    std::fs::create_dir_all(local.join("deep/er")).unwrap();
    let noise: Vec<u8> = (0..1_500_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(local.join("noise"), &noise).unwrap();
    std::fs::write(local.join("deep/er/text"), "with spaces and\nlines\n").unwrap();
    k.ok(&format!("cp {} box:/tmp/copy", local.display()));
    let sum = |path: &str| k.ok(&format!("exec box -- md5sum {path}")).stdout;
    assert_eq!(k.ok("exec box -- cat /tmp/copy/deep/er/text").stdout, "with spaces and\nlines\n");
    let back = folder.path().join("back");
    k.ok(&format!("cp box:/tmp/copy {}", back.display()));
    assert_eq!(std::fs::read(back.join("noise")).unwrap(), noise);
    assert_eq!(std::fs::read_to_string(back.join("deep/er/text")).unwrap(), "with spaces and\nlines\n");
    k.ok(&format!("cp {} default/box:/tmp/one -c c", local.join("noise").display()));
    assert_eq!(sum("/tmp/one").split(' ').next(), sum("/tmp/copy/noise").split(' ').next());
    let nothing = folder.path().join("nothing");
    // kubectl does not wait for the error of its own `tar`, so what it says is left to it.
    k.run(&format!("cp box:/tmp/nothing {}", nothing.display()));
    assert!(!nothing.exists());
}

#[test]
fn debug_runs_a_container_beside_another_and_sees_its_processes() {
    let Some((_folder, _seaway, k)) = machine() else { return };
    run(&k, "shell", "echo marked > /tmp/mark; exec sleep 3600");
    let debug = |name: &str, more: &[&str], script: &str, input: &str| {
        let mut arguments = vec!["debug", "shell", "--image=registry.test/web:1", "--target=c", "-c", name];
        arguments.extend_from_slice(more);
        arguments.extend_from_slice(&["--", "sh", "-c", script]);
        k.args(&arguments, input)
    };
    let look = "ps; cat /proc/1/root/tmp/mark; ls /tmp; echo end";
    assert!(debug("look", &[], look, "").success);
    let ended = "get pod shell -o jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}";
    eventually("it has looked around", || k.ok(ended).stdout == "0");
    let log = k.ok("logs shell -c look").stdout;
    assert!(log.contains("sleep 3600") && log.contains("marked\n") && !log.contains("mark\n"), "{log}");
    k.prints("get pod shell -o jsonpath={.status.phase}", "Running");

    let printed = debug("talk", &["-i"], "read line; echo got $line; exit 3", "hello\n");
    assert!(printed.stdout.contains("got hello"), "{printed:?}");
    k.ok("wait --for=condition=Ready pod/shell --timeout=10s");
    k.ok("delete pod shell");
}

const TALKERS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: talk, labels: {app: talk}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: a
    image: registry.test/web:1
    command: [sh, -c, 'for i in 1 2 3 4 5; do echo line $i; done; sleep 1; echo late; until [ -e /tmp/go ]; do sleep 0.1; done; echo over; exit 1']
  - name: b
    image: registry.test/web:1
    command: [sh, -c, 'echo from b >&2; sleep 3600']
";

#[test]
fn logs_come_as_asked_for() {
    let Some((_folder, _seaway, k)) = machine() else { return };
    k.apply(TALKERS);
    k.ok("wait --for=condition=Ready pod/talk --timeout=60s");
    k.fails("logs talk -c nobody", "container nobody is not valid for pod talk");
    eventually("all is printed", || k.ok("logs talk -c a").stdout.ends_with("late\n"));
    k.prints("logs talk -c a --tail=2", "line 5\nlate");
    k.prints("logs talk -c a --tail=0", "");
    k.prints("logs talk -c a --limit-bytes=9", "line 1\nli");
    k.prints("logs talk -c b", "from b");
    let all = k.ok("logs talk --all-containers --prefix").stdout;
    assert!(all.contains("[pod/talk/a] line 3\n") && all.contains("[pod/talk/b] from b\n"), "{all}");
    let chosen = k.ok("logs -l app=talk --all-containers --tail=1").stdout;
    let mut chosen: Vec<&str> = chosen.lines().collect();
    chosen.sort_unstable();
    assert_eq!(chosen, ["from b", "late"]);

    // Times are those at which the lines were written, and `since` counts by them.
    let stamped = k.ok("logs talk -c a --timestamps").stdout;
    let times: Vec<&str> = stamped.lines().map(|l| l.split(' ').next().unwrap()).collect();
    assert!(times.iter().all(|t| t.len() > 20 && t.starts_with("20") && t.ends_with('Z')), "{stamped}");
    k.prints(&format!("logs talk -c a --since-time={}", times[5]), "late");
    assert_eq!(k.ok("logs talk -c a --since=1h").stdout.lines().count(), 6);
    k.fails("logs talk -c a --previous", "previous terminated");

    // Followed to the end of the container, and the ended one can still be asked for.
    let follow = k.follow("logs talk -c a -f --tail=1");
    assert_eq!(follow.line(), "late");
    k.ok("exec talk -c a -- touch /tmp/go");
    assert_eq!(follow.line(), "over");
    eventually("it was started again", || {
        k.ok("get pod talk -o jsonpath={.status.containerStatuses[0].restartCount}").stdout == "1"
    });
    let previous = k.ok("logs talk -c a -p").stdout;
    assert!(previous.starts_with("line 1\n") && previous.ends_with("late\nover\n"), "{previous}");
}
