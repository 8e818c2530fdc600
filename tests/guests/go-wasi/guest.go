// Package export_twinloop_gateway_transform is a transform that uses WASI as its options ask; see ../README.md.
package export_twinloop_gateway_transform

import (
	"fmt"
	"hash/maphash"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	wit "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/twinloop_gateway_types"
)

var names = []string{
	"sleep", "out", "err", "env", "write", "read", "list", "clock", "random", "garbage", "panic", "exit", "recurse",
}

type step struct{ name, value string }

type plan struct {
	inConfigure bool
	at          uint64
	answer      int // a point, or -1
	tell        bool
	steps       []step
}

var (
	current *plan // nil: not configured
	first   time.Time
	dropped []byte
)

func (p *plan) set(name, value string) bool {
	var err error
	switch name {
	case "where":
		p.inConfigure = value == "configure"
		return p.inConfigure || value == "transform"
	case "tell":
		p.tell = true
		return true
	case "at":
		p.at, err = strconv.ParseUint(value, 10, 64)
		return err == nil
	case "answer":
		var point uint64
		point, err = strconv.ParseUint(value, 10, 16)
		p.answer = int(point)
		return err == nil
	case "sleep", "garbage":
		_, err = strconv.ParseUint(value, 10, 63)
	case "exit":
		_, err = strconv.ParseUint(value, 10, 8)
	}
	p.steps = append(p.steps, step{name, value})
	return err == nil
}

func appendLine(path, line string) (string, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer file.Close()
	n, err := file.WriteString(line)
	return fmt.Sprintf("wrote %d bytes", n), err
}

func list(path string) (string, error) {
	entries, err := os.ReadDir(path)
	var found []string
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	slices.Sort(found)
	return "list " + strings.Join(found, ","), err
}

func environment() string {
	var lines []string
	for n, arg := range os.Args {
		lines = append(lines, fmt.Sprintf("arg %d %s", n, arg))
	}
	for _, one := range os.Environ() {
		lines = append(lines, "env "+one)
	}
	return strings.Join(lines, "\n")
}

func clock() string {
	now := time.Now()
	if first.IsZero() {
		first = now
	}
	return fmt.Sprintf("monotonic %d\nwall %d", now.Sub(first).Nanoseconds(), now.UnixNano())
}

func garbage(bytes int) {
	for left := bytes; left > 0; left -= 4096 {
		dropped = make([]byte, min(left, 4096))
		dropped[0] = 1
	}
}

//go:noinline
func recurse(depth uint64) uint64 {
	return recurse(depth+1) + depth
}

func (s step) do(sequence uint64) (answer string, err error) {
	number, _ := strconv.ParseInt(s.value, 10, 64)
	switch s.name {
	case "sleep":
		time.Sleep(time.Duration(number) * time.Millisecond)
	case "out":
		_, err = fmt.Println(s.value)
	case "err":
		_, err = fmt.Fprintln(os.Stderr, s.value)
	case "env":
		answer = environment()
	case "write":
		answer, err = appendLine(s.value, fmt.Sprintf("sequence %d\n", sequence))
	case "read":
		var text []byte
		text, err = os.ReadFile(s.value)
		answer = "read " + string(text)
	case "list":
		answer, err = list(s.value)
	case "clock":
		answer = clock()
	case "random":
		answer = fmt.Sprintf("random %016x", maphash.Bytes(maphash.MakeSeed(), nil))
	case "garbage":
		garbage(int(number))
	case "panic":
		panic(s.value)
	case "exit":
		os.Exit(int(number))
	case "recurse":
		answer = strconv.FormatUint(recurse(0), 10)
	}
	return answer, err
}

func (p *plan) carryOut(sequence uint64) string {
	var answers []string
	for _, step := range p.steps {
		answer, err := step.do(sequence)
		if err != nil {
			answer = fmt.Sprintf("%s error %s", step.name, err)
		}
		if answer != "" {
			if p.tell {
				fmt.Fprintln(os.Stderr, answer)
			}
			answers = append(answers, answer)
		}
	}
	return strings.Join(answers, "\n")
}

func Configure(settings Settings) wit.Result[wit.Unit, ConfigError] {
	current = nil
	p := &plan{answer: -1}
	for _, option := range settings.Options {
		name, value := option.F0, option.F1
		if !slices.Contains(names, name) && !slices.Contains([]string{"where", "at", "answer", "tell"}, name) {
			return wit.Err[wit.Unit, ConfigError](MakeConfigErrorUnknownOption(name))
		}
		if !p.set(name, value) {
			return wit.Err[wit.Unit, ConfigError](MakeConfigErrorBadOption(name))
		}
	}
	if p.inConfigure {
		p.carryOut(0)
	}
	current = p
	return wit.Ok[wit.Unit, ConfigError](wit.Unit{})
}

func TransformReadings(source Origin, input Batch) wit.Result[Batch, TransformError] {
	p := current
	if p == nil {
		return wit.Err[Batch, TransformError](MakeTransformErrorNotConfigured())
	}
	if !p.inConfigure && source.Sequence >= p.at {
		value := p.carryOut(source.Sequence)
		if p.answer >= 0 {
			text := TextReading{Point: uint16(p.answer), Value: value}
			if len(input.Readings) > 0 {
				text.Measured = input.Readings[0].Measured
			}
			input.Texts = append(input.Texts, text)
		}
	}
	return wit.Ok[Batch, TransformError](input)
}
