// Package export_twinloop_gateway_driver is @NAME@: a driver. It reads and writes holding registers of one Modbus
// device, over TCP or a serial line.
//
// Configure is called first; then ReadSensor at each poll. There is one instance for each device, and what is kept
// between two calls is kept in package variables.
//
// Sources: MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b; MODBUS over Serial Line V1.02.
package export_twinloop_gateway_driver

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	wit "go.bytecodealliance.org/pkg/wit/types"
	clock "wit_component/twinloop_gateway_clock"
	fieldbus "wit_component/twinloop_gateway_fieldbus"
	. "wit_component/twinloop_gateway_types"
)

const (
	pointsMax = 1000
	lateMax   = 4
	hourNs    = 3_600_000_000_000
)

// OPC UA status codes
const (
	good             = 0
	badCommunication = 0x80050000
	badTimeout       = 0x800A0000
	badNotConnected  = 0x808A0000
	badDevice        = 0x808B0000
	badSensor        = 0x808C0000
	badNoData        = 0x809B0000
)

// ---- settings -------------------------------------------------------------------------------------------------------

type kind struct {
	name      string
	registers uint16
}

var kinds = []kind{{"u16", 1}, {"i16", 1}, {"u32", 2}, {"i32", 2}, {"f32", 2}, {"u64", 4}, {"i64", 4}}

type point struct {
	id, address   uint16
	kind          kind
	scale, offset float64
	sentinels     []uint64 // raw bits that mean that there is no value
}

// plain: what is in the registers is the value.
func (p point) plain() bool { return p.scale == 1 && p.offset == 0 }

// whole: the point's readings are integers, exact.
func (p point) whole() bool { return p.kind.registers == 4 && p.plain() }

type device struct {
	rtu     bool
	unit    uint8
	timeout uint64
	points  []point
}

var (
	current       *device // nil: not configured
	transaction   uint16
	polls, errors uint64
	failing       bool
)

func integer(text string, max uint64) (uint64, bool) {
	if strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	value, err := strconv.ParseUint(text, 10, 64)
	return value, err == nil && value <= max
}

