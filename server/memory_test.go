package server

import (
	"math"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"testing"
)

// collectorAfter calls KeepHeapFloor with a memory limit and puts everything back when the
// test has ended.
func collectorAfter(t *testing.T, limit int64) {
	t.Helper()
	percent, old := debug.SetGCPercent(100), debug.SetMemoryLimit(limit)
	t.Cleanup(func() {
		ballast = nil
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(old)
		runtime.GC()
	})
	KeepHeapFloor()
}

// room is how much may be allocated from one collection to the next.
func room() uint64 {
	runtime.GC()
	samples := []runtimemetrics.Sample{{Name: "/gc/heap/goal:bytes"}, {Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// TestKeepHeapFloor: 128 MiB of garbage while little is alive, and two fifths of what is
// alive more.
func TestKeepHeapFloor(t *testing.T) {
	t.Setenv("GOGC", "")
	collectorAfter(t, math.MaxInt64)
	little := room()
	if little < 128<<20 || little > 150<<20 {
		t.Errorf("%d MiB may be allocated while little is alive", little>>20)
	}
	const size = 200 << 20
	alive := make([]byte, size)
	if more := room() - little; more < size*39/100 || more > size*41/100 {
		t.Errorf("%d MiB more may be allocated with %d MiB alive", more>>20, size>>20)
	}
	runtime.KeepAlive(alive)
}

// TestKeepHeapFloorLimit: a memory limit is for what is kept, not for the ballast.
func TestKeepHeapFloorLimit(t *testing.T) {
	t.Setenv("GOGC", "")
	collectorAfter(t, 100<<20)
	if got := debug.SetMemoryLimit(-1); got != 420<<20 {
		t.Errorf("a limit of 100 MiB has become %d MiB", got>>20)
	}
}

// TestKeepHeapFloorOwnSetting: who sets GOGC gets what Go does with it.
func TestKeepHeapFloorOwnSetting(t *testing.T) {
	t.Setenv("GOGC", "50")
	collectorAfter(t, 100<<20)
	percent := debug.SetGCPercent(100)
	debug.SetGCPercent(percent)
	if limit := debug.SetMemoryLimit(-1); percent != 100 || limit != 100<<20 || ballast != nil {
		t.Errorf("the percentage is %d, the limit %d", percent, limit)
	}
}
