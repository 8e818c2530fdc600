// Package export_twinloop_gateway_transform is @NAME@: a transform. Values are held within their point's limits and
// multiplied by the option `factor`.
//
// Configure is called first; then TransformReadings for each batch. One instance serves a whole gateway, and what is
// kept between two calls is kept in package variables.
package export_twinloop_gateway_transform

import (
	"math"
	"strconv"
	"strings"

	wit "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/twinloop_gateway_types"
)

const (
	bad           = 0x80000000
	unitsExceeded = 0x40940000 // OPC UA: UncertainEngineeringUnitsExceeded
)

type limits struct {
	low, high wit.Option[float64]
}

var (
	factor float64
	points map[uint16]limits // nil: not configured
)

// number is a finite decimal number; what ParseFloat knows beyond that ("inf", "0x1p4") is refused.
func number(text string) (float64, bool) {
	text = strings.Trim(text, " \t")
	if len(text) > 39 || strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false
	}
	value, err := strconv.ParseFloat(text, 64)
	return value, err == nil && !math.IsInf(value, 0)
}

func Configure(settings Settings) wit.Result[wit.Unit, ConfigError] {
	refused := wit.Err[wit.Unit, ConfigError]
	factor, points = 1, nil
	for _, option := range settings.Options {
		name, value := strings.Clone(option.F0), option.F1
		if name != "factor" {
			return refused(MakeConfigErrorUnknownOption(name))
		}
		var ok bool
		if factor, ok = number(value); !ok {
			return refused(MakeConfigErrorBadOption(name))
		}
	}
	points = make(map[uint16]limits, len(settings.Points))
	for _, point := range settings.Points {
		points[point.Id] = limits{point.Low, point.High}
	}
	return wit.Ok[wit.Unit, ConfigError](wit.Unit{})
}

// nearest is the double that is nearest to an integer.
func nearest(value Integer) float64 {
	if value.Tag() == Integer_Signed {
		return float64(value.Signed())
	}
	return float64(value.Unsigned())
}

// held is the value within the limits, and says whether it was beyond one of them.
func (l limits) held(value float64) (float64, bool) {
	if l.low.Tag() == wit.OptionSome && value < l.low.Some() {
		return l.low.Some(), true
	}
	if l.high.Tag() == wit.OptionSome && value > l.high.Some() {
		return l.high.Some(), true
	}
	return value, false
}

func TransformReadings(source Origin, input Batch) wit.Result[Batch, TransformError] {
	if points == nil {
		return wit.Err[Batch, TransformError](MakeTransformErrorNotConfigured())
	}
	for i := range input.Readings {
		reading := &input.Readings[i]
		limits, known := points[reading.Point]
		if !known {
			return wit.Err[Batch, TransformError](MakeTransformErrorBadInput("unknown point"))
		}
		if reading.Status >= bad {
			continue
		}
		value, beyond := limits.held(reading.Value)
		if beyond {
			reading.Status = unitsExceeded
		}
		reading.Value = value * factor
	}
	integers := input.Integers[:0]
	for _, integer := range input.Integers {
		limits, known := points[integer.Point]
		if !known {
			return wit.Err[Batch, TransformError](MakeTransformErrorBadInput("unknown point"))
		}
		if integer.Status >= bad {
			integers = append(integers, integer)
			continue
		}
		value := nearest(integer.Value)
		if _, beyond := limits.held(value); beyond {
			integer.Status = unitsExceeded
		}
		if factor == 1 {
			integers = append(integers, integer) // exact
			continue
		}
		input.Readings = append(input.Readings, Reading{
			Point: integer.Point, Value: value * factor, Status: integer.Status, Measured: integer.Measured,
		})
	}
	input.Integers = integers
	return wit.Ok[Batch, TransformError](input)
}
