//! @NAME@: a transform. Values are held within their point's limits and multiplied by the option `factor`.
//!
//! `configure` is called first; then `transform_readings` for each batch. One instance serves a whole gateway, and what
//! is kept between two calls is kept in a `thread_local` (a component has one thread).

wit_bindgen::generate!({ path: "wit", world: "@WORLD@" });

use std::cell::RefCell;
use std::collections::BTreeMap; // not a HashMap: that would ask for random numbers

use exports::twinloop::gateway::transform::{Batch, ConfigError, Guest, Origin, Settings, TransformError};

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

impl Transform {
    fn apply(&self, mut batch: Batch) -> Result<Batch, TransformError> {
        for reading in &mut batch.readings {
            let Some(limits) = self.points.get(&reading.point) else {
                return Err(TransformError::BadInput("unknown point".into()));
            };
            if reading.status >= BAD {
                continue;
            }
            let below = limits.low.filter(|low| reading.value < *low);
            let above = limits.high.filter(|high| reading.value > *high);
            if let Some(limit) = below.or(above) {
                reading.value = limit;
                reading.status = UNITS_EXCEEDED;
            }
            reading.value *= self.factor;
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
