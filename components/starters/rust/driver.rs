//! @NAME@: a driver. It reads and writes holding registers of one Modbus device, over TCP or a serial line.
//!
//! `configure` is called first; then `read_sensor` at each poll. There is one instance for each device, and what is kept
//! between two calls is kept in a `thread_local` (a component has one thread).
//!
//! Sources: MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b; MODBUS over Serial Line V1.02.

wit_bindgen::generate!({ path: "wit", world: "@WORLD@" });

use std::cell::RefCell;

use exports::twinloop::gateway::driver::{Batch, ConfigError, DriverError, DriverStatus, Guest, Settings};
use twinloop::gateway::fieldbus::{self, Framing, LengthField};
use twinloop::gateway::types::{BusError, Health, Integer, IntegerReading, PointConfig, Reading, Written};
use twinloop::gateway::clock;

const POINTS_MAX: u32 = 1000;
const LATE_MAX: u32 = 4;
const HOUR_NS: u64 = 3_600_000_000_000;

// OPC UA status codes
const GOOD: u32 = 0;
const BAD_COMMUNICATION: u32 = 0x8005_0000;
const BAD_TIMEOUT: u32 = 0x800A_0000;
const BAD_NOT_CONNECTED: u32 = 0x808A_0000;
const BAD_DEVICE: u32 = 0x808B_0000;
const BAD_SENSOR: u32 = 0x808C_0000;
const BAD_NO_DATA: u32 = 0x809B_0000;

// ---- settings -------------------------------------------------------------------------------------------------------

#[derive(Clone, Copy)]
enum Kind {
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
}

struct Point {
    id: u16,
    address: u16,
    kind: Kind,
    scale: f64,
    offset: f64,
    sentinels: Vec<u64>,
}

struct Device {
    rtu: bool,
    unit: u8,
    timeout: u64,
    points: Vec<Point>,
}

fn digits(text: &str, max: u64) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|n| plain && *n <= max)
}

/// "200 ms": nanoseconds, above 0 and at most an hour.
fn duration(text: &str) -> Option<u64> {
    let (count, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let scale = match unit.trim_matches(BLANK) {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return None,
    };
    Some(digits(count, HOUR_NS / scale)? * scale).filter(|ns| *ns > 0)
}

/// "holding:40:f32:be": where a value is and how it is coded.
fn address(text: &str) -> Option<(u16, Kind)> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() < 2 || parts.len() > 4 || parts[0] != "holding" || parts[1].len() > 5 {
        return None;
    }
    let kind = match *parts.get(2).unwrap_or(&"u16") {
        "u16" => Kind::U16,
        "i16" => Kind::I16,
        "u32" => Kind::U32,
        "i32" => Kind::I32,
        "u64" => Kind::U64,
        "i64" => Kind::I64,
        "f32" => Kind::F32,
        _ => return None,
    };
    let last = 65536 - u64::from(kind.registers());
    let at = digits(parts[1], last)?;
    (*parts.get(3).unwrap_or(&"be") == "be").then_some((at as u16, kind))
}

impl Point {
    fn new(config: &PointConfig) -> Option<Point> {
        let (address, kind) = address(&config.address)?;
        let fits = config.sentinels.iter().all(|bits| *bits <= u64::MAX >> (64 - kind.bits()));
        let (id, scale, offset, sentinels) = (config.id, config.scale, config.offset, config.sentinels.clone());
        (scale != 0.0 && fits).then_some(Point { id, address, kind, scale, offset, sentinels })
    }

    fn is_plain(&self) -> bool {
        self.scale == 1.0 && self.offset == 0.0
    }

    /// Its readings are integers, exact.
    fn is_whole(&self) -> bool {
        matches!(self.kind, Kind::U64 | Kind::I64) && self.is_plain()
    }

    /// The raw bits of what is written; None when the type can't hold it.
    fn encode(&self, value: Written) -> Option<u64> {
        let value = match value {
            Written::Real(value) => value,
            Written::Integer(integer) if self.is_plain() && !matches!(self.kind, Kind::F32) => {
                return self.kind.encode_integer(exact(integer));
            }
            Written::Integer(integer) => exact(integer) as f64,
            Written::Text(_) => return None,
        };
        self.kind.encode((value - self.offset) / self.scale)
    }
}