// duration is "200 ms" in nanoseconds: above 0 and at most an hour.
func duration(text string) (uint64, bool) {
	unit := strings.TrimLeft(text, "0123456789")
	scale := map[string]uint64{"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[strings.Trim(unit, " \t")]
	if scale == 0 {
		return 0, false
	}
	count, ok := integer(text[:len(text)-len(unit)], hourNs/scale)
	return count * scale, ok && count > 0
}

// parse reads "holding:40:f32:be": where a value is and how it is coded.
func (p *point) parse(text string) bool {
	parts := strings.Split(text, ":")
	if len(parts) < 2 || len(parts) > 4 || parts[0] != "holding" || len(parts[1]) > 5 {
		return false
	}
	p.kind = kinds[0]
	if len(parts) > 2 {
		at := slices.IndexFunc(kinds, func(k kind) bool { return k.name == parts[2] })
		if at < 0 {
			return false
		}
		p.kind = kinds[at]
	}
	address, ok := integer(parts[1], 65536-uint64(p.kind.registers))
	p.address = uint16(address)
	return ok && (len(parts) < 4 || parts[3] == "be")
}

func (d *device) set(name, value string) (ok bool) {
	switch name {
	case "protocol":
		d.rtu = value == "modbus-rtu"
		return d.rtu || value == "modbus-tcp"
	case "unit":
		var unit uint64
		unit, ok = integer(value, 255)
		d.unit = uint8(unit)
	case "timeout":
		d.timeout, ok = duration(value)
	}
	return ok
}

func Configure(settings Settings) wit.Result[wit.Unit, ConfigError] {
	refused := wit.Err[wit.Unit, ConfigError]
	current, failing = nil, false
	d := &device{unit: 1, timeout: 1e9}
	if len(settings.Points) > pointsMax {
		return refused(MakeConfigErrorTooManyPoints(pointsMax))
	}
	for _, option := range settings.Options {
		name, value := option.F0, strings.Trim(option.F1, " \t")
		if !slices.Contains([]string{"protocol", "unit", "timeout"}, name) {
			return refused(MakeConfigErrorUnknownOption(name))
		}
		if !d.set(name, value) {
			return refused(MakeConfigErrorBadOption(name))
		}
	}
	for _, given := range settings.Points {
		p := point{id: given.Id, scale: given.Scale, offset: given.Offset, sentinels: slices.Clone(given.Sentinels)}
		if !p.parse(given.Address) || p.scale == 0 || !p.kind.holds(p.sentinels) {
			return refused(MakeConfigErrorBadAddress(given.Address))
		}
		d.points = append(d.points, p)
	}
	current = d
	return wit.Ok[wit.Unit, ConfigError](wit.Unit{})
}

// ---- values ---------------------------------------------------------------------------------------------------------

// bits are those of the registers, the first register the highest.
func bits(registers []byte) (bits uint64) {
	for _, b := range registers {
		bits = bits<<8 | uint64(b)
	}
	return bits
}

// toRegisters is the lowest of the bits, as many as the registers have.
func (k kind) toRegisters(bits uint64) []byte {
	return binary.BigEndian.AppendUint64(nil, bits)[8-2*k.registers:]
}

// holds: none of the sentinels needs more bits than the registers have.
func (k kind) holds(sentinels []uint64) bool {
	return !slices.ContainsFunc(sentinels, func(s uint64) bool { return s>>(16*k.registers) != 0 })
}

func (k kind) signed() bool { return k.name[0] == 'i' }

// extended is a signed type's raw value.
func (k kind) extended(bits uint64) int64 {
	unused := 64 - 16*k.registers
	return int64(bits<<unused) >> unused
}

// decode is the nearest double of the raw value.
func (k kind) decode(bits uint64) float64 {
	switch {
	case k.name == "f32":
		return float64(math.Float32frombits(uint32(bits)))
	case k.signed():
		return float64(k.extended(bits))
	default:
		return float64(bits)
	}
}

// integer is the raw value, exact.
func (k kind) integer(bits uint64) Integer {
	if k.signed() {
		return MakeIntegerSigned(k.extended(bits))
	}
	return MakeIntegerUnsigned(bits)
}

// encode is nil when the type can't hold the value.
func (k kind) encode(raw float64) []byte {
	if k.name == "f32" {
		narrow := float32(raw)
		if math.IsNaN(raw) || math.IsInf(float64(narrow), 0) {
			return nil
		}
		return binary.BigEndian.AppendUint32(nil, math.Float32bits(narrow))
	}
	whole, span := math.RoundToEven(raw), math.Ldexp(1, 16*int(k.registers))
	low := 0.0
	if k.signed() {
		low = -span / 2
	}
	if !(whole >= low && whole < low+span) {
		return nil
	}
	if whole < 0 {
		return k.toRegisters(uint64(int64(whole)))
	}
	return k.toRegisters(uint64(whole))
}

// encodeExact is nil when the type, an integer, can't hold the value.
func (k kind) encodeExact(value Integer) []byte {
	negative := value.Tag() == Integer_Signed && value.Signed() < 0
	var bits uint64
	if value.Tag() == Integer_Signed {
		bits = uint64(value.Signed())
	} else {
		bits = value.Unsigned()
	}
	registers := k.toRegisters(bits)
	fits := !negative && bits>>(16*k.registers) == 0
	if k.signed() {
		fits = uint64(k.extended(bits)) == bits && (k.extended(bits) < 0) == negative
	}
	if !fits {
		return nil
	}
	return registers
}

// nearest is the double that is nearest to an integer.
func nearest(value Integer) float64 {
	if value.Tag() == Integer_Signed {
		return float64(value.Signed())
	}
	return float64(value.Unsigned())
}

// registers of what is to be written; nil when the point can't hold it.
func (p point) registers(value Written) []byte {
	real := 0.0
	switch value.Tag() {
	case Written_Real:
		real = value.Real()
	case Written_Integer:
		if p.plain() && p.kind.name != "f32" {
			return p.kind.encodeExact(value.Integer())
		}
		real = nearest(value.Integer())
	default:
		return nil
	}
	return p.kind.encode((real - p.offset) / p.scale)
}

// ---- one exchange ---------------------------------------------------------------------------------------------------

func malformed(what string) *DriverError {
	trouble := MakeDriverErrorMalformed(what)
	return &trouble
}

func crc16(data []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, b := range data {
		crc ^= uint16(b)
		for range 8 {
			if crc&1 == 1 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
	}
	return crc
}

func (d *device) request(pdu []byte) ([]byte, fieldbus.Framing) {
	if d.rtu {
		adu := append([]byte{d.unit}, pdu...)
		return binary.LittleEndian.AppendUint16(adu, crc16(adu)), fieldbus.MakeFramingSilence()
	}
	adu := binary.BigEndian.AppendUint16(nil, transaction)
	adu = binary.BigEndian.AppendUint16(adu, 0)
	adu = binary.BigEndian.AppendUint16(adu, uint16(len(pdu)+1))
	adu = append(append(adu, d.unit), pdu...)
	length := fieldbus.LengthField{Offset: 4, Size: 2, BigEndian: true, Adjust: 0}
	return adu, fieldbus.MakeFramingLengthField(length)
}

// reply is the PDU in an ADU; it is nil without an error for a late reply to an earlier request.
func (d *device) reply(adu []byte) ([]byte, *DriverError) {
	n := len(adu)
	if d.rtu {
		if n < 5 || n > 256 {
			return nil, malformed("length")
		}
		if binary.LittleEndian.Uint16(adu[n-2:]) != crc16(adu[:n-2]) {
			return nil, malformed("crc")
		}
		if adu[0] != d.unit {
			return nil, malformed("unit")
		}
		return adu[1 : n-2], nil
	}
	if n < 9 || n > 260 {
		return nil, malformed("length")
	}
	if binary.BigEndian.Uint16(adu[2:]) != 0 {
		return nil, malformed("protocol")
	}
	if int(binary.BigEndian.Uint16(adu[4:]))+6 != n {
		return nil, malformed("length")
	}
	if age := transaction - binary.BigEndian.Uint16(adu); age >= 64 {
		return nil, malformed("transaction")
	} else if age > 0 {
		return nil, nil
	}
	if adu[6] != d.unit {
		return nil, malformed("unit")
	}
	return adu[7:], nil
}

// talk sends a PDU and returns the PDU that answers it.
func (d *device) talk(pdu []byte) ([]byte, *DriverError) {
	transaction++
	adu, framing := d.request(pdu)
	answer := fieldbus.Transact(adu, framing, d.timeout)
	for late := 0; ; late++ {
		if answer.Tag() == wit.ResultErr {
			trouble := MakeDriverErrorBus(answer.Err())
			return nil, &trouble
		}
		reply, trouble := d.reply(answer.Ok())
		switch {
		case trouble != nil:
			return nil, trouble
		case reply == nil && late == lateMax:
			return nil, malformed("transaction")
		case reply == nil:
			answer = fieldbus.Receive(framing, d.timeout)
			continue
		case len(reply) == 2 && reply[0] == pdu[0]|0x80:
			rejected := MakeDriverErrorRejected(uint32(reply[1]))
			return nil, &rejected
		case reply[0] != pdu[0]:
			return nil, malformed("function")
		}
		return reply, nil
	}
}

// read is the bits of a point's registers.
func (d *device) read(p point) (uint64, *DriverError) {
	pdu := binary.BigEndian.AppendUint16([]byte{3}, p.address)
	reply, trouble := d.talk(binary.BigEndian.AppendUint16(pdu, p.kind.registers))
	if trouble != nil {
		return 0, trouble
	}
	size := 2 * int(p.kind.registers)
	if len(reply) != 2+size || int(reply[1]) != size {
		return 0, malformed("byte count")
	}
	return bits(reply[2:]), nil
}

func (d *device) write(p point, registers []byte) *DriverError {
	var pdu []byte
	if len(registers) == 2 {
		pdu = binary.BigEndian.AppendUint16([]byte{6}, p.address)
	} else {
		pdu = append(binary.BigEndian.AppendUint16([]byte{16}, p.address), 0, byte(len(registers)/2), byte(len(registers)))
	}
	pdu = append(pdu, registers...)
	reply, trouble := d.talk(pdu)
	if trouble == nil && !bytes.Equal(reply, pdu[:5]) {
		return malformed("echo")
	}
	return trouble
}

// dropLineAfter drops the connection when what still comes can't be trusted.
func (d *device) dropLineAfter(trouble DriverError) {
	switch trouble.Tag() {
	case DriverError_Malformed:
		fieldbus.Reset()
	case DriverError_Bus:
		if !d.rtu && trouble.Bus().Tag() == BusError_Timeout {
			fieldbus.Reset()
		}
	}
}

func statusOf(trouble DriverError) uint32 {
	switch trouble.Tag() {
	case DriverError_Rejected:
		return badDevice
	case DriverError_Malformed:
		return badCommunication
	}
	if trouble.Bus().Tag() == BusError_Timeout {
		return badTimeout
	}
	return badNotConnected
}

// ---- what the gateway calls -----------------------------------------------------------------------------------------

func ReadSensor() wit.Result[Batch, DriverError] {
	d := current
	if d == nil {
		return wit.Err[Batch, DriverError](MakeDriverErrorNotConfigured())
	}
	polls++
	var first *DriverError
	var silent uint32 // the status of all points after a bus error: a silent device is asked once a poll
	any := false
	readings := make([]Reading, 0, len(d.points))
	var integers []IntegerReading
	for _, p := range d.points {
		status, value, exact := silent, 0.0, p.kind.integer(0)
		if silent == good {
			raw, trouble := d.read(p)
			scaled := float64(p.kind.decode(raw) * p.scale) // the conversion keeps both roundings
			value = scaled + p.offset
			switch {
			case trouble != nil:
				d.dropLineAfter(*trouble)
				status, value = statusOf(*trouble), 0
				if trouble.Tag() == DriverError_Bus {
					silent = status
				}
				if first == nil {
					first = trouble
				}
			case slices.Contains(p.sentinels, raw):
				any, status, value = true, badNoData, 0
			case math.IsNaN(value) || math.IsInf(value, 0):
				any, status, value = true, badSensor, 0
			default:
				any, exact = true, p.kind.integer(raw)
			}
		}
		measured := clock.Now()
		if p.whole() {
			integers = append(integers, IntegerReading{Point: p.id, Value: exact, Status: status, Measured: measured})
		} else {
			readings = append(readings, Reading{Point: p.id, Value: value, Status: status, Measured: measured})
		}
	}
	failing = first != nil
	if failing {
		errors++
		if !any {
			return wit.Err[Batch, DriverError](*first)
		}
	}
	return wit.Ok[Batch, DriverError](Batch{Readings: readings, Integers: integers})
}

func WriteRegister(id uint16, value Written) wit.Result[wit.Unit, DriverError] {
	refused := wit.Err[wit.Unit, DriverError]
	d := current
	if d == nil {
		return refused(MakeDriverErrorNotConfigured())
	}
	at := slices.IndexFunc(d.points, func(p point) bool { return p.id == id })
	if at < 0 {
		return refused(MakeDriverErrorNoSuchPoint(id))
	}
	p := d.points[at]
	registers := p.registers(value)
	if registers == nil {
		return refused(MakeDriverErrorOther("value does not fit the register's type"))
	}
	if trouble := d.write(p, registers); trouble != nil {
		d.dropLineAfter(*trouble)
		errors++
		return refused(*trouble)
	}
	return wit.Ok[wit.Unit, DriverError](wit.Unit{})
}

func GetStatus() DriverStatus {
	status := DriverStatus{Health: Health_Ok, Polls: polls, Errors: errors}
	if current == nil {
		status.Health, status.Detail = Health_Failed, "not configured"
	} else if failing {
		status.Health, status.Detail = Health_Degraded, "last poll failed"
	}
	return status
}
