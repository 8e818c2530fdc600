//! A driver that polls its Modbus device over UDP, with retries of its own; what else it does, its options say: see ../README.md.

wit_bindgen::generate!({ path: "../../../components/wit-0.1", world: "device-driver" });

use std::cell::RefCell;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use exports::twinloop::gateway::driver::{Batch, ConfigError, DriverError, DriverStatus, Guest, Point, Settings};
use twinloop::gateway::types::{BusError, Health, PointConfig, Reading};

#[repr(C)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

extern "C" {
    /// Of wasi-libc, whose UDP sockets know no SO_RCVTIMEO.
    fn poll(fds: *mut PollFd, count: usize, timeout: i32) -> i32;
}

const POLLIN: i16 = 1;

#[derive(Default)]
struct Driver {
    points: Vec<PointConfig>,
    options: Vec<(String, String)>,
    socket: Option<UdpSocket>,
    number: u16,
    polls: u64,
    errors: u64,
}

thread_local! {
    static DRIVER: RefCell<Driver> = RefCell::new(Driver::default());
}

/// Wait for a datagram until then: false when none came.
fn comes(socket: &UdpSocket, until: Instant) -> bool {
    use std::os::fd::AsRawFd;
    let left = until.saturating_duration_since(Instant::now());
    let mut fds = [PollFd { fd: socket.as_raw_fd(), events: POLLIN, revents: 0 }];
    // rounded up: a poll that ends early would be asked again for nothing
    let ms = left.as_nanos().div_ceil(1_000_000) as i32;
    unsafe { poll(fds.as_mut_ptr(), 1, ms) > 0 }
}

impl Driver {
    fn option(&self, name: &str, otherwise: &str) -> String {
        self.options.iter().find(|(key, _)| key == name).map_or(otherwise.into(), |(_, value)| value.clone())
    }

    fn number_of(&self, name: &str, otherwise: u64) -> u64 {
        self.option(name, "").parse().unwrap_or(otherwise)
    }

    fn address(&self) -> Result<SocketAddr, Error> {
        let at = (self.option("host", "device"), self.number_of("port", 502) as u16);
        (at.0.as_str(), at.1).to_socket_addrs()?.next().ok_or(Error::from(ErrorKind::NotFound))
    }

