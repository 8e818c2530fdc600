// Package export_twinloop_gateway_policy is @NAME@: a policy. A value over its point's `high` raises an alert; while
// the uplink is down the rest is kept.
//
// Configure is called first; then Decide for each batch. One instance serves a whole gateway, and what is kept between
// two calls is kept in package variables.
package export_twinloop_gateway_policy

import (
	"math"

	wit "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/twinloop_gateway_policy"
	"wit_component/twinloop_gateway_types"
)

const (
	bad  = 0x80000000
	lane = 1
)

// high is the limit of each point that has one; nil: not configured.
var high map[uint16]float64

func Configure(settings Settings) wit.Result[wit.Unit, ConfigError] {
	high = nil
	if len(settings.Options) > 0 {
		name := settings.Options[0].F0
		return wit.Err[wit.Unit, ConfigError](twinloop_gateway_types.MakeConfigErrorUnknownOption(name))
	}
	high = make(map[uint16]float64)
	for _, point := range settings.Points {
		if point.High.Tag() == wit.OptionSome {
			high[point.Id] = point.High.Some()
		}
	}
	return wit.Ok[wit.Unit, ConfigError](wit.Unit{})
}

func Decide(source Origin, input Batch, uplink LinkState) wit.Result[Decision, PolicyError] {
	if high == nil {
		return wit.Err[Decision, PolicyError](twinloop_gateway_types.MakePolicyErrorNotConfigured())
	}
	decision := Decision{Verdict: MakeVerdictCache(lane)}
	if uplink.Up {
		decision.Verdict = MakeVerdictForward(lane)
	}
	for _, reading := range input.Readings {
		limit, limited := high[reading.Point]
		if limited && reading.Status < bad && reading.Value > limit && !math.IsInf(reading.Value, 0) {
			alert := Exception{Point: reading.Point, Verdict: MakeVerdictAlert("above its high limit")}
			decision.Except = append(decision.Except, alert)
		}
	}
	return wit.Ok[Decision, PolicyError](decision)
}
