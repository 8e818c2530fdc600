//! What a runner is asked and answers: one line each, see `benchmarks/runtimes/runners.py`.
//!
//! Belongs here: reading the lines, CPU time, memory. Never: anything of one runtime.

use std::io::{BufRead, Write};

/// A runtime in one of its modes. A failure ends the process with its words: the driver shows them.
pub trait Runtime {
    type Module;
    type Instance;
    fn compile(&self, bytes: &[u8]) -> Self::Module;
    /// A store of its own, and in it the instance.
    fn instantiate(&self, module: &Self::Module) -> Self::Instance;
    /// Calls an export `(i32) -> i32` `calls` times; looks its name up once. The last result.
    fn call(&self, instance: &mut Self::Instance, name: &str, argument: i32, calls: u64) -> i32;
}

/// CPU time of this process with all its threads, user and kernel.
pub fn cpu_ns() -> u64 {
    let mut at = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut at) }, 0);
    at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64
}

/// Addresses and memory of this process, in bytes.
fn sizes() -> (i64, i64) {
    let text = std::fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
    let pages: Vec<i64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    (pages[0] * page, pages[1] * page)
}

/// Answers until the input ends.
pub fn serve<R: Runtime>(runtime: R, bytes: &[u8], version: &str) {
    let module = runtime.compile(bytes);
    let mut instance = runtime.instantiate(&module);
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input");
        let words: Vec<&str> = line.split_whitespace().collect();
        let count: u64 = words.last().and_then(|word| word.parse().ok()).unwrap_or(1);
        let began = cpu_ns();
        let answer = match words[0] {
            "version" => version.to_string(),
            "compile" => {
                for _ in 0..count {
                    drop(runtime.compile(bytes));
                }
                format!("{} 0", cpu_ns() - began)
            }
            "instantiate" => {
                for _ in 0..count {
                    drop(runtime.instantiate(&module));
                }
                format!("{} 0", cpu_ns() - began)
            }
            "calls" => {
                let word = runtime.call(&mut instance, "empty", 7, count);
                format!("{} {}", cpu_ns() - began, word as u32)
            }
            "kernel" => {
                let word = runtime.call(&mut instance, words[1], count as i32, 1);
                format!("{} {}", cpu_ns() - began, word as u32)
            }
            "memory" => {
                let (addresses, rss) = sizes();
                let mut kept = Vec::with_capacity(count as usize);
                for _ in 0..count {
                    let mut one = runtime.instantiate(&module);
                    runtime.call(&mut one, words[1], 1, 1);
                    kept.push(one);
                }
                let (addresses_after, rss_after) = sizes();
                format!("{} {}", addresses_after - addresses, rss_after - rss)
            }
            other => panic!("unknown question {other:?}"),
        };
        writeln!(out, "{answer}").expect("standard output");
        out.flush().expect("standard output");
    }
}
