//! Runs fuzz targets: parsers and patch code against inputs made from good ones by random edits.
//!
//! A target is a function that states a property of any input and panics where it does not hold; it answers whether the
//! input got past the first refusal, and of all inputs one in twenty must, or the target tests little. [`fuzz!`] makes two
//! tests of it: a quick one with a fixed seed and few inputs, and one of the full tier that takes a new seed and runs
//! for `SEAWAY_FUZZ_SECONDS` (60) seconds; `SEAWAY_FUZZ_SEED` repeats a run. Inputs come from the target's good ones:
//! random bytes would end at the first letter of most parsers. There is no feedback from coverage: that needs a
//! nightly compiler, or a build of its own.
//!
//! An input that breaks a target is made small and written to `found/TARGET/`. It stays there, and both tests begin
//! with what is there: keep it in the tree together with the correction. An input that ends the whole process (a stack
//! that overflows) is left in the build's temporary folder, whose path the long test prints first.
//!
//! It never knows what it tests: the targets are in `tests/`. Start reading in [`run`].

mod edit;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

pub use edit::{Bytes, Json, Seeds};

/// How much a target is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// A few inputs, the same ones each time.
    Quick,
    /// New ones, for a while.
    Long,
}

/// Inputs that the quick test makes.
const QUICK: u32 = 1000;
/// Inputs between two looks at the clock.
const ROUND: u32 = 500;

/// Makes the two tests of a target: `fuzz!(name, seeds, |input| property)`.
#[macro_export]
macro_rules! fuzz {
    ($name:ident, $seeds:expr, $property:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn holds_for_a_few_inputs() {
                $crate::run(stringify!($name), $crate::Effort::Quick, &$seeds, $property);
            }

            #[test]
            #[ignore = "full tier: runs for SEAWAY_FUZZ_SECONDS"]
            fn holds_for_many_inputs() {
                $crate::run(stringify!($name), $crate::Effort::Long, &$seeds, $property);
            }
        }
    };
}

/// Tries a property on the target's good inputs, on those found before, and on new ones.
///
/// # Panics
/// When the property does not hold; the input is then in `found/`.
pub fn run<S: Seeds>(name: &str, effort: Effort, seeds: &S, property: impl Fn(&S::Input) -> bool) {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("found").join(name);
    for input in seeds.good() {
        assert!(
            property(&input),
            "a good input is refused:\n{}",
            String::from_utf8_lossy(&seeds.to_bytes(&input))
        );
    }
    for (path, input) in known(&found, seeds) {
        println!("{}", path.display());
        property(&input);
    }
    let last = (effort == Effort::Long).then(|| scratch(name));
    let (tried, accepted) = (Cell::new(0_u64), Cell::new(0_u64));
    let property = |input: S::Input| {
        if let Some(last) = &last {
            // Without it nothing would be left of an input that takes the process along.
            let _ = std::fs::write(last, seeds.to_bytes(&input));
        }
        tried.set(tried.get() + 1);
        accepted.set(accepted.get() + u64::from(property(&input)));
        Ok(())
    };
    let failure = match effort {
        Effort::Quick => attempt(RngSeed::Fixed(1), QUICK, seeds, &property),
        Effort::Long => {
            let first = number("SEAWAY_FUZZ_SEED").unwrap_or_else(new_seed);
            let seconds = number("SEAWAY_FUZZ_SECONDS").unwrap_or(60);
            println!(
                "SEAWAY_FUZZ_SEED={first}; the present input is in {:?}",
                last.as_deref().unwrap_or(&found)
            );
            let started = std::time::Instant::now();
            let mut rounds =
                (0..).map(|n| attempt(RngSeed::Fixed(first.wrapping_add(n)), ROUND, seeds, &property));
            let failure = rounds.find_map(|failure| match failure {
                Some(failure) => Some(Some(failure)),
                None => (started.elapsed().as_secs() >= seconds).then_some(None),
            });
            failure.flatten()
        }
    };
    if let Some(last) = last {
        let _ = std::fs::remove_file(last);
    }
    if let Some((why, input)) = failure {
        let bytes = seeds.to_bytes(&input);
        let path = keep(&found, &bytes);
        panic!(
            "{name} does not hold: {why}\nthe input is in {}; keep it there with the correction\n{}",
            path.display(),
            String::from_utf8_lossy(&bytes)
        );
    }
    println!("{} inputs, {} of them accepted", tried.get(), accepted.get());
    assert!(
        accepted.get() * 20 >= tried.get(),
        "{name} refuses nearly every input: its seeds are edited too much"
    );
}

fn attempt<S: Seeds>(
    seed: RngSeed,
    cases: u32,
    seeds: &S,
    property: &impl Fn(S::Input) -> Result<(), TestCaseError>,
) -> Option<(String, S::Input)> {
    let config = Config {
        cases,
        rng_seed: seed,
        failure_persistence: None,
        max_shrink_iters: 5000,
        ..Config::default()
    };
    // Each step towards a small input fails once more: only the last one is told.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = TestRunner::new(config).run(&seeds.inputs(), property);
    std::panic::set_hook(hook);
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(why, input)) => Some((why.to_string(), input)),
        Err(TestError::Abort(why)) => panic!("no inputs could be made: {why}"),
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn new_seed() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}

/// The inputs that broke the target before.
fn known<S: Seeds>(folder: &Path, seeds: &S) -> Vec<(PathBuf, S::Input)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).ok()?;
        let input = seeds.of_bytes(&bytes)?;
        Some((path, input))
    };
    paths.into_iter().filter_map(read).collect()
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("seaway-fuzz-{}-{name}", std::process::id()))
}

/// Writes an input to where the next run begins.
fn keep(folder: &Path, bytes: &[u8]) -> PathBuf {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes);
    let path = folder.join(format!("{hash:016x}"));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes));
    if let Err(error) = written {
        println!("the input could not be kept: {error}");
    }
    path
}