fn exact(integer: Integer) -> i128 {
    match integer {
        Integer::Signed(n) => n.into(),
        Integer::Unsigned(n) => n.into(),
    }
}

const BLANK: [char; 2] = [' ', '\t'];

impl Device {
    fn new(settings: Settings) -> Result<Device, ConfigError> {
        let mut device = Device { rtu: false, unit: 1, timeout: 1_000_000_000, points: Vec::new() };
        if settings.points.len() > POINTS_MAX as usize {
            return Err(ConfigError::TooManyPoints(POINTS_MAX));
        }
        for (name, value) in settings.options {
            let known = ["protocol", "unit", "timeout"].contains(&name.as_str());
            if !known {
                return Err(ConfigError::UnknownOption(name));
            }
            device.set(&name, value.trim_matches(BLANK)).ok_or(ConfigError::BadOption(name))?;
        }
        for point in settings.points {
            device.points.push(Point::new(&point).ok_or(ConfigError::BadAddress(point.address))?);
        }
        Ok(device)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "protocol" => self.rtu = ["modbus-tcp", "modbus-rtu"].iter().position(|known| *known == value)? == 1,
            "unit" => self.unit = digits(value, 255)? as u8,
            _ => self.timeout = duration(value)?,
        }
        Some(())
    }
}

// ---- values ---------------------------------------------------------------------------------------------------------

impl Kind {
    fn registers(self) -> u16 {
        match self {
            Kind::U16 | Kind::I16 => 1,
            Kind::U32 | Kind::I32 | Kind::F32 => 2,
            Kind::U64 | Kind::I64 => 4,
        }
    }

    fn bits(self) -> u32 {
        16 * u32::from(self.registers())
    }

    fn decode(self, bits: u64) -> f64 {
        match self {
            Kind::U16 | Kind::U32 | Kind::U64 => bits as f64,
            Kind::I16 => f64::from(bits as i16),
            Kind::I32 => f64::from(bits as i32),
            Kind::I64 => bits as i64 as f64,
            Kind::F32 => f64::from(f32::from_bits(bits as u32)),
        }
    }

    /// None when the type can't hold the value.
    fn encode(self, raw: f64) -> Option<u64> {
        if let Kind::F32 = self {
            let narrow = raw as f32;
            return narrow.is_finite().then(|| narrow.to_bits().into());
        }
        let whole = raw.round_ties_even();
        let in_reach = whole.abs() <= 18_446_744_073_709_551_616.0; // false for what is no number
        if in_reach { self.encode_integer(whole as i128) } else { None }
    }

    fn encode_integer(self, raw: i128) -> Option<u64> {
        let size = 1_i128 << self.bits();
        let (low, high) = match self {
            Kind::I16 | Kind::I32 | Kind::I64 => (-size / 2, size / 2 - 1),
            _ => (0, size - 1),
        };
        (low <= raw && raw <= high).then_some(raw as u64)
    }
}

// ---- one exchange ---------------------------------------------------------------------------------------------------

fn malformed<T>(what: &str) -> Result<T, DriverError> {
    Err(DriverError::Malformed(what.into()))
}

fn crc16(bytes: &[u8]) -> [u8; 2] {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
        }
    }
    crc.to_le_bytes()
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

impl Device {
    fn request(&self, transaction: u16, pdu: &[u8]) -> (Vec<u8>, Framing) {
        let mut adu = Vec::with_capacity(pdu.len() + 7);
        if self.rtu {
            adu.push(self.unit);
            adu.extend_from_slice(pdu);
            adu.extend_from_slice(&crc16(&adu));
            return (adu, Framing::Silence);
        }
        adu.extend_from_slice(&transaction.to_be_bytes());
        adu.extend_from_slice(&[0, 0]);
        adu.extend_from_slice(&(pdu.len() as u16 + 1).to_be_bytes());
        adu.push(self.unit);
        adu.extend_from_slice(pdu);
        (adu, Framing::LengthField(LengthField { offset: 4, size: 2, big_endian: true, adjust: 0 }))
    }

