//! A driver that exports `driver-stream`: subscribed, it reads holding register 0 over the gateway's fieldbus once every
//! interval, and writes each value into its stream. Options: `batches`, after how many the stream ends (default: never);
//! `fail`, any value: it can't be subscribed.
wit_bindgen::generate!({
    inline: "package acme:streaming; world guest { import twinloop:gateway/clock@0.1.0; import twinloop:gateway/fieldbus@0.1.0; export twinloop:gateway/driver-stream@0.1.0; }",
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
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

struct Streaming;

fn read() -> Reading {
    let request = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
    let framing = fieldbus::Framing::LengthField(fieldbus::LengthField { offset: 4, size: 2, big_endian: true, adjust: 0 });
    POLLS.set(POLLS.get() + 1);
    let (value, status) = match fieldbus::transact(&request, framing, 200_000_000) {
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
                "batches" => BATCHES.set(value.parse().map_err(|_| ConfigError::BadOption(name))?),
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
            for _ in 0..BATCHES.get() {
                let batch = Batch { readings: vec![read()], texts: vec![] };
                if writer.write_one(batch).await.is_some() {
                    break;
                }
                clock::sleep(interval);
            }
        });
        Ok(reader)
    }

    async fn get_status() -> DriverStatus {
        DriverStatus { health: Health::Ok, polls: POLLS.get(), errors: 0, detail: String::new() }
    }
}

export!(Streaming);
