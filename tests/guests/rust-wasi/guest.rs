//! A transform that uses WASI as its options ask; see ../README.md.

wit_bindgen::generate!({ path: "../../../components/wit-0.1", world: "reading-transform" });

use std::cell::RefCell;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::Write;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use exports::twinloop::gateway::transform::{Batch, ConfigError, Guest, Origin, Settings, TransformError};
use twinloop::gateway::types::TextReading;

const NAMES: [&str; 13] = [
    "sleep", "out", "err", "env", "write", "read", "list", "clock", "random", "garbage", "panic", "exit", "recurse",
];

struct Plan {
    in_configure: bool,
    at: u64,
    answer: Option<u16>,
    tell: bool,
    acts: Vec<(String, String)>,
}

thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

fn plan(options: Vec<(String, String)>) -> Result<Plan, ConfigError> {
    let mut plan = Plan { in_configure: false, at: 0, answer: None, tell: false, acts: Vec::new() };
    for (name, value) in options {
        let fine = match name.as_str() {
            "where" => {
                plan.in_configure = value == "configure";
                plan.in_configure || value == "transform"
            }
            "at" => value.parse().map(|at| plan.at = at).is_ok(),
            "answer" => value.parse().map(|point| plan.answer = Some(point)).is_ok(),
            "tell" => {
                plan.tell = true;
                true
            }
            "sleep" | "garbage" => value.parse::<u64>().is_ok(),
            "exit" => value.parse::<u8>().is_ok(),
            known if NAMES.contains(&known) => true,
            _ => return Err(ConfigError::UnknownOption(name)),
        };
        if !fine {
            return Err(ConfigError::BadOption(name));
        }
        if NAMES.contains(&name.as_str()) {
            plan.acts.push((name, value));
        }
    }
    Ok(plan)
}

fn append(path: &str, line: &str) -> std::io::Result<String> {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(line.as_bytes())?;
    Ok(format!("wrote {} bytes", line.len()))
}

fn list(path: &str) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(format!("list {}", names.join(",")))
}

fn clock() -> String {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let monotonic = FIRST.get_or_init(Instant::now).elapsed().as_nanos();
    let wall = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    format!("monotonic {monotonic}\nwall {wall}")
}

fn garbage(bytes: u64) {
    let mut left = bytes as usize;
    while left > 0 {
        let piece = left.min(4096);
        std::hint::black_box(vec![1_u8; piece]);
        left -= piece;
    }
}

#[allow(unconditional_recursion)]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 16]);
    recurse(depth + 1) + here[3]
}

fn act(name: &str, value: &str, sequence: u64) -> std::io::Result<String> {
    let mut answer = String::new();
    match name {
        "sleep" => std::thread::sleep(Duration::from_millis(value.parse().unwrap_or(0))),
        "out" => writeln!(std::io::stdout(), "{value}")?,
        "err" => writeln!(std::io::stderr(), "{value}")?,
        "env" => {
            let args = std::env::args().enumerate().map(|(n, arg)| format!("arg {n} {arg}"));
            let env = std::env::vars().map(|(key, value)| format!("env {key}={value}"));
            answer = args.chain(env).collect::<Vec<_>>().join("\n");
        }
        "write" => answer = append(value, &format!("sequence {sequence}\n"))?,
        "read" => answer = format!("read {}", std::fs::read_to_string(value)?),
        "list" => answer = list(value)?,
        "clock" => answer = clock(),
        "random" => answer = format!("random {:016x}", RandomState::new().build_hasher().finish()),
        "garbage" => garbage(value.parse().unwrap_or(0)),
        "panic" => panic!("{value}"),
        "exit" => std::process::exit(value.parse().unwrap_or(1)),
        _ => answer = recurse(0).to_string(),
    }
    Ok(answer)
}

impl Plan {
    fn carry_out(&self, sequence: u64) -> String {
        let mut answers = Vec::new();
        for (name, value) in &self.acts {
            let answer = act(name, value, sequence).unwrap_or_else(|error| format!("{name} error {error}"));
            if !answer.is_empty() {
                if self.tell {
                    eprintln!("{answer}");
                }
                answers.push(answer);
            }
        }
        answers.join("\n")
    }
}

struct Component;

impl Guest for Component {
    fn configure(settings: Settings) -> Result<(), ConfigError> {
        PLAN.set(None);
        let plan = plan(settings.options)?;
        if plan.in_configure {
            plan.carry_out(0);
        }
        PLAN.set(Some(plan));
        Ok(())
    }

    fn transform_readings(source: Origin, mut input: Batch) -> Result<Batch, TransformError> {
        PLAN.with_borrow(|plan| {
            let plan = plan.as_ref().ok_or(TransformError::NotConfigured)?;
            if !plan.in_configure && source.sequence >= plan.at {
                let value = plan.carry_out(source.sequence);
                if let Some(point) = plan.answer {
                    let measured = input.readings.first().map_or(0, |reading| reading.measured);
                    input.texts.push(TextReading { point, value, status: 0, measured });
                }
            }
            Ok(input)
        })
    }
}

export!(Component);
