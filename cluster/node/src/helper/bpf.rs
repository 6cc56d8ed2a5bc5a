//! Small seccomp filters (seccomp(2), classic BPF): an answer for each of some calls, and leave for the rest.

#![allow(unsafe_code)]

use nix::errno::Errno;

/// How the kernel names this machine's own way to call; `None` where filters are not known here.
#[cfg(target_arch = "x86_64")]
pub(super) const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
pub(super) const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const ARCHITECTURE: Option<u32> = None;

/// Offsets in `struct seccomp_data`: number, architecture, arguments (the low half first; both machines are such).
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

/// A filter that is being written. At each step the call's number is loaded.
pub(super) struct Program(Vec<libc::sock_filter>);

fn statement(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

fn load(offset: u32) -> libc::sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn answer(value: u32) -> libc::sock_filter {
    statement(libc::BPF_RET | libc::BPF_K, value)
}

fn jump(test: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt, jf, k }
}

impl Program {
    /// Calls of another architecture get `others`.
    pub(super) fn new(architecture: u32, others: u32) -> Self {
        Self(vec![load(ARCH), jump(libc::BPF_JEQ, architecture, 1, 0), answer(others), load(NUMBER)])
    }

    /// The answer to a call.
    pub(super) fn call(&mut self, number: libc::c_long, with: u32) {
        self.0.extend([jump(libc::BPF_JEQ, number as u32, 0, 1), answer(with)]);
    }

    /// The answer to all calls from this number on.
    pub(super) fn from(&mut self, number: u32, with: u32) {
        self.0.extend([jump(libc::BPF_JGE, number, 0, 1), answer(with)]);
    }

    /// The answer to a call one of whose arguments has any of these bits.
    pub(super) fn call_with(&mut self, number: libc::c_long, argument: u32, bits: u32, with: u32) {
        self.argument(number, argument, &[jump(libc::BPF_JSET, bits, 0, 1), answer(with)]);
    }

    /// The answer to a call one of whose arguments is this.
    pub(super) fn call_if(&mut self, number: libc::c_long, argument: u32, value: u32, with: u32) {
        self.argument(number, argument, &[jump(libc::BPF_JEQ, value, 0, 1), answer(with)]);
    }

    /// The answer to a call one of whose arguments is none of these.
    pub(super) fn call_unless(&mut self, number: libc::c_long, argument: u32, values: &[u32], with: u32) {
        let mut tests = Vec::new();
        for (at, value) in values.iter().enumerate() {
            let rest = values.len() - at;
            tests.push(jump(libc::BPF_JEQ, *value, u8::try_from(rest).unwrap_or(u8::MAX), 0));
        }
        tests.push(answer(with));
        self.argument(number, argument, &tests);
    }

    /// Tests of the low half of an argument; what passes them goes on.
    fn argument(&mut self, number: libc::c_long, argument: u32, tests: &[libc::sock_filter]) {
        let length = u8::try_from(tests.len() + 2).unwrap_or(u8::MAX);
        self.0.push(jump(libc::BPF_JEQ, number as u32, 0, length));
        self.0.push(load(ARGUMENTS + 8 * argument));
        self.0.extend_from_slice(tests);
        self.0.push(load(NUMBER));
    }

    /// Installs it for this process and all that descend from it. Needs CAP_SYS_ADMIN in its user namespace.
    pub(super) fn install(mut self) -> nix::Result<()> {
        self.0.push(answer(libc::SECCOMP_RET_ALLOW));
        let length = u16::try_from(self.0.len()).map_err(|_| Errno::E2BIG)?;
        let filter = libc::sock_fprog { len: length, filter: self.0.as_mut_ptr() };
        // SAFETY: the kernel copies the program, which lives until the call returns.
        let result =
            unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) };
        Errno::result(result).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer.
    fn run(program: &Program, number: u32, arch: u32, arguments: &[u32]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER => number,
            ARCH => arch,
            other => arguments.get(((other - ARGUMENTS) / 8) as usize).copied().unwrap_or(0),
        };
        let (mut at, mut loaded) = (0, 0);
        loop {
            let Some(step) = program.0.get(at) else { return libc::SECCOMP_RET_ALLOW };
            at += 1;
            let code = u32::from(step.code);
            let test = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            match code & 0x07 {
                libc::BPF_LD => loaded = word(step.k),
                libc::BPF_RET => return step.k,
                _ => {
                    at += match code & 0xf0 {
                        libc::BPF_JEQ => test(loaded == step.k),
                        libc::BPF_JGE => test(loaded >= step.k),
                        _ => test(loaded & step.k != 0),
                    }
                }
            }
        }
    }

    #[test]
    fn each_call_gets_the_answer_that_was_written_for_it() {
        const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
        let mut program = Program::new(7, 1);
        program.from(1000, 2);
        program.call(10, 3);
        program.call_unless(11, 0, &[5, 6], 4);
        program.call_with(12, 1, 0b1100, 5);
        program.call_if(13, 0, 40, 6);
        let of = |number, arguments: &[u32]| run(&program, number, 7, arguments);
        assert_eq!(run(&program, 10, 8, &[]), 1);
        assert_eq!((of(1000, &[]), of(4000, &[]), of(999, &[])), (2, 2, ALLOW));
        assert_eq!((of(10, &[]), of(9, &[])), (3, ALLOW));
        assert_eq!((of(11, &[5]), of(11, &[6]), of(11, &[7])), (ALLOW, ALLOW, 4));
        assert_eq!((of(12, &[0, 0b0011]), of(12, &[0, 0b0100]), of(12, &[9, 0])), (ALLOW, 5, ALLOW));
        assert_eq!((of(13, &[40]), of(13, &[2])), (6, ALLOW));
    }
}
