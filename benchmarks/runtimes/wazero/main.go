// wazero: runner-wazero MODULE compiler|interpreter. What it is asked and answers: benchmarks/runtimes/runners.py.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// CPU time of this process with all its threads: Go's collector counts, as it does on a gateway.
func cpuNs() int64 {
	var at syscall.Timespec
	const processCPU = 2
	if _, _, err := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, processCPU, uintptr(unsafe.Pointer(&at)), 0); err != 0 {
		panic(err)
	}
	return at.Nano()
}

// Addresses and memory of this process in bytes, after a collection.
func sizes() (int64, int64) {
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	must(err)
	words := strings.Fields(string(text))
	addresses, err := strconv.ParseInt(words[0], 10, 64)
	must(err)
	resident, err := strconv.ParseInt(words[1], 10, 64)
	must(err)
	page := int64(os.Getpagesize())
	return addresses * page, resident * page
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

type runner struct {
	ctx    context.Context
	mode   string
	bytes  []byte
	engine wazero.Runtime
	module wazero.CompiledModule
}

func (r *runner) runtime() wazero.Runtime {
	switch r.mode {
	case "compiler":
		return wazero.NewRuntimeWithConfig(r.ctx, wazero.NewRuntimeConfigCompiler())
	case "interpreter":
		return wazero.NewRuntimeWithConfig(r.ctx, wazero.NewRuntimeConfigInterpreter())
	}
	panic("unknown mode " + r.mode)
}

func (r *runner) instantiate() api.Module {
	one, err := r.engine.InstantiateModule(r.ctx, r.module, wazero.NewModuleConfig().WithName(""))
	must(err)
	return one
}

func (r *runner) call(one api.Module, name string, argument uint64, calls int64) uint64 {
	function, stack := one.ExportedFunction(name), []uint64{argument}
	for range calls {
		stack[0] = argument
		must(function.CallWithStack(r.ctx, stack))
	}
	return stack[0]
}

func (r *runner) answer(line string, instance api.Module) string {
	words := strings.Fields(line)
	count, err := strconv.ParseInt(words[len(words)-1], 10, 64)
	if err != nil {
		count = 1
	}
	began, word := cpuNs(), uint64(0)
	switch words[0] {
	case "version":
		info, _ := debug.ReadBuildInfo()
		for _, module := range info.Deps {
			if module.Path == "github.com/tetratelabs/wazero" {
				return module.Version + " (" + runtime.Version() + ")"
			}
		}
		return "?"
	case "compile":
		for range count {
			engine := r.runtime() // a runtime keeps what it has compiled
			_, err := engine.CompileModule(r.ctx, r.bytes)
			must(err)
			must(engine.Close(r.ctx))
		}
	case "instantiate":
		for range count {
			must(r.instantiate().Close(r.ctx))
		}
	case "calls":
		word = r.call(instance, "empty", 7, count)
	case "kernel":
		word = r.call(instance, words[1], uint64(count), 1)
	case "memory":
		addresses, resident := sizes()
		kept := make([]api.Module, 0, count)
		for range count {
			one := r.instantiate()
			r.call(one, words[1], 1, 1)
			kept = append(kept, one)
		}
		addressesAfter, residentAfter := sizes()
		runtime.KeepAlive(kept)
		return fmt.Sprintf("%d %d", addressesAfter-addresses, residentAfter-resident)
	default:
		panic("unknown question " + line)
	}
	return fmt.Sprintf("%d %d", cpuNs()-began, uint32(word))
}

func main() {
	ctx := context.Background()
	bytes, err := os.ReadFile(os.Args[1])
	must(err)
	r := &runner{ctx: ctx, mode: os.Args[2], bytes: bytes}
	r.engine = r.runtime()
	r.module, err = r.engine.CompileModule(ctx, bytes)
	must(err)
	instance := r.instantiate()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(r.answer(lines.Text(), instance))
	}
	must(lines.Err())
}