    /// The PDU in a reply; None for a late reply to an earlier request.
    fn reply<'a>(&self, transaction: u16, adu: &'a [u8]) -> Result<Option<&'a [u8]>, DriverError> {
        if self.rtu {
            if adu.len() < 5 || adu.len() > 256 {
                return malformed("length");
            }
            let (body, crc) = adu.split_at(adu.len() - 2);
            if crc != crc16(body) {
                return malformed("crc");
            }
            return if body[0] == self.unit { Ok(Some(&body[1..])) } else { malformed("unit") };
        }
        if adu.len() < 9 || adu.len() > 260 {
            return malformed("length");
        }
        if be16(adu, 2) != 0 {
            return malformed("protocol");
        }
        if usize::from(be16(adu, 4)) + 6 != adu.len() {
            return malformed("length");
        }
        match transaction.wrapping_sub(be16(adu, 0)) {
            0 if adu[6] == self.unit => Ok(Some(&adu[7..])),
            0 => malformed("unit"),
            1..64 => Ok(None),
            _ => malformed("transaction"),
        }
    }

    fn talk(&self, transaction: u16, pdu: &[u8]) -> Result<Vec<u8>, DriverError> {
        let (request, framing) = self.request(transaction, pdu);
        let mut adu = fieldbus::transact(&request, &framing, self.timeout).map_err(DriverError::Bus)?;
        let mut late = 0;
        let reply = loop {
            if let Some(reply) = self.reply(transaction, &adu)? {
                break reply;
            }
            if late == LATE_MAX {
                return malformed("transaction");
            }
            late += 1;
            adu = fieldbus::receive(&framing, self.timeout).map_err(DriverError::Bus)?;
        };
        if reply.len() == 2 && reply[0] == pdu[0] | 0x80 {
            return Err(DriverError::Rejected(u32::from(reply[1])));
        }
        if reply[0] == pdu[0] { Ok(reply.to_vec()) } else { malformed("function") }
    }

    /// The bits of a point's registers.
    fn read(&self, transaction: u16, point: &Point) -> Result<u64, DriverError> {
        let count = point.kind.registers();
        let [a, b] = point.address.to_be_bytes();
        let reply = self.talk(transaction, &[3, a, b, 0, count as u8])?;
        let size = 2 * usize::from(count);
        if reply.len() != 2 + size || usize::from(reply[1]) != size {
            return malformed("byte count");
        }
        Ok(reply[2..].iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
    }

    fn write(&self, transaction: u16, point: &Point, bits: u64) -> Result<(), DriverError> {
        let [a, b] = point.address.to_be_bytes();
        let count = point.kind.registers() as u8;
        let mut pdu = if count == 1 { vec![6, a, b] } else { vec![16, a, b, 0, count, 2 * count] };
        pdu.extend_from_slice(&bits.to_be_bytes()[8 - 2 * usize::from(count)..]);
        let reply = self.talk(transaction, &pdu)?;
        if reply == pdu[..5] { Ok(()) } else { malformed("echo") }
    }

    /// What still comes after a failure can't be trusted: the connection is dropped.
    fn drop_line_after(&self, error: &DriverError) {
        let timeout = matches!(error, DriverError::Bus(BusError::Timeout));
        if matches!(error, DriverError::Malformed(_)) || (timeout && !self.rtu) {
            fieldbus::reset();
        }
    }
}

fn status_of(error: &DriverError) -> u32 {
    match error {
        DriverError::Rejected(_) => BAD_DEVICE,
        DriverError::Bus(BusError::Timeout) => BAD_TIMEOUT,
        DriverError::Bus(_) => BAD_NOT_CONNECTED,
        _ => BAD_COMMUNICATION,
    }
}

