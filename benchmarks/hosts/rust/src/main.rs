//! The host `rust-typed`: components called through the wasmtime crate with the bindings that `bindgen!` makes of the WIT.
//!
//!     typed-host COMPONENT METERED RUNS CASE[:SIZE[:STEP]]...
//!
//! Each case is called RUNS times between two marks, then 3 * RUNS times. It keeps its readings in the bindings' own structs. A line
//! for each case: imports, bytes of frames and lists, fuel of a call.
//!
//! Belongs here: the host. Never: counting (../c/plugin.c), what is made of the counts (../fitting.py).

use std::hint::black_box;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, Result, Store};

mod transform {
    wasmtime::component::bindgen!({ path: "../../../components/wit", world: "reading-transform" });
}
mod policy {
    wasmtime::component::bindgen!({ path: "../../../components/wit", world: "routing-policy" });
}
mod driver {
    wasmtime::component::bindgen!({ path: "../../../components/wit", world: "device-driver" });
}
mod probe {
    wasmtime::component::bindgen!({ path: "../probe.wit", world: "probing" });
}

const READINGS_MAX: usize = 256;
const WARM: u32 = 32;
const FUEL: u64 = 1 << 60;
const MARK: libc::c_long = 7001;
const NOW: u64 = 1_700_000_000_000_000_000;

#[derive(Default)]
struct Crossed {
    imports: u64,
    carried: usize,
}

impl probe::counted::probe::asked::Host for Crossed {
    fn now(&mut self) -> u64 {
        self.imports += 1;
        NOW
    }
    fn exchange(&mut self, request: Vec<u8>) -> Vec<u8> {
        self.imports += 1;
        self.carried += 2 * request.len();
        request
    }
}

impl driver::twinloop::gateway::clock::Host for Crossed {
    fn now(&mut self) -> u64 {
        self.imports += 1;
        NOW
    }
    fn monotonic(&mut self) -> u64 {
        self.imports += 1;
        NOW
    }
    fn sleep(&mut self, _time: u64) {
        self.imports += 1;
    }
}

use driver::twinloop::gateway::fieldbus::{BusError, Framing};

impl driver::twinloop::gateway::fieldbus::Host for Crossed {
    /// A Modbus TCP device that answers any read of registers.
    fn transact(&mut self, request: Vec<u8>, _reply: Framing, _timeout: u64) -> Result<Vec<u8>, BusError> {
        let size = 2 * usize::from(u16::from_be_bytes([request[10], request[11]]));
        let mut frame = Vec::with_capacity(9 + size);
        frame.extend_from_slice(&request[..4]);
        frame.extend_from_slice(&((3 + size) as u16).to_be_bytes());
        frame.extend_from_slice(&request[6..8]);
        frame.push(size as u8);
        frame.extend((0..size).map(|i| (i * 7) as u8));
        self.imports += 1;
        self.carried += request.len() + frame.len();
        Ok(frame)
    }
    fn send(&mut self, _data: Vec<u8>, _timeout: u64) -> Result<(), BusError> {
        Err(BusError::Disconnected)
    }
    fn receive(&mut self, _frame: Framing, _timeout: u64) -> Result<Vec<u8>, BusError> {
        Err(BusError::Timeout)
    }
    fn reset(&mut self) {}
}

type Once = Box<dyn FnMut(&mut Store<Crossed>) -> Result<()>>;

/// What each case begins with.
struct Case<'a> {
    store: &'a mut Store<Crossed>,
    component: &'a Component,
    linker: &'a Linker<Crossed>,
    size: usize,
    step: usize,
}

