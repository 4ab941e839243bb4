package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// filler fills what an import reads into tenants that nobody finds, some of it in each write.
type filler struct {
	*importing
	filling *importCheck
	done    uint64 // items that were filled before
	lines   int64  // of these items
	seen    uint64 // items that have been read
	changes []store.Change
	waiting int // items in changes
	current store.FillImport
}

// fill reads the kept file once more, and fills what has not been filled before.
func (i *importing) fill() error {
	f := &filler{importing: i, done: i.kept.Filled}
	check := i.server.newImportCheck(i.ctx, i.start, f)
	f.filling = check
	if err := i.reread(check, f.progress); err != nil {
		return err
	}
	if err := check.end(); err != nil {
		return err
	}
	return f.flush()
}

func (f *filler) tenant(t store.Tenant) error {
	f.close()
	f.current = store.FillImport{ID: f.kept.ID, Tenant: t}
	return f.item()
}

func (f *filler) toggle(name string, on bool) error {
	if f.seen >= f.done {
		if f.current.Toggles == nil {
			f.current.Toggles = map[string]bool{}
		}
		f.current.Toggles[name] = on
	}
	return f.item()
}

func (f *filler) assignment(a store.Assignment) error {
	if f.seen >= f.done {
		f.current.Assignments = append(f.current.Assignments, a)
	}
	return f.item()
}

// item counts an item, and writes those that wait if they are enough.
func (f *filler) item() error {
	if f.seen++; f.seen <= f.done {
		f.lines = f.filling.lines
		return nil
	}
	if f.waiting++; f.waiting < maintained {
		return nil
	}
	return f.flush()
}

// close ends what is added to one tenant.
func (f *filler) close() {
	if f.seen > f.done {
		f.current.Filled = f.seen
		f.changes = append(f.changes, f.current)
	}
	f.current.Toggles, f.current.Assignments = nil, nil
}

// flush writes what waits.
func (f *filler) flush() error {
	if f.waiting == 0 {
		return nil
	}
	f.close()
	if err := f.server.goOn(f.ctx, f.changes...); err != nil {
		return err
	}
	f.done, f.lines, f.changes, f.waiting = f.seen, f.filling.lines, nil, 0
	return f.progress()
}

// progress tells the client how much has been filled.
func (f *filler) progress() error {
	return send[usherv1.ImportResponse](f.server, f.stream, &usherv1.ImportResponse{
		BytesTaken: int64(f.kept.Bytes), LinesTaken: f.check.lines, LinesFilled: f.lines, // #nosec G115 -- the length of a file
	})
}

// purgeImport removes the file of an import; and if it is not done, or wholly, all that it keeps.
func (s *Server) purgeImport(ctx context.Context, id string, whole bool) error {
	for {
		committed, err := s.store.Commit(ctx, store.Write{Plan: func(store.Reader) ([]store.Change, error) {
			return []store.Change{store.PurgeImport{ID: id, Most: maintained, Whole: whole}}, nil
		}})
		if err != nil || !committed.Changed {
			return err
		}
	}
}

// clearImports removes imports that nobody has gone on with for long, and the files of those
// that are done.
func (s *Server) clearImports(ctx context.Context, now time.Time) error {
	var ids []string
	err := s.store.View(ctx, func(r store.Reader) error {
		for i, err := range r.Imports("") {
			if err != nil {
				return err
			}
			ids = append(ids, i.ID)
		}
		return nil
	})
	for _, id := range ids {
		if failure := s.clearImport(ctx, id, now); failure != nil && ctx.Err() == nil {
			err = errors.Join(err, fmt.Errorf("removing import %q: %w", id, failure))
		}
	}
	return err
}

// clearImport removes what need not be kept of an import, unless somebody goes on with it.
func (s *Server) clearImport(ctx context.Context, id string, now time.Time) error {
	if _, goesOn := s.imports.LoadOrStore(id, true); goesOn {
		return nil
	}
	defer s.imports.Delete(id)
	var found store.Import
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		found, err = r.Import(id)
		return err
	})
	whole := found.Abandoned || !now.Before(found.Time.Add(store.ImportsKept))
	if errors.Is(err, store.ErrNotFound) || err == nil && !whole && found.Done == nil {
		return nil
	}
	if err != nil {
		return err
	}
	return s.purgeImport(ctx, id, whole)
}