    fn open(&self) -> Result<UdpSocket, Error> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        if self.option("connect", "yes") == "yes" {
            socket.connect(self.address()?)?;
        }
        Ok(socket)
    }

    fn send(&self, socket: &UdpSocket, data: &[u8]) -> Result<usize, Error> {
        if self.option("connect", "yes") == "yes" {
            socket.send(data)
        } else {
            socket.send_to(data, self.address()?)
        }
    }

    fn frame(&self, number: u16, pdu: &[u8]) -> Vec<u8> {
        let mut frame = number.to_be_bytes().to_vec();
        frame.extend([0, 0, 0, pdu.len() as u8 + 1, self.number_of("unit", 1) as u8]);
        frame.extend(pdu);
        frame
    }

    /// Ask until an answer comes, each time with the same frame, and return its PDU.
    fn exchange(&mut self, pdu: &[u8]) -> Result<Vec<u8>, Error> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.open()?,
        };
        self.number = self.number.wrapping_add(1);
        let frame = self.frame(self.number, pdu);
        let (tries, timeout) = (self.number_of("tries", 4), Duration::from_millis(self.number_of("timeout", 50)));
        let mut found = Err(Error::from(ErrorKind::TimedOut));
        'tries: for attempt in 1..=tries {
            if attempt > 1 {
                println!("try {attempt} of request {}", self.number);
            }
            self.send(&socket, &frame)?;
            let until = Instant::now() + timeout;
            while comes(&socket, until) {
                let mut all = [0; 300];
                let (size, from) = socket.recv_from(&mut all)?;
                let mine = all[..2] == frame[..2] || self.option("check", "yes") == "no";
                if from == self.address()? && size > 7 && mine && all[5] as usize + 6 == size {
                    found = Ok(all[7..size].to_vec());
                    break 'tries;
                }
                println!("stray: {size} bytes of request {}", u16::from_be_bytes([all[0], all[1]]));
            }
        }
        if self.option("keep", "yes") == "yes" {
            self.socket = Some(socket);
        }
        found
    }

    /// What an option `do` asks for, told as a line.
    fn act(&mut self, what: &str) -> Result<String, Error> {
        Ok(match what {
            "bind" => format!("bound to {}", UdpSocket::bind("0.0.0.0:8080")?.local_addr()?),
            "addresses" => {
                let socket = self.open()?;
                format!("{} to {}", socket.local_addr()?, socket.peer_addr()?)
            }
            "many" => {
                let mut open = vec![];
                loop {
                    match self.open() {
                        Ok(socket) => open.push(socket),
                        Err(error) => break format!("{} open, then {error}", open.len()),
                    }
                }
            }
            "flood" => {
                let socket = self.open()?;
                for number in 0..self.number_of("count", 3000) {
                    self.send(&socket, &self.frame(number as u16, &[3, 0, 0, 0, 10]))?;
                }
                std::thread::sleep(Duration::from_millis(100));
                let (mut all, mut got) = ([0; 300], 0);
                while comes(&socket, Instant::now()) {
                    socket.recv(&mut all)?;
                    got += 1;
                }
                format!("{got} answers")
            }
            "large" => {
                let socket = self.open()?;
                let sent = self.send(&socket, &vec![0; 65507])?;
                let mut said = vec![];
                for size in [65508, 70000] {
                    said.push(self.send(&socket, &vec![0; size]).map_err(|error| error.raw_os_error()));
                }
                format!("{sent}, {said:?}")
            }
            "twice" => {
                let (one, other) = (self.open()?, self.open()?);
                self.send(&one, &self.frame(1, &[3, 0, 0, 0, 1]))?;
                self.send(&other, &self.frame(2, &[3, 0, 0, 0, 1]))?;
                let mut all = [0; 300];
                let mut said = vec![];
                for socket in [other, one] {
                    let size = socket.recv(&mut all)?;
                    said.push((size, all[1]));
                }
                format!("{said:?}")
            }
            _ => what.into(),
        })
    }

    fn read(&mut self) -> Result<Batch, Error> {
        let mut readings = vec![];
        for at in 0..self.points.len() {
            let (address, kind) = place(&self.points[at].address).ok_or(Error::from(ErrorKind::Unsupported))?;
            let [high, low] = address.to_be_bytes();
            let answer = self.exchange(&[3, high, low, 0, if kind.ends_with("32") { 2 } else { 1 }])?;
            let point = &self.points[at];
            let raw = match (answer.as_slice(), kind.as_str()) {
                (&[3, 4, a, b, c, d], "f32") => f64::from(f32::from_be_bytes([a, b, c, d])),
                (&[3, 4, a, b, c, d], "u32") => f64::from(u32::from_be_bytes([a, b, c, d])),
                (&[3, 2, a, b], "i16") => f64::from(i16::from_be_bytes([a, b])),
                (&[3, 2, a, b], "u16") => f64::from(u16::from_be_bytes([a, b])),
                _ => return Err(Error::from(ErrorKind::InvalidData)),
            };
            readings.push(Reading { point: point.id, value: raw * point.scale + point.offset, status: 0, measured: 0 });
        }
        Ok(Batch { readings, texts: vec![] })
    }
}

/// Register and type, of `holding:40:f32:be`.
fn place(address: &str) -> Option<(u16, String)> {
    let mut parts = address.split(':').skip(1);
    Some((parts.next()?.parse().ok()?, parts.next()?.into()))
}

struct Component;

impl Guest for Component {
    fn configure(settings: Settings) -> Result<(), ConfigError> {
        DRIVER.with_borrow_mut(|driver| {
            *driver = Driver { points: settings.points, options: settings.options, ..Driver::default() };
        });
        Ok(())
    }

    fn read_sensor() -> Result<Batch, DriverError> {
        DRIVER.with_borrow_mut(|driver| {
            driver.polls += 1;
            let what = driver.option("do", "");
            if !what.is_empty() {
                println!("{}", driver.act(&what).unwrap_or_else(|error| format!("{:?}: {error}", error.kind())));
            }
            driver.read().map_err(|error| {
                println!("{:?}: {error}", error.kind());
                driver.errors += 1;
                DriverError::Bus(match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => BusError::Timeout,
                    _ => BusError::Disconnected,
                })
            })
        })
    }

    fn write_register(point: Point, _value: f64) -> Result<(), DriverError> {
        Err(DriverError::NoSuchPoint(point))
    }

    fn get_status() -> DriverStatus {
        DRIVER.with_borrow(|driver| DriverStatus {
            health: Health::Ok,
            polls: driver.polls,
            errors: driver.errors,
            detail: String::new(),
        })
    }
}

export!(Component);
