package server

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

const (
	// verifiedAtOnce is how many records are verified in one read of the store.
	verifiedAtOnce = 10_000
	// tenantsAtOnce is how many tenants are found in one read of the store.
	tenantsAtOnce = 1_000
	// progressAfter is how long nothing is sent while records are verified.
	progressAfter = 500 * time.Millisecond
	// findingsAtOnce is how many findings are sent in one message.
	findingsAtOnce = 100
)

// VerifyChanges verifies the chains of change records.
func (o operatorService) VerifyChanges(r *usherv1.VerifyChangesRequest, stream grpc.ServerStreamingServer[usherv1.VerifyChangesResponse]) error {
	leave, err := o.server.overload.computing.enter(stream.Context())
	if err != nil {
		return err
	}
	defer leave()
	v := &verification{
		server: o.server, stream: stream, epoch: o.server.store.Revision().Epoch,
		heads: map[store.TenantID][]*usherv1.Head{}, sent: time.Now(),
	}
	for _, h := range r.GetHeads() {
		id := store.TenantID(h.GetTenantId())
		v.heads[id] = append(v.heads[id], h)
	}
	if r.GetTenant() != "" {
		var t store.Tenant
		err := o.server.store.View(stream.Context(), func(reader store.Reader) (err error) {
			t, err = recordedTenant(reader, r.GetTenant(), 0)
			return err
		})
		if err == nil {
			err = v.chain(t)
		}
		if err != nil {
			return err
		}
	} else if err := v.all(); err != nil {
		return err
	}
	return v.send(true)
}

// verification is how far it has come.
type verification struct {
	server *Server
	stream grpc.ServerStreamingServer[usherv1.VerifyChangesResponse]
	epoch  string
	// heads are those that were kept elsewhere and have not been found yet.
	heads map[store.TenantID][]*usherv1.Head

	chains, records uint64
	findings        []*usherv1.Finding // that have not been sent
	sent            time.Time
}

// all verifies every chain.
func (v *verification) all() error {
	var last *store.Tenant
	for {
		var page []store.Tenant
		err := v.server.store.View(v.stream.Context(), func(r store.Reader) error {
			page = page[:0]
			for t, err := range recordedTenants(r, last) {
				if err != nil {
					return err
				}
				if page = append(page, t); len(page) == tenantsAtOnce {
					break
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, t := range page {
			if err := v.chain(t); err != nil {
				return err
			}
		}
		last = &page[len(page)-1]
	}
	for _, id := range slices.Sorted(maps.Keys(v.heads)) {
		for _, h := range v.heads[id] {
			v.find(store.Tenant{ID: id, Name: h.GetTenant()}, store.Link{}, "a head of this tenant was kept, and there is no such tenant and none was deleted: "+
				"an older file was put back, or the head is of another installation")
			break
		}
	}
	return nil
}

// chain verifies the chain of one tenant, a piece at a time: writes go on meanwhile.
func (v *verification) chain(t store.Tenant) error {
	heads := v.heads[t.ID]
	delete(v.heads, t.ID)
	slices.SortFunc(heads, func(a, b *usherv1.Head) int { return cmp.Compare(a.GetLength(), b.GetLength()) })
	var link store.Link
	for begun, through := false, false; !through; begun = true {
		var next store.Link
		var broken error
		err := v.server.store.View(v.stream.Context(), func(r store.Reader) error {
			chain, err := r.Chain(t.ID)
			if err != nil {
				return err
			}
			if !begun || link.Length < chain.Trimmed.Length {
				link = chain.Trimmed
			}
			most := uint64(verifiedAtOnce)
			if n := len(heads); n > 0 && heads[n-1].GetLength() < chain.Trimmed.Length {
				// A newer one would prove those before it, too.
				v.find(t, link, "not compared: the newest head that was kept is of record %d, and records are kept from %d on. If --keep-changes has not "+
					"trimmed so much since, somebody else has; if it has, keep a newer head", heads[n-1].GetLength(), chain.Trimmed.Length+1)
			}
			heads = slices.DeleteFunc(heads, func(h *usherv1.Head) bool { return h.GetLength() < link.Length })
			if ahead := slices.IndexFunc(heads, func(h *usherv1.Head) bool { return h.GetLength() > link.Length }); ahead >= 0 {
				most = min(most, heads[ahead].GetLength()-link.Length)
			}
			next, err = r.Follow(t.ID, link, int(most))
			if errors.Is(err, store.ErrCorrupt) {
				broken = err
				return nil
			}
			through = next.Length == chain.Head.Length
			return err
		})
		if errors.Is(err, store.ErrCorrupt) {
			next, broken, err = link, err, nil
		}
		if err != nil {
			return err
		}
		heads = v.compare(t, heads, link)
		v.records += next.Length - link.Length
		link = next
		heads = v.compare(t, heads, link)
		if broken != nil {
			v.find(t, link, "the next record is not the one that was written there: a record was edited, removed, added or moved, "+
				"or the file is damaged. The record can be trusted up to this revision and not beyond (%v)", broken)
			break
		}
		if through && len(heads) > 0 {
			v.find(t, link, "the chain ends with its record %d, and a head was kept of its record %d: the newest records were cut off, or an older file was put back",
				link.Length, heads[0].GetLength())
		}
		if err := v.progress(); err != nil {
			return err
		}
	}
	v.chains++
	return v.progress()
}

// compare compares the kept heads of a place in the chain with the chain, and returns those that
// come after it.
func (v *verification) compare(t store.Tenant, heads []*usherv1.Head, at store.Link) []*usherv1.Head {
	for len(heads) > 0 && heads[0].GetLength() <= at.Length {
		if heads[0].GetLength() == at.Length && heads[0].GetHash() != hex.EncodeToString(at.Hash[:]) {
			v.find(t, at, "record %d of the chain is not the one whose hash was kept: records up to it were written anew after the head was kept, "+
				"or the head is of another installation", at.Length)
		}
		heads = heads[1:]
	}
	return heads
}

// find notes what is wrong with a chain after a link.
func (v *verification) find(t store.Tenant, after store.Link, text string, args ...any) {
	finding := &usherv1.Finding{TenantId: uint64(t.ID), Tenant: t.Name, Text: fmt.Sprintf(text, args...)}
	if after.Length > 0 {
		finding.AfterRevision = store.Revision{Epoch: v.epoch, Number: after.Revision}.String()
	}
	v.findings = append(v.findings, finding)
}

// progress sends how far it has come, if it is time to.
func (v *verification) progress() error {
	if len(v.findings) < findingsAtOnce && time.Since(v.sent) < progressAfter {
		return nil
	}
	return v.send(false)
}

func (v *verification) send(done bool) error {
	for first := true; first || len(v.findings) > 0; first = false {
		n := min(len(v.findings), findingsAtOnce)
		message := &usherv1.VerifyChangesResponse{Chains: v.chains, Records: v.records, Findings: v.findings[:n:n]}
		v.findings = v.findings[n:]
		message.Done = done && len(v.findings) == 0
		if err := send(v.server, v.stream, message); err != nil {
			return err
		}
	}
	v.sent = time.Now()
	return nil
}
