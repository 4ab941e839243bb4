package server

import (
	"context"
	"errors"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

const (
	// heartbeat is how long a watcher is sent nothing at most. Then the store is looked at,
	// whether somebody was woken or not.
	heartbeat = 10 * time.Second
	// enoughBytes is how large a message of several writes becomes before it is sent.
	enoughBytes = 64 << 10
	// maxWriteBytes is how large a message of one write becomes. The rest of it comes in the next.
	maxWriteBytes = 256 << 10
)

// WatchChanges sends the record of changes as they are made.
func (a adminService) WatchChanges(r *usherv1.WatchChangesRequest, stream grpc.ServerStreamingServer[usherv1.WatchChangesResponse]) error {
	if a.server.draining.Load() {
		return errStopping
	}
	w, err := a.server.beginWatch(stream.Context(), r)
	if err != nil {
		return err
	}
	woken, leave, err := a.server.cache.watchers.add(w.tenant)
	if err != nil {
		return err
	}
	defer leave()
	quiet := time.NewTimer(0) // the first message comes at once
	defer quiet.Stop()
	due := true
	for {
		changes, err := w.next(stream.Context())
		if err != nil {
			return err
		}
		switch {
		case len(changes) == 0 && w.deleted:
			return &notFoundError{kind: "TENANT", name: w.name, remedy: "it was deleted"}
		case len(changes) > 0 || due:
			err := send(a.server, stream, &usherv1.WatchChangesResponse{
				Changes:  changes,
				Revision: store.Revision{Epoch: w.epoch, Number: w.revision}.String(),
			})
			if err != nil {
				return err
			}
			due = false
			quiet.Reset(heartbeat)
			continue // there may be more
		}
		select {
		case <-woken:
		case <-quiet.C:
			due = true
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-a.server.stopping:
			return errStopping
		}
	}
}

// watch is how far a watcher has come.
type watch struct {
	server *Server
	name   string
	tenant store.TenantID
	epoch  string
	// at is the last record that was taken, and revision that of the last write that was
	// taken to its end.
	at       store.Position
	revision uint64
	// deleted is whether the tenant was deleted before what was read last.
	deleted bool
}

// beginWatch finds where a watch begins.
func (s *Server) beginWatch(ctx context.Context, request *usherv1.WatchChangesRequest) (*watch, error) {
	w := &watch{server: s, name: request.GetTenant()}
	err := s.store.View(ctx, func(r store.Reader) error {
		now := r.Revision()
		w.epoch, w.revision = now.Epoch, now.Number
		if request.GetAfterRevision() == "" {
			t, err := s.readTenant(r, w.name, s.now())
			if err != nil {
				return err
			}
			w.tenant = t.ID
			w.at = endOf(w.revision)
			return nil
		}
		var err error
		if w.revision, err = parseRevision(r, "after_revision", request.GetAfterRevision()); err != nil {
			return err
		}
		t, err := watchedTenant(r, w.name, w.revision)
		if err != nil {
			return err
		}
		w.tenant = t.ID
		w.at = endOf(w.revision)
		if w.revision > now.Number {
			span, err := s.spanOf(r, t.ID)
			if err != nil {
				return err
			}
			return span.notKept("after_revision: it is newer than all that there is; has an older file been put back?")
		}
		return nil
	})
	return w, err
}

// watchedTenant finds the tenant that is watched from a revision on. Whoever was cut off before
// a tenant of that name was deleted gets the rest of that one, also if there is a new one.
func watchedTenant(r store.Reader, name string, after uint64) (store.Tenant, error) {
	for t, err := range r.DeletedTenants(0) {
		if err != nil {
			return t, err
		}
		// The number of the revision of its deletion is its time.
		if t.Name == name && uint64(t.DeletedAt.UnixNano()) > after {
			return t, nil
		}
	}
	return recordedTenant(r, name, 0)
}

// next reads changes that come next: whole writes, or a part of one that is too large for a
// message. If there are none, it goes on to the newest revision.
func (w *watch) next(ctx context.Context) (changes []*usherv1.ChangeRecord, err error) {
	err = w.server.store.View(ctx, func(r store.Reader) error {
		changes, err = w.read(r)
		return err
	})
	return changes, err
}

func (w *watch) read(r store.Reader) ([]*usherv1.ChangeRecord, error) {
	if err := w.check(r); err != nil {
		return nil, err
	}
	var changes []*usherv1.ChangeRecord
	size, through := 0, true
	at := w.at
	whole, wholeAt := 0, w.at // how many are of whole writes
	for c, err := range r.History(w.tenant, store.Range{After: w.at}) {
		if err != nil {
			return nil, err
		}
		enough := maxWriteBytes
		if c.Revision.Number != at.Revision {
			whole, wholeAt = len(changes), at
			enough = enoughBytes
		}
		if size >= enough {
			through = false
			break
		}
		m := changeMessage(c)
		size += proto.Size(m)
		changes = append(changes, m)
		at = store.Position{Revision: c.Revision.Number, Index: c.Index}
	}
	switch {
	case len(changes) == 0:
		w.revision = max(w.revision, r.Revision().Number)
		w.at = endOf(w.revision)
	case through:
		w.at, w.revision = at, at.Revision
	case whole > 0:
		w.at, w.revision = wholeAt, wholeAt.Revision
		changes = changes[:whole]
	default:
		w.at = at
	}
	return changes, nil
}

// check refuses to go on if there is a gap, and finds out whether the tenant was deleted.
func (w *watch) check(r store.Reader) error {
	switch t, err := r.Tenant(w.name); {
	case errors.Is(err, store.ErrNotFound):
		w.deleted = true
	case err != nil:
		return err
	default:
		w.deleted = t.ID != w.tenant
	}
	chain, err := r.Chain(w.tenant)
	if err != nil {
		return err
	}
	if trimmed := chain.Trimmed.Position; trimmed.Revision > w.at.Revision || trimmed.Revision == w.at.Revision && trimmed.Index > w.at.Index {
		span, err := w.server.spanOf(r, w.tenant)
		if err != nil {
			return err
		}
		return span.notKept("changes after that revision are not kept any more")
	}
	return nil
}

// endOf is the position after all changes of a write.
func endOf(revision uint64) store.Position {
	return store.Position{Revision: revision, Index: math.MaxUint32}
}
