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

// nearest is the double that is nearest to an integer.
func nearest(value twinloop_gateway_types.Integer) float64 {
	if value.Tag() == twinloop_gateway_types.Integer_Signed {
		return float64(value.Signed())
	}
	return float64(value.Unsigned())
}

func Decide(source Origin, input Batch, uplink LinkState) wit.Result[Decision, PolicyError] {
	if high == nil {
		return wit.Err[Decision, PolicyError](twinloop_gateway_types.MakePolicyErrorNotConfigured())
	}
	decision := Decision{Verdict: MakeVerdictCache(lane)}
	if uplink.Up {
		decision.Verdict = MakeVerdictForward(lane)
	}
	judge := func(point uint16, value float64, status uint32) {
		limit, limited := high[point]
		if limited && status < bad && value > limit && !math.IsInf(value, 0) {
			alert := Exception{Point: point, Verdict: MakeVerdictAlert("above its high limit")}
			decision.Except = append(decision.Except, alert)
		}
	}
	for _, reading := range input.Readings {
		judge(reading.Point, reading.Value, reading.Status)
	}
	for _, reading := range input.Integers {
		judge(reading.Point, nearest(reading.Value), reading.Status)
	}
	return wit.Ok[Decision, PolicyError](decision)
}