impl Case<'_> {
    fn transform(self) -> Result<Once> {
        use transform::exports::twinloop::gateway::transform::{Batch, Origin, Settings};
        use transform::twinloop::gateway::types::{PointConfig, Reading};
        let made = transform::ReadingTransform::instantiate(&mut *self.store, self.component, self.linker)?;
        let points = (0..READINGS_MAX).map(|i| PointConfig {
            id: i as u16,
            name: format!("p{i}"),
            address: format!("holding:{i}:u16"),
            unit: "bar".into(),
            scale: 0.1,
            offset: 0.0,
            low: None,
            high: None,
            sentinels: vec![],
        });
        let settings = Settings { device: "press-1".into(), points: points.collect(), options: vec![] };
        made.twinloop_gateway_transform().call_configure(&mut *self.store, &settings)?.expect("configured");
        let reading = |i| Reading { point: i as u16, value: 3.25 + i as f64, status: 0, measured: NOW + i as u64 };
        let batch = Batch { readings: (0..self.size).map(reading).collect(), texts: vec![], integers: vec![] };
        let mut origin = Origin { device: "press-1".into(), sequence: 0 };
        Ok(Box::new(move |store| {
            origin.sequence += 1;
            let out = made.twinloop_gateway_transform().call_transform_readings(store, &origin, &batch)?;
            black_box(out.expect("a batch"));
            Ok(())
        }))
    }

    fn decide(self) -> Result<Once> {
        use policy::exports::twinloop::gateway::policy::{Batch, LinkState, Origin, Settings};
        use policy::twinloop::gateway::types::{PointConfig, Reading};
        let made = policy::RoutingPolicy::instantiate(&mut *self.store, self.component, self.linker)?;
        let points = (0..READINGS_MAX).map(|i| PointConfig {
            id: i as u16,
            name: format!("p{i}"),
            address: format!("holding:{i}:u16"),
            unit: "bar".into(),
            scale: 0.1,
            offset: 0.0,
            low: None,
            high: None,
            sentinels: vec![],
        });
        let settings = Settings { device: "press-1".into(), points: points.collect(), options: vec![] };
        made.twinloop_gateway_policy().call_configure(&mut *self.store, &settings)?.expect("configured");
        let reading = |i| Reading { point: i as u16, value: 3.25 + i as f64, status: 0, measured: NOW + i as u64 };
        let batch = Batch { readings: (0..self.size).map(reading).collect(), texts: vec![], integers: vec![] };
        let mut origin = Origin { device: "press-1".into(), sequence: 0 };
        let link = LinkState { up: true, since: 5, backlog: 3, round_trip: 40_000_000, store_used: 0.25 };
        Ok(Box::new(move |store| {
            origin.sequence += 1;
            let out = made.twinloop_gateway_policy().call_decide(store, &origin, &batch, link)?;
            black_box(out.expect("a decision"));
            Ok(())
        }))
    }

    fn poll(self) -> Result<Once> {
        use driver::exports::twinloop::gateway::driver::Settings;
        use driver::twinloop::gateway::types::PointConfig;
        let made = driver::DeviceDriver::instantiate(&mut *self.store, self.component, self.linker)?;
        let points = (0..self.size).map(|i| PointConfig {
            id: i as u16,
            name: format!("p{i}"),
            address: format!("holding:{}:u16", i * self.step),
            unit: "bar".into(),
            scale: 0.1,
            offset: 0.0,
            low: None,
            high: None,
            sentinels: vec![],
        });
        let options = [("protocol", "modbus-tcp"), ("unit", "1"), ("gap", "32")];
        let options = options.map(|(key, value)| (key.to_string(), value.to_string())).to_vec();
        let settings = Settings { device: "press-1".into(), points: points.collect(), options };
        made.twinloop_gateway_driver().call_configure(&mut *self.store, &settings)?.expect("configured");
        Ok(Box::new(move |store| {
            let out = made.twinloop_gateway_driver().call_read_sensor(store)?;
            black_box(out.expect("a batch"));
            Ok(())
        }))
    }

    fn probe(self, what: &str) -> Result<Once> {
        let made = probe::Probing::instantiate(&mut *self.store, self.component, self.linker)?;
        let size = self.size as u32;
        let (bytes, text) = (vec![b'A'; self.size], "A".repeat(self.size));
        Ok(match what {
            "nothing" => Box::new(move |store| made.counted_probe_probe().call_nothing(store)),
            "ask" => Box::new(move |store| made.counted_probe_probe().call_ask(store, size)),
            "send" => Box::new(move |store| made.counted_probe_probe().call_send(store, size)),
            "take" => Box::new(move |store| {
                store.data_mut().carried += bytes.len();
                made.counted_probe_probe().call_take(store, &bytes)
            }),
            "give" => Box::new(move |store| {
                let out = made.counted_probe_probe().call_give(&mut *store, size)?;
                store.data_mut().carried += black_box(out).len();
                Ok(())
            }),
            "hear" => Box::new(move |store| made.counted_probe_probe().call_hear(store, &text)),
            "say" => Box::new(move |store| made.counted_probe_probe().call_say(store, size).map(|out| drop(black_box(out)))),
            _ => panic!("no case {what}"),
        })
    }
}

fn marked(position: usize, runs: u32, store: &mut Store<Crossed>, once: &mut Once) -> Result<u64> {
    let began = spent();
    unsafe { libc::syscall(MARK, 1, position) };
    for _ in 0..runs {
        once(store)?;
    }
    unsafe { libc::syscall(MARK, 2, position) };
    Ok(spent() - began)
}

/// CPU time of this thread, in nanoseconds.
fn spent() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let (metered, runs): (bool, u32) = (words[2] == "1", words[3].parse()?);
    let mut config = Config::new();
    config.consume_fuel(metered).parallel_compilation(false);
    let engine = Engine::new(&config)?;
    let component = Component::from_file(&engine, &words[1])?;
    let mut linker: Linker<Crossed> = Linker::new(&engine);
    linker.allow_shadowing(true);
    linker.define_unknown_imports_as_traps(&component)?;
    driver::twinloop::gateway::clock::add_to_linker::<_, HasSelf<_>>(&mut linker, |data| data)?;
    driver::twinloop::gateway::fieldbus::add_to_linker::<_, HasSelf<_>>(&mut linker, |data| data)?;
    probe::counted::probe::asked::add_to_linker::<_, HasSelf<_>>(&mut linker, |data| data)?;
    for (place, case) in words[4..].iter().enumerate() {
        let mut parts = case.split(':');
        let what = parts.next().expect("a case");
        let size = parts.next().map_or(Ok(0), str::parse)?;
        let step = parts.next().map_or(Ok(1), str::parse)?;
        let mut store = Store::new(&engine, Crossed::default());
        if metered {
            store.set_fuel(FUEL)?;
        }
        let case = Case { store: &mut store, component: &component, linker: &linker, size, step };
        let mut once = match what {
            "transform" => case.transform()?,
            "decide" => case.decide()?,
            "poll" => case.poll()?,
            _ => case.probe(what)?,
        };
        for _ in 0..WARM {
            once(&mut store)?;
        }
        *store.data_mut() = Crossed::default();
        let before = if metered { store.get_fuel()? } else { 0 };
        once(&mut store)?;
        let fuel = if metered { before - store.get_fuel()? } else { 0 };
        println!("{} {} {}", store.data().imports, store.data().carried, fuel);
        let few = marked(2 * place, runs, &mut store, &mut once)?;
        let many = marked(2 * place + 1, 3 * runs, &mut store, &mut once)?;
        println!("spent {few} {many}");
    }
    Ok(())
}
