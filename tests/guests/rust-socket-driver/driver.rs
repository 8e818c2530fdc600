//! A driver that polls its Modbus TCP device over sockets of its own; what else it does, its options say: see ../README.md.

wit_bindgen::generate!({ path: "../../../components/wit-0.1", world: "device-driver" });

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use exports::twinloop::gateway::driver::{Batch, ConfigError, DriverError, DriverStatus, Guest, Point, Settings};
use twinloop::gateway::types::{BusError, Health, PointConfig, Reading};

#[derive(Default)]
struct Driver {
    points: Vec<PointConfig>,
    options: Vec<(String, String)>,
    link: Option<TcpStream>,
    number: u16,
    polls: u64,
    errors: u64,
}

thread_local! {
    static DRIVER: RefCell<Driver> = RefCell::new(Driver::default());
}

impl Driver {
    fn option(&self, name: &str, otherwise: &str) -> String {
        self.options.iter().find(|(key, _)| key == name).map_or(otherwise.into(), |(_, value)| value.clone())
    }

    fn dial(&self) -> Result<TcpStream, Error> {
        let timeout = self.option("timeout", "200").parse().unwrap_or(200);
        let at = (self.option("host", "device"), self.option("port", "502").parse().unwrap_or(0u16));
        let address = (at.0.as_str(), at.1).to_socket_addrs()?.next().ok_or(Error::from(ErrorKind::NotFound))?;
        if timeout == 0 {
            return TcpStream::connect(address);
        }
        let link = TcpStream::connect_timeout(&address, Duration::from_millis(timeout))?;
        link.set_read_timeout(Some(Duration::from_millis(timeout)))?;
        Ok(link)
    }

    /// Send a request and return the PDU of the answer.
    fn exchange(&mut self, pdu: &[u8]) -> Result<Vec<u8>, Error> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.dial()?,
        };
        self.number = self.number.wrapping_add(1);
        let mut frame = self.number.to_be_bytes().to_vec();
        frame.extend([0, 0, 0, pdu.len() as u8 + 1, self.option("unit", "1").parse().unwrap_or(1)]);
        frame.extend(pdu);
        link.write_all(&frame)?;
        let mut head = [0; 7];
        link.read_exact(&mut head)?;
        let mut answer = vec![0; usize::from(head[5]).saturating_sub(1)];
        link.read_exact(&mut answer)?;
        if head[..2] != self.number.to_be_bytes() {
            return Err(Error::from(ErrorKind::InvalidData));
        }
        if self.option("keep", "yes") == "yes" {
            self.link = Some(link);
        }
        Ok(answer)
    }

    /// What an option `do` asks for, told as a line.
    fn act(&mut self, what: &str) -> Result<String, Error> {
        Ok(match what {
            "listen" => format!("listens at {}", TcpListener::bind("0.0.0.0:0")?.local_addr()?),
            "bind" => format!("bound to {}", TcpListener::bind("0.0.0.0:8080")?.local_addr()?),
            "udp" => format!("bound to {}", UdpSocket::bind("0.0.0.0:0")?.local_addr()?),
            "addresses" => {
                let link = self.dial()?;
                format!("{} to {}", link.local_addr()?, link.peer_addr()?)
            }
            "many" => {
                let mut open = vec![];
                loop {
                    match self.dial() {
                        Ok(link) => open.push(link),
                        Err(error) => break format!("{} open, then {error}", open.len()),
                    }
                }
            }
            "half" => {
                let mut link = self.dial()?;
                link.write_all(&[0, 9, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1])?;
                link.shutdown(Shutdown::Write)?;
                let mut all = vec![];
                link.read_to_end(&mut all)?;
                format!("{} bytes, then the end", all.len())
            }
            "garbage" => {
                let mut link = self.dial()?;
                link.write_all(&[255; 300])?;
                let mut all = vec![];
                format!("{:?} {} bytes", link.read_to_end(&mut all).map_err(|error| error.kind()), all.len())
            }
            "flood" => {
                let mut link = self.dial()?;
                let frame = [0, 9, 0, 0, 0, 6, 1, 3, 0, 0, 0, 10];
                for _ in 0..4000 {
                    link.write_all(&frame)?;
                }
                std::thread::sleep(Duration::from_millis(500));
                let mut all = [0; 16];
                format!("{:?}", link.read(&mut all).map_err(|error| error.kind()))
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
