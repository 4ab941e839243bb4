package bolt

import (
	"errors"
	"iter"
	"time"

	"github.com/usher-pdp/usher/store"
)

var errStub = errors.New("not there yet")

func (r *reader) DeletedTenants(store.TenantID) iter.Seq2[store.Tenant, error] {
	return none[store.Tenant](errStub)
}

func (r *reader) EndedBefore(time.Time) iter.Seq2[store.Ended, error] {
	return none[store.Ended](errStub)
}

func (r *reader) History(store.TenantID, store.Range) iter.Seq2[store.ChangeRecord, error] {
	return none[store.ChangeRecord](errStub)
}

func (r *reader) Chain(store.TenantID) (store.Chain, error) { return store.Chain{}, errStub }

func (r *reader) Follow(store.TenantID, store.Link, int) (store.Link, error) {
	return store.Link{}, errStub
}
