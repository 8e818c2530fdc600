//! Makes a driver of a component that exports `driver-stream`: a stream of batches becomes one batch a poll.
//!
//! The first poll subscribes; each poll takes the next batch. The stream's writer waits until its batch is taken, so the
//! polls give the rhythm, and the interval that is asked for (option `interval`) is short: while a component waits in an
//! import, nothing else in it runs. So that a batch is of this poll and not made ahead in the last one, the writer goes
//! on first (the yield) until it writes, and only then is taken what it wrote. A stream that ends is `disconnected`, and the
//! next poll subscribes again. Whoever enters the component lets the writer go on, so a status that is asked between two
//! polls has it make a batch without a bus: where that has no values, or ends the stream, it is as if it hadn't been.
//! What no stream can do (a write) is answered here. It reaches nothing itself.
wit_bindgen::generate!({
    inline: "package twinloop:adapters; world pull { import twinloop:gateway/driver-stream@0.2.0; export twinloop:gateway/driver-async@0.2.0; }",
    path: "../../wit",
    world: "twinloop:adapters/pull",
    generate_all,
});

use std::cell::{Cell, RefCell};

use exports::twinloop::gateway::driver_async::Guest;
use twinloop::gateway::driver_stream;
use twinloop::gateway::types::*;
use wit_bindgen::StreamReader;

const INTERVAL_NS: u64 = 1_000_000;
const BAD: u32 = 0x8000_0000;

thread_local! {
    static OPEN: RefCell<Option<StreamReader<Batch>>> = const { RefCell::new(None) };
    static INTERVAL: Cell<u64> = const { Cell::new(INTERVAL_NS) };
    /// Has the writer gone on since the last poll?
    static AHEAD: Cell<bool> = const { Cell::new(false) };
}

struct Pull;

/// "200 ms" in ns.
fn duration(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit: u64 = match text[end..].trim() {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    text[..end].parse::<u64>().ok()?.checked_mul(unit).filter(|ns| *ns > 0)
}

fn has_no_values(batch: &Batch) -> bool {
    let statuses = batch.readings.iter().map(|one| one.status).chain(batch.texts.iter().map(|one| one.status));
    statuses.chain(batch.integers.iter().map(|one| one.status)).all(|status| status >= BAD)
}

impl Guest for Pull {
    async fn configure(mut settings: Settings) -> Result<(), ConfigError> {
        OPEN.take();
        INTERVAL.set(INTERVAL_NS);
        if let Some(at) = settings.options.iter().rposition(|(name, _)| name == "interval") {
            match duration(&settings.options[at].1) {
                Some(ns) => INTERVAL.set(ns),
                None => return Err(ConfigError::BadOption("interval".into())),
            }
            settings.options.retain(|(name, _)| name != "interval");
        }
        driver_stream::configure(settings).await
    }

    async fn read_sensor() -> Result<Batch, DriverError> {
        let mut ahead = AHEAD.take();
        loop {
            let mut stream = match OPEN.take() {
                Some(stream) => stream,
                None => driver_stream::subscribe(INTERVAL.get()).await?,
            };
            wit_bindgen::yield_async().await;
            match stream.next().await {
                Some(batch) => {
                    OPEN.set(Some(stream));
                    if !(ahead && has_no_values(&batch)) {
                        return Ok(batch);
                    }
                }
                None if ahead => {}
                None => return Err(DriverError::Bus(BusError::Disconnected)),
            }
            ahead = false;
        }
    }

    async fn write_register(_point: Point, _value: Written) -> Result<(), DriverError> {
        Err(DriverError::Other("read-only".into()))
    }

    async fn get_status() -> DriverStatus {
        AHEAD.set(OPEN.with_borrow(Option::is_some));
        driver_stream::get_status().await
    }
}

export!(Pull);
