package server

import (
	"math"
	"os"
	"runtime/debug"
)

// HeapBallast is how many bytes of the heap KeepHeapFloor takes and never touches. They are
// counted as alive, but are no memory: the system gives a page when it is first written to.
const HeapBallast = 320 << 20

// garbagePercent is how much garbage there may be for what is alive: 128 MiB for the
// ballast, and two fifths of what the server keeps.
const garbagePercent = 40

// ballast is what HeapBallast says. Nothing else points at it.
var ballast []byte

// KeepHeapFloor makes the garbage collector wait until 128 MiB and two fifths of what is
// alive have been allocated since it ran last. By itself it waits until the heap has
// doubled: a server whose cache is still small would collect every few thousand checks, and
// one with a large cache takes more than twice what is alive. A higher percentage alone
// would help the one and harm the other.
//
// A memory limit that has been set before (by GOMEMLIMIT, or for a container) is raised
// by the ballast, so that it bounds what it bounded. A GOGC in the environment wins: then
// nothing is done. It is called once, at the start of the process.
func KeepHeapFloor() {
	if os.Getenv("GOGC") != "" {
		return
	}
	ballast = make([]byte, HeapBallast)
	debug.SetGCPercent(garbagePercent)
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64-HeapBallast {
		debug.SetMemoryLimit(limit + HeapBallast)
	}
}
