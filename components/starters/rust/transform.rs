//! @NAME@: a transform. Values are held within their point's limits and multiplied by the option `factor`.
//!
//! `configure` is called first; then `transform_readings` for each batch. One instance serves a whole gateway, and what
//! is kept between two calls is kept in a `thread_local` (a component has one thread).

wit_bindgen::generate!({ path: "wit", world: "@WORLD@" });

use std::cell::RefCell;
use std::collections::BTreeMap; // not a HashMap: that would ask for random numbers

use exports::twinloop::gateway::transform::{Batch, ConfigError, Guest, Origin, Settings, TransformError};
use twinloop::gateway::types::{Integer, Reading};

const BAD: u32 = 0x8000_0000;
/// OPC UA: UncertainEngineeringUnitsExceeded
const UNITS_EXCEEDED: u32 = 0x4094_0000;

struct Limits {
    low: Option<f64>,
    high: Option<f64>,
}

struct Transform {
    factor: f64,
    points: BTreeMap<u16, Limits>,
}

thread_local! {
    static TRANSFORM: RefCell<Option<Transform>> = const { RefCell::new(None) };
}

/// A finite decimal number; what `parse` knows beyond that ("inf", "nan") is refused.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t']);
    let plain = text.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
    let value: f64 = if plain && text.len() < 40 { text.parse().ok()? } else { return None };
    value.is_finite().then_some(value)
}

fn set_up(settings: Settings) -> Result<Transform, ConfigError> {
    let mut factor = 1.0;
    for (name, value) in settings.options {
        match name.as_str() {
            "factor" => factor = number(&value).ok_or(ConfigError::BadOption(name))?,
            _ => return Err(ConfigError::UnknownOption(name)),
        }
    }
    let points = settings.points.into_iter().map(|p| (p.id, Limits { low: p.low, high: p.high })).collect();
    Ok(Transform { factor, points })
}

fn nearest(integer: Integer) -> f64 {
    match integer {
        Integer::Signed(n) => n as f64,
        Integer::Unsigned(n) => n as f64,
    }
}

impl Limits {
    /// The limit that a value is beyond.
    fn passed(&self, value: f64) -> Option<f64> {
        self.low.filter(|low| value < *low).or(self.high.filter(|high| value > *high))
    }
}

impl Transform {
    fn limits(&self, point: u16) -> Result<&Limits, TransformError> {
        self.points.get(&point).ok_or_else(|| TransformError::BadInput("unknown point".into()))
    }

    fn apply(&self, mut batch: Batch) -> Result<Batch, TransformError> {
        for reading in &mut batch.readings {
            let limits = self.limits(reading.point)?;
            if reading.status >= BAD {
                continue;
            }
            if let Some(limit) = limits.passed(reading.value) {
                reading.value = limit;
                reading.status = UNITS_EXCEEDED;
            }
            reading.value *= self.factor;
        }
        // Integers stay what they are while the factor is 1; else they become readings, behind all others.
        for mut one in std::mem::take(&mut batch.integers) {
            let (limits, value) = (self.limits(one.point)?, nearest(one.value));
            let bad = one.status >= BAD;
            if !bad && limits.passed(value).is_some() {
                one.status = UNITS_EXCEEDED;
            }
            if bad || self.factor == 1.0 {
                batch.integers.push(one);
            } else {
                let (point, status, measured) = (one.point, one.status, one.measured);
                batch.readings.push(Reading { point, value: value * self.factor, status, measured });
            }
        }
        Ok(batch)
    }
}

struct Component;

impl Guest for Component {
    fn configure(settings: Settings) -> Result<(), ConfigError> {
        TRANSFORM.set(None);
        TRANSFORM.set(Some(set_up(settings)?));
        Ok(())
    }

    fn transform_readings(_source: Origin, input: Batch) -> Result<Batch, TransformError> {
        TRANSFORM.with_borrow(|transform| match transform {
            Some(transform) => transform.apply(input),
            None => Err(TransformError::NotConfigured),
        })
    }
}

export!(Component);
