//! A driver that exports `driver-stream`: subscribed, it reads holding register 0 over the gateway's fieldbus once every
//! interval, and writes each value into its stream. Options: `batches`, after how many the stream ends (default: never);
//! `fail`, any value: it can't be subscribed; `count`, any value: it gives the number of batches before this one, and leaves
//! the bus alone; `at-once`, how many batches it writes at a time; `pause`, ms that it sleeps after each write, in place of
//! the interval; `trap`, after how many batches it panics; `sick`, after how many it says that it has failed.
wit_bindgen::generate!({
    inline: "package acme:streaming; world guest { import twinloop:gateway/clock@0.2.0; import twinloop:gateway/fieldbus@0.2.0; export twinloop:gateway/driver-stream@0.2.0; }",
    path: "../../../components/wit",
    world: "acme:streaming/guest",
    generate_all,
});

use std::cell::{Cell, RefCell};

use exports::twinloop::gateway::driver_stream::Guest;
use twinloop::gateway::types::*;
use twinloop::gateway::{clock, fieldbus};
use wit_bindgen::StreamReader;

thread_local! {
    static POINT: Cell<u16> = const { Cell::new(0) };
    static BATCHES: Cell<u64> = const { Cell::new(u64::MAX) };
    static FAIL: RefCell<bool> = const { RefCell::new(false) };
    static COUNT: Cell<bool> = const { Cell::new(false) };
    static AT_ONCE: Cell<u64> = const { Cell::new(1) };
    static PAUSE: Cell<Option<u64>> = const { Cell::new(None) };
    static TRAP: Cell<u64> = const { Cell::new(u64::MAX) };
    static SICK: Cell<u64> = const { Cell::new(u64::MAX) };
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

struct Streaming;

fn batch(before: u64) -> Batch {
    assert!(before < TRAP.get(), "no more batches");
    let reading = match COUNT.get() {
        true => {
            POLLS.set(POLLS.get() + 1);
            Reading { point: POINT.get(), value: before as f64, status: 0, measured: clock::now() }
        }
        false => read(),
    };
    Batch { readings: vec![reading], texts: vec![], integers: vec![] }
}

fn number(name: String, value: &str) -> Result<u64, ConfigError> {
    value.parse().map_err(|_| ConfigError::BadOption(name))
}

fn read() -> Reading {
    let request = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
    let framing = fieldbus::Framing::LengthField(fieldbus::LengthField { offset: 4, size: 2, big_endian: true, adjust: 0 });
    POLLS.set(POLLS.get() + 1);
    let (value, status) = match fieldbus::transact(&request, &framing, 200_000_000) {
        Ok(reply) if reply.len() == 11 => (f64::from(u16::from_be_bytes([reply[9], reply[10]])), 0),
        _ => (0.0, 0x800A_0000),
    };
    Reading { point: POINT.get(), value, status, measured: clock::now() }
}

impl Guest for Streaming {
    async fn configure(settings: Settings) -> Result<(), ConfigError> {
        POINT.set(settings.points[0].id);
        for (name, value) in settings.options {
            match name.as_str() {
                "batches" => BATCHES.set(number(name, &value)?),
                "at-once" => AT_ONCE.set(number(name, &value)?),
                "pause" => PAUSE.set(Some(number(name, &value)? * 1_000_000)),
                "trap" => TRAP.set(number(name, &value)?),
                "sick" => SICK.set(number(name, &value)?),
                "count" => COUNT.set(true),
                "fail" => FAIL.set(true),
                "protocol" | "unit" => {}
                _ => return Err(ConfigError::UnknownOption(name)),
            }
        }
        Ok(())
    }

    async fn subscribe(interval: u64) -> Result<StreamReader<Batch>, DriverError> {
        if FAIL.with_borrow(|fail| *fail) {
            return Err(DriverError::Other("no subscription".into()));
        }
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            let mut written = 0;
            while written < BATCHES.get() {
                let more = AT_ONCE.get().min(BATCHES.get() - written);
                let left = writer.write_all((written..written + more).map(batch).collect()).await;
                if !left.is_empty() {
                    break;
                }
                written += more;
                match PAUSE.get().unwrap_or(interval) {
                    0 => {}
                    ns => clock::sleep(ns),
                }
            }
        });
        Ok(reader)
    }

    async fn get_status() -> DriverStatus {
        let health = if POLLS.get() < SICK.get() { Health::Ok } else { Health::Failed };
        DriverStatus { health, polls: POLLS.get(), errors: 0, detail: String::new() }
    }
}

export!(Streaming);
