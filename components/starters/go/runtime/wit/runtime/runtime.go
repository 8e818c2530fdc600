// Package runtime is what bindings made by `wit-bindgen go` need at run time: memory that the host writes to, and a
// garbage collector that runs when it may.
//
// While the host asks for memory, and after a call has returned, a component must not call anything; Go's collector
// asks for the time when it begins. So it doesn't begin by itself: it is run at the start of a call, when enough has
// been allocated since the last time. Within a call nothing is freed, unless the code calls runtime.GC.
package runtime

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

// arena is the memory of the WASI adapter, which asks for it before Go's own start. adapt.py finds it in the compiled
// module by its first bytes, and adds a function that hands it out.
var arena = [192 << 10]byte{'a', 'd', 'a', 'p', 't', 'e', 'r', '-', 'a', 'r', 'e', 'n', 'a', 0x17, 0xa5, 0x5a}

const (
	garbageMin = 1 << 20 // bytes: less isn't worth a collection
	askEvery   = 16      // calls between two looks at how much was allocated
)

var (
	calls int
	next  = uint64(garbageMin) // the collector runs when that much was allocated in all
	stats runtime.MemStats
)

func init() { debug.SetGCPercent(-1) }

// words is memory without pointers, 8-aligned. Not inlined: or the compiler might put it on the stack, not knowing
// that the host holds it. An empty piece has an address, too.
//
//go:noinline
func words(size uintptr) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(&arena)
	}
	return unsafe.Pointer(unsafe.SliceData(make([]uint64, (size+7)/8)))
}

// Allocate is memory that stays until the pinner lets go of it.
func Allocate(pinner *runtime.Pinner, size, _ uintptr) unsafe.Pointer {
	memory := words(size)
	pinner.Pin(memory)
	return memory
}

// Unpin is called in each call when Go values hold its arguments.
func Unpin() {
	if calls++; calls%askEvery != 0 {
		return
	}
	if runtime.ReadMemStats(&stats); stats.TotalAlloc >= next {
		runtime.GC()
		runtime.ReadMemStats(&stats)
		next = stats.TotalAlloc + max(garbageMin, stats.HeapAlloc)
	}
}

// It needs no pinning: nothing is moved, and nothing is freed before Unpin.
//
//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	memory := words(uintptr(size))
	copy(unsafe.Slice((*byte)(memory), size), unsafe.Slice((*byte)(old), oldSize))
	return memory
}
