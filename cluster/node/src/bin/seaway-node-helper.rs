//! The node's helper processes alone, for tests: the `seaway` program has the same hook at the start of its `main`.

fn main() -> std::process::ExitCode {
    seaway_node::helper_main(std::env::args_os()).unwrap_or_else(|| {
        eprintln!("this program is started by the tests of seaway-node");
        std::process::ExitCode::FAILURE
    })
}
