//! A driver and a transform whose world is typed async. Options, done in each call in this order:
//! `sleep`, ms of the gateway's own clock; `yields`, how often it lets others go first; `together`, ms of waits that
//! begin at once ("2000 1000"); `one-by-one`, the same, each after the one before.
//! The driver then reads holding register 0 over the gateway's fieldbus, and writes to it; the transform adds 1 to each value.
mod waiting;

use std::cell::{Cell, RefCell};

#[cfg(feature = "driver")]
wit_bindgen::generate!({
    inline: "package acme:waits; world guest {
        import twinloop:gateway/clock@0.2.0; import twinloop:gateway/fieldbus@0.2.0;
        import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0;
        export twinloop:gateway/driver-async@0.2.0;
    }",
    path: ["../../../components/wit", "wasi.wit"],
    world: "acme:waits/guest",
    generate_all,
});
#[cfg(feature = "transform")]
wit_bindgen::generate!({
    inline: "package acme:waits; world guest {
        import twinloop:gateway/clock@0.2.0; import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0;
        export twinloop:gateway/transform-async@0.2.0;
    }",
    path: ["../../../components/wit", "wasi.wit"],
    world: "acme:waits/guest",
    generate_all,
});
#[cfg(feature = "transform-01")]
wit_bindgen::generate!({
    inline: "package acme:waits; world guest {
        import twinloop:gateway/clock@0.1.0; import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0;
        export twinloop:gateway/transform-async@0.1.0;
    }",
    path: ["../../../components/wit-0.1", "wasi.wit"],
    world: "acme:waits/guest",
    generate_all,
});

use twinloop::gateway::clock;
use twinloop::gateway::types::*;

const MS: u64 = 1_000_000;

#[derive(Clone, Default)]
struct Plan {
    sleep: u64,
    yields: u64,
    together: Vec<u64>,
    one_by_one: Vec<u64>,
}

thread_local! {
    static PLAN: RefCell<Plan> = RefCell::default();
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

/// "2000 1000" in ns each.
fn times(text: &str) -> Option<Vec<u64>> {
    text.split_whitespace().map(|one| one.parse::<u64>().ok()?.checked_mul(MS)).collect()
}

fn configured(settings: Settings) -> Result<(), ConfigError> {
    let mut plan = Plan::default();
    for (name, value) in settings.options {
        let told = times(&value);
        match (name.as_str(), told) {
            ("protocol" | "unit", _) => {}
            ("sleep", Some(ns)) => plan.sleep = ns.iter().sum(),
            ("yields", Some(ns)) => plan.yields = ns.iter().sum::<u64>() / MS,
            ("together", Some(ns)) => plan.together = ns,
            ("one-by-one", Some(ns)) => plan.one_by_one = ns,
            ("sleep" | "yields" | "together" | "one-by-one", None) => return Err(ConfigError::BadOption(name)),
            _ => return Err(ConfigError::UnknownOption(name)),
        }
    }
    PLAN.set(plan);
    Ok(())
}

async fn carry_out() {
    let plan = PLAN.with_borrow(Plan::clone);
    if plan.sleep > 0 {
        clock::sleep(plan.sleep);
    }
    for _ in 0..plan.yields {
        wit_bindgen::yield_async().await;
    }
    waiting::run(async {
        waiting::all(plan.together.into_iter().map(waiting::after)).await;
        for ns in plan.one_by_one {
            waiting::after(ns).await;
        }
    })
    .await
}

struct Guest;

#[cfg(any(feature = "transform", feature = "transform-01"))]
impl exports::twinloop::gateway::transform_async::Guest for Guest {
    async fn configure(settings: Settings) -> Result<(), ConfigError> {
        configured(settings)
    }

    async fn transform_readings(_source: Origin, mut input: Batch) -> Result<Batch, TransformError> {
        carry_out().await;
        input.readings.iter_mut().for_each(|reading| reading.value += 1.0);
        Ok(input)
    }
}

#[cfg(feature = "driver")]
mod driver {
    use super::*;
    use twinloop::gateway::fieldbus::{transact, Framing, LengthField};

    thread_local! {
        static POINT: Cell<u16> = const { Cell::new(0) };
    }

    fn ask(function: u8, words: [u16; 2]) -> Result<Vec<u8>, DriverError> {
        let mut request = vec![0, 1, 0, 0, 0, 6, 1, function];
        words.iter().for_each(|word| request.extend(word.to_be_bytes()));
        let framing = Framing::LengthField(LengthField { offset: 4, size: 2, big_endian: true, adjust: 0 });
        match transact(&request, &framing, 200 * MS) {
            Ok(reply) if reply.len() > 8 && reply[7] == function => Ok(reply),
            Ok(_) => Err(DriverError::Malformed("reply".into())),
            Err(error) => Err(DriverError::Bus(error)),
        }
    }

    impl exports::twinloop::gateway::driver_async::Guest for Guest {
        async fn configure(settings: Settings) -> Result<(), ConfigError> {
            POINT.set(settings.points[0].id);
            configured(settings)
        }

        async fn read_sensor() -> Result<Batch, DriverError> {
            POLLS.set(POLLS.get() + 1);
            carry_out().await;
            let reply = ask(3, [0, 1])?;
            let value = f64::from(u16::from_be_bytes([reply[9], reply[10]]));
            let reading = Reading { point: POINT.get(), value, status: 0, measured: clock::now() };
            Ok(Batch { readings: vec![reading], texts: vec![], integers: vec![] })
        }

        async fn write_register(_point: Point, value: Written) -> Result<(), DriverError> {
            match value {
                Written::Real(value) => ask(6, [0, value as u16]).map(|_| ()),
                _ => Err(DriverError::Other("not a real number".into())),
            }
        }

        async fn get_status() -> DriverStatus {
            DriverStatus { health: Health::Ok, polls: POLLS.get(), errors: 0, detail: String::new() }
        }
    }
}

export!(Guest);
