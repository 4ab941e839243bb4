package server

import (
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
)

// The garbage collector runs when this much has been allocated since it ran last:
// heapFloor bytes, or garbagePercent of what is alive if that is more. With the 100 that
// Go has by itself, a process with a large cache takes more than twice what is alive.
const (
	heapFloor      = 128 << 20
	garbagePercent = 70
)

// KeepHeapFloor makes the garbage collector wait until 128 MiB have been allocated since
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
	next := int(max(garbagePercent, 100*heapFloor/max(live[0].Value.Uint64(), 1<<20)))
	if next != percent {
		debug.SetGCPercent(next)
	}
	// What nothing points at is cleaned up at the next collection.
	runtime.AddCleanup(new([2]uint64), keepHeapFloor, next)
}
