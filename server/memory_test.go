package server

import (
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"testing"
	"time"
)

// TestKeepHeapFloor sees the collector wait for the floor while little is alive, and for a
// part of what is alive when that is more.
func TestKeepHeapFloor(t *testing.T) {
	t.Setenv("GOGC", "")
	KeepHeapFloor()
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	awaitPercent := func(want string, ok func(int) bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for !ok(percent()) {
			if time.Now().After(deadline) {
				t.Fatalf("GOGC is %d, want %s", percent(), want)
			}
			runtime.GC()
			runtime.Gosched()
		}
	}
	awaitPercent("more than 100 while little is alive", func(p int) bool { return p > 100 })
	large := make([]byte, 2*heapFloor)
	awaitPercent("70 while much is alive", func(p int) bool { return p == garbagePercent })
	runtime.KeepAlive(large)
	large = nil
	awaitPercent("more than 100 again", func(p int) bool { return p > 100 })

	goal := []runtimemetrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	runtimemetrics.Read(goal)
	if goal[0].Value.Uint64() < heapFloor {
		t.Errorf("the heap may grow to %d bytes, want the floor of %d at least", goal[0].Value.Uint64(), heapFloor)
	}
}
