//! The seaway program.
fn main() {}
