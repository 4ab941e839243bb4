package server

import (
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
)

// heapFloor is how many bytes are allocated between two garbage collections at least.
const heapFloor = 64 << 20

// KeepHeapFloor makes the garbage collector wait until 64 MiB have been allocated since
// it ran last, however little is alive. By itself it waits until the heap has doubled: a
// server whose cache is still small would collect every few thousand checks, and a fixed
// higher GOGC would make one with a large cache take several times its size.
//
// A GOGC in the environment wins over this. A GOMEMLIMIT is kept either way.
func KeepHeapFloor() {
	if os.Getenv("GOGC") == "" {
		keepHeapFloor(0)
	}
}

// keepHeapFloor adjusts the collector to what is alive, now and after each collection.
func keepHeapFloor(percent int) {
	live := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(live)
	next := int(max(100, 100*heapFloor/max(live[0].Value.Uint64(), 1<<20)))
	if next != percent {
		debug.SetGCPercent(next)
	}
	// What nothing points at is cleaned up at the next collection.
	runtime.AddCleanup(new([2]uint64), keepHeapFloor, next)
}
