//! @NAME@: a policy. A value over its point's `high` raises an alert; while the uplink is down the rest is kept.
//!
//! `configure` is called first; then `decide` for each batch. One instance serves a whole gateway, and what is kept
//! between two calls is kept in a `thread_local` (a component has one thread).

wit_bindgen::generate!({ path: "wit", world: "@WORLD@" });

use std::cell::RefCell;
use std::collections::BTreeMap; // not a HashMap: that would ask for random numbers

use exports::twinloop::gateway::policy::{
    Batch, ConfigError, Decision, Exception, Guest, LinkState, Origin, PolicyError, Settings, Verdict,
};
use twinloop::gateway::types::Integer;

const BAD: u32 = 0x8000_0000;
const LANE: u8 = 1;

thread_local! {
    /// `high` of each point that has one
    static LIMITS: RefCell<Option<BTreeMap<u16, f64>>> = const { RefCell::new(None) };
}

fn nearest(integer: Integer) -> f64 {
    match integer {
        Integer::Signed(n) => n as f64,
        Integer::Unsigned(n) => n as f64,
    }
}

struct Component;

impl Guest for Component {
    fn configure(settings: Settings) -> Result<(), ConfigError> {
        LIMITS.set(None);
        if let Some((name, _)) = settings.options.into_iter().next() {
            return Err(ConfigError::UnknownOption(name));
        }
        let limits = settings.points.iter().filter_map(|point| Some((point.id, point.high?))).collect();
        LIMITS.set(Some(limits));
        Ok(())
    }

    fn decide(_source: Origin, input: Batch, uplink: LinkState) -> Result<Decision, PolicyError> {
        LIMITS.with_borrow(|limits| {
            let limits = limits.as_ref().ok_or(PolicyError::NotConfigured)?;
            let readings = input.readings.iter().map(|r| (r.point, r.value, r.status));
            let integers = input.integers.iter().map(|r| (r.point, nearest(r.value), r.status));
            let mut except = Vec::new();
            for (point, value, status) in readings.chain(integers) {
                let over = limits.get(&point).is_some_and(|high| value > *high);
                if over && status < BAD && value.is_finite() {
                    let verdict = Verdict::Alert("above its high limit".into());
                    except.push(Exception { point, verdict });
                }
            }
            let verdict = if uplink.up { Verdict::Forward(LANE) } else { Verdict::Cache(LANE) };
            Ok(Decision { verdict, except })
        })
    }
}

export!(Component);
