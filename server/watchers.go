package server

import (
	"sync"

	"github.com/usher-pdp/usher/store"
)

// maxWatchers is how many calls may wait for changes at once.
const maxWatchers = 1_000

// watchers wakes those who wait for changes of a tenant. Its zero value has none.
type watchers struct {
	mu      sync.Mutex
	waiting map[store.TenantID]map[chan struct{}]bool
	count   int
}

// add adds one, who has to call leave in the end. What is committed from now on wakes them;
// several commits may do so once.
func (w *watchers) add(tenant store.TenantID) (woken <-chan struct{}, leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == maxWatchers {
		return nil, nil, errTooManyWatchers
	}
	if w.waiting == nil {
		w.waiting = map[store.TenantID]map[chan struct{}]bool{}
	}
	if w.waiting[tenant] == nil {
		w.waiting[tenant] = map[chan struct{}]bool{}
	}
	one := make(chan struct{}, 1)
	w.waiting[tenant][one] = true
	w.count++
	return one, func() { w.remove(tenant, one) }, nil
}

// waitingNow is how many there are.
func (w *watchers) waitingNow() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

func (w *watchers) remove(tenant store.TenantID, one chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiting[tenant], one)
	if len(w.waiting[tenant]) == 0 {
		delete(w.waiting, tenant)
	}
	w.count--
}

// wake wakes those who wait for what was touched. It waits for nobody.
func (w *watchers) wake(touched []store.Touched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count == 0 {
		return
	}
	for i, t := range touched {
		if i > 0 && t.Tenant == touched[i-1].Tenant {
			continue
		}
		for one := range w.waiting[t.Tenant] {
			select {
			case one <- struct{}{}:
			default: // it is awake already
			}
		}
	}
}
