package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// exportPiece is about how many bytes of the file a message of an export has.
const exportPiece = 256 << 10

// Export answers a tenant, or all. It is written to a file first, so that the state that it is of
// is not held for a client who reads slowly.
func (o operatorService) Export(r *usherv1.ExportRequest, stream grpc.ServerStreamingServer[usherv1.ExportResponse]) error {
	spool, err := o.server.spool("usher-export-*")
	if err != nil {
		return err
	}
	defer func() { _ = spool.Close() }()
	answer, err := o.server.spoolExport(stream.Context(), spool, r.GetTenant())
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(spool, exportPiece)
	for last := false; !last; {
		message := &usherv1.ExportResponse{LinesDone: answer.LinesDone, LinesTotal: answer.LinesTotal, Revision: answer.Revision}
		for len(message.Lines) < exportPiece && !last {
			line, err := lines.ReadBytes('\n')
			if last = errors.Is(err, io.EOF); err != nil && !last {
				return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
			}
			if len(line) > 0 {
				message.Lines = append(message.Lines, line...)
				message.LinesDone++
			}
		}
		answer.LinesDone = message.LinesDone
		if err := send(o.server, stream, message); err != nil {
			return err
		}
	}
	return nil
}

// spoolExport writes the file of one state, and returns what its answers have in common.
func (s *Server) spoolExport(ctx context.Context, spool *os.File, only string) (*usherv1.ExportResponse, error) {
	leave, err := s.overload.computing.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	answer := &usherv1.ExportResponse{}
	err = s.store.View(ctx, func(r store.Reader) error {
		w := newLineWriter(spool)
		answer.Revision = r.Revision().String()
		if err := s.export(ctx, r, w, only); err != nil {
			return err
		}
		answer.LinesTotal = w.lines
		return w.finish()
	})
	if err == nil {
		_, err = spool.Seek(0, io.SeekStart)
	}
	return answer, err
}

// export writes the lines of a tenant, or of all if only is empty.
func (s *Server) export(ctx context.Context, r store.Reader, w *lineWriter, only string) error {
	var tenants []store.Tenant
	var err error
	if only == "" {
		tenants, err = collect(r.Tenants(""))
	} else {
		var t store.Tenant
		t, err = findTenant(r, only)
		tenants = []store.Tenant{t}
	}
	if err != nil {
		return err
	}
	if err := w.write(fileLine{Export: exportVersion}); err != nil {
		return err
	}
	if err := s.exportCatalogs(r, w, tenants); err != nil {
		return err
	}
	for _, t := range tenants {
		if err := s.exportTenant(ctx, r, w, t); err != nil {
			return err
		}
	}
	return w.end()
}

// exportCatalogs writes the catalogs of tenants, and those that they extend before them.
func (s *Server) exportCatalogs(r store.Reader, w *lineWriter, tenants []store.Tenant) error {
	used := map[store.CatalogRef]bool{}
	for _, t := range tenants {
		used[t.Catalog] = true
	}
	written := map[store.CatalogRef]bool{}
	var write func(store.CatalogRef) error
	write = func(ref store.CatalogRef) error {
		if written[ref] {
			return nil
		}
		written[ref] = true
		catalog, err := s.readCatalog(r, ref)
		if err != nil {
			return err
		}
		if base := catalog.Message().GetExtends(); base != nil {
			if err := write(store.CatalogRef{Name: base.GetName(), Version: base.GetVersion()}); err != nil {
				return err
			}
		}
		source, err := r.Catalog(ref)
		if err != nil {
			return err
		}
		return w.write(fileLine{Catalog: &catalogLine{Name: ref.Name, Version: ref.Version, YAML: string(source)}})
	}
	for _, ref := range slices.SortedFunc(maps.Keys(used), compareRefs) {
		if err := write(ref); err != nil {
			return err
		}
	}
	return nil
}

// exportTenant writes a tenant. Toggles that its catalog does not have, or that are locked and
// stored otherwise, mean nothing, and could not be set: they are left out.
func (s *Server) exportTenant(ctx context.Context, r store.Reader, w *lineWriter, t store.Tenant) error {
	catalog, err := s.readCatalog(r, t.Catalog)
	if err != nil {
		return err
	}
	if err := w.write(fileLine{Tenant: tenantLineOf(t)}); err != nil {
		return err
	}
	toggles, err := r.Toggles(t.ID)
	if err != nil {
		return err
	}
	table := policy.NewTable(catalog, nil)
	for _, name := range slices.Sorted(maps.Keys(toggles)) {
		if checkToggle(table, name, toggles[name]) != nil {
			continue
		}
		if err := w.write(fileLine{Toggle: &toggleLine{Name: name, On: toggles[name]}}); err != nil {
			return err
		}
	}
	for a, err := range r.Assignments(t.ID, store.AssignmentKey{}) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = w.write(fileLine{Assignment: assignmentLineOf(a)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkToggle refuses a toggle that could not be set so.
func checkToggle(table *policy.Table, name string, on bool) error {
	if err := table.Catalog().CheckToggle("name", name); err != nil {
		return err
	}
	_, err := table.PlanToggle(policy.Actor{Operator: true}, 0, name, on)
	return err
}
