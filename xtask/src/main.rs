//! Development tasks, run as `cargo xtask TASK`.
//!
//! - `facts`: writes the schema facts that `core/merge` embeds, from published JSON schemas.
//! - `imports`: fails when a crate depends on a room of the house that it must not know.
//!
//! Nothing here is part of the product. Start reading in the module named like the task.

mod facts;
mod imports;

use std::process::ExitCode;

const USAGE: &str = "usage:
  cargo xtask facts --schemas DIR [--go-types DIR]
      DIR holds _definitions.json (from the PyPI package kubernetes-validate);
      --go-types names staging/src/k8s.io of Kubernetes' sources (Debian's source package kubernetes): structs held
      by value become `default: {}`
  cargo xtask imports
      checks the direction of the workspace's imports";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["facts", "--schemas", dir] => facts::write(dir.as_ref(), None),
        ["facts", "--schemas", dir, "--go-types", types] => facts::write(dir.as_ref(), Some(types.as_ref())),
        ["imports"] => imports::check(),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