impl Point {
    /// Adds what was read to a batch: the bits, or the status that says why there are none.
    fn put(&self, read: Result<u64, u32>, measured: u64, batch: &mut Batch) {
        let read = read.and_then(|bits| if self.sentinels.contains(&bits) { Err(BAD_NO_DATA) } else { Ok(bits) });
        let point = self.id;
        if self.is_whole() {
            let (bits, status) = read.map_or_else(|status| (0, status), |bits| (bits, GOOD));
            let signed = matches!(self.kind, Kind::I64);
            let value = if signed { Integer::Signed(bits as i64) } else { Integer::Unsigned(bits) };
            batch.integers.push(IntegerReading { point, value, status, measured });
            return;
        }
        let value = read.map(|bits| self.kind.decode(bits) * self.scale + self.offset);
        let (value, status) = match value {
            Ok(value) if value.is_finite() => (value, GOOD),
            Ok(_) => (0.0, BAD_SENSOR),
            Err(status) => (0.0, status),
        };
        batch.readings.push(Reading { point, value, status, measured });
    }
}

// ---- what the gateway calls -----------------------------------------------------------------------------------------

#[derive(Default)]
struct State {
    device: Option<Device>,
    transaction: u16,
    polls: u64,
    errors: u64,
    failing: bool,
}

impl State {
    fn next_transaction(&mut self) -> u16 {
        self.transaction = self.transaction.wrapping_add(1);
        self.transaction
    }

    fn poll(&mut self, device: &Device) -> Result<Batch, DriverError> {
        self.polls += 1;
        let mut batch = Batch { readings: Vec::new(), texts: Vec::new(), integers: Vec::new() };
        let (mut first, mut good, mut bus_status) = (None, false, None);
        for point in &device.points {
            let read = match bus_status {
                Some(status) => Err(status),
                None => device.read(self.next_transaction(), point).map_err(|error| {
                    device.drop_line_after(&error);
                    let status = status_of(&error);
                    if matches!(error, DriverError::Bus(_)) {
                        bus_status = Some(status); // a silent device is asked once a poll, not once a point
                    }
                    first.get_or_insert(error);
                    status
                }),
            };
            good |= read.is_ok();
            point.put(read, clock::now(), &mut batch);
        }
        self.failing = first.is_some();
        self.errors += u64::from(self.failing);
        match first {
            Some(error) if !good => Err(error),
            _ => Ok(batch),
        }
    }

    fn write(&mut self, device: &Device, id: u16, value: Written) -> Result<(), DriverError> {
        let point = device.points.iter().find(|point| point.id == id).ok_or(DriverError::NoSuchPoint(id))?;
        let Some(bits) = point.encode(value) else {
            return Err(DriverError::Other("value does not fit the register's type".into()));
        };
        device.write(self.next_transaction(), point, bits).inspect_err(|error| {
            device.drop_line_after(error);
            self.errors += 1;
        })
    }
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Runs `act` with the state and the configured device.
fn with_device<T>(act: impl FnOnce(&mut State, &Device) -> Result<T, DriverError>) -> Result<T, DriverError> {
    STATE.with_borrow_mut(|state| {
        let device = state.device.take().ok_or(DriverError::NotConfigured)?;
        let answer = act(state, &device);
        state.device = Some(device);
        answer
    })
}

struct Component;

impl Guest for Component {
    fn configure(settings: Settings) -> Result<(), ConfigError> {
        STATE.with_borrow_mut(|state| {
            (state.device, state.failing) = (None, false);
            state.device = Some(Device::new(settings)?);
            Ok(())
        })
    }

    fn read_sensor() -> Result<Batch, DriverError> {
        with_device(State::poll)
    }

    fn write_register(point: u16, value: Written) -> Result<(), DriverError> {
        with_device(|state, device| state.write(device, point, value))
    }

    fn get_status() -> DriverStatus {
        STATE.with_borrow(|state| {
            let (health, detail) = match (&state.device, state.failing) {
                (None, _) => (Health::Failed, "not configured"),
                (_, true) => (Health::Degraded, "last poll failed"),
                _ => (Health::Ok, ""),
            };
            DriverStatus { health, polls: state.polls, errors: state.errors, detail: detail.into() }
        })
    }
}

export!(Component);
