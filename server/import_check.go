package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

const (
	// maxLine is how long a line of an import may be: a catalog has up to 1 MiB, and in JSON
	// each byte of it may become several.
	maxLine = 4 << 20
	// maxImportBytes is how large a file may be.
	maxImportBytes = 1 << 30
)

// importCheck reads the file of an import, piece by piece, and refuses what no write could have
// made. It keeps in memory the catalogs and what one subject holds.
type importCheck struct {
	server *Server
	ctx    context.Context
	start  *usherv1.ImportStart
	now    time.Time
	sink   importSink // nil: nobody takes what is read

	rest  []byte // the beginning of a line
	hash  hash.Hash
	bytes int64
	lines int64
	ended bool

	catalogs []importedCatalog
	table    *policy.Table // of the tenant
	tenant   store.Tenant  // with its own name, also if it gets another one
	toggle   string        // the last one
	held     []store.Assignment
	heldFrom int64 // the line of the first of them
	last     store.AssignmentKey
	kept     bool // somebody keeps the protected role
	primary  []store.Assignment
	names    []string // that the tenants get
	result   usherv1.ImportResult
	digest   [sha256.Size]byte // of the whole file
}

// importSink takes what is read, after it has been checked as far as its line shows.
type importSink interface {
	tenant(store.Tenant) error
	toggle(name string, on bool) error
	assignment(store.Assignment) error
}

func (s *Server) newImportCheck(ctx context.Context, start *usherv1.ImportStart, sink importSink) *importCheck {
	return &importCheck{server: s, ctx: ctx, start: start, now: s.now(), sink: sink, hash: sha256.New()}
}

// refuse is the error of a line that can't be imported.
func (c *importCheck) refuse(format string, args ...any) error {
	return refuseLine(c.lines, format, args...)
}

func refuseLine(line int64, format string, args ...any) error {
	return invalid(fmt.Sprint(lineField, line), reasonInvalidImport, format, args...)
}

// lineField is the field of what is wrong with a line, before its number.
const lineField = "line "

// reasonInvalidImport is the reason of an import that can't be made from that file.
const reasonInvalidImport = "INVALID_IMPORT"

// write reads the next bytes of the file.
func (c *importCheck) write(piece []byte) error {
	if c.bytes += int64(len(piece)); c.bytes > maxImportBytes {
		return c.refuse("the file is larger than %d MiB: export and import tenants one by one", maxImportBytes>>20)
	}
	c.rest = append(c.rest, piece...)
	done := 0
	for {
		n := bytes.IndexByte(c.rest[done:], '\n') + 1
		if n > maxLine || n == 0 && len(c.rest)-done > maxLine {
			c.lines++
			return c.refuse("it is longer than %d bytes", maxLine)
		}
		if n == 0 {
			break
		}
		if err := c.line(c.rest[done : done+n]); err != nil {
			return err
		}
		done += n
	}
	c.rest = append(c.rest[:0], c.rest[done:]...)
	return nil
}

// end is called after the last byte.
func (c *importCheck) end() error {
	switch {
	case c.bytes == 0:
		return refuseLine(1, "the file is empty: export it again")
	case len(c.rest) > 0:
		c.lines++
		return c.refuse("it has no end: the file was cut off; export it again")
	case !c.ended:
		return c.refuse("it is the last one and no \"end\": the file was cut off; export it again")
	}
	copy(c.digest[:], c.hash.Sum(nil))
	if want := c.start.GetSha256(); want != "" && want != hex.EncodeToString(c.digest[:]) {
		return invalid("start.sha256", reasonInvalidImport, "it is not that of what was sent: send one file from its start to its end, with an import_id of its own")
	}
	return nil
}

func (c *importCheck) line(text []byte) error {
	before := c.hash.Sum(nil)
	c.hash.Write(text)
	c.lines++
	if c.ended {
		return c.refuse("there is something after the \"end\": remove it, or export again")
	}
	line, err := decodeLine(text)
	if err != nil {
		return c.refuse("%v", err)
	}
	switch {
	case c.lines == 1:
		return c.header(line)
	case line == fileLine{Catalog: line.Catalog} && line.Catalog != nil:
		return c.catalogLine(line.Catalog)
	case line == fileLine{Tenant: line.Tenant} && line.Tenant != nil:
		return c.tenantLine(line.Tenant)
	case line == fileLine{Toggle: line.Toggle} && line.Toggle != nil:
		return c.toggleLine(line.Toggle)
	case line == fileLine{Assignment: line.Assignment} && line.Assignment != nil:
		return c.assignmentLine(line.Assignment)
	case line == fileLine{End: line.End} && line.End != nil:
		return c.endLine(line.End, before)
	}
	return c.refuse("it has to be one of catalog, tenant, toggle, assignment and end")
}

func (c *importCheck) header(line fileLine) error {
	switch {
	case line != fileLine{Export: line.Export} || line.Export < 1:
		return c.refuse(`the file does not begin with {"usher_export":%d}: it is no export of Usher`, exportVersion)
	case line.Export > exportVersion:
		return c.refuse("it was exported by a newer version of Usher, in version %d of the format; this one knows %d: import it with the newer one", line.Export, exportVersion)
	}
	return nil
}

// nameOf is the name that a tenant of the file gets.
func (c *importCheck) nameOf(name string) string {
	if c.start.GetRename() != "" {
		return c.start.GetRename()
	}
	return name
}

func (c *importCheck) tenantLine(line *tenantLine) error {
	if err := c.endTenant(); err != nil {
		return err
	}
	switch {
	case !isTenant(line.Name):
		return c.refuse("name: %s", tenantHelp)
	case c.tenant.Name != "" && c.start.GetRename() != "":
		return c.refuse("the file has several tenants, and only one can get another name: export that one alone")
	case c.tenant.Name >= line.Name:
		return c.refuse("the tenant %q is there twice, or comes after %q, which has to come later: tenants are in byte order", line.Name, c.tenant.Name)
	case line.Primary != "" && !isID(line.Primary):
		return c.refuse("primary_administrator: %s", idHelp)
	}
	created, err := c.instant("created_at", line.CreatedAt)
	if err != nil {
		return err
	}
	if created.IsZero() {
		return c.refuse("created_at: it is missing")
	}
	ref := store.CatalogRef{Name: line.Catalog, Version: line.CatalogVersion}
	catalog, err := c.base(ref)
	if err != nil {
		return err
	}
	c.tenant = store.Tenant{Name: line.Name, Catalog: ref, CreatedAt: created, Primary: line.Primary}
	c.table, c.toggle, c.last, c.kept, c.primary = policy.NewTable(catalog, nil), "", store.AssignmentKey{}, false, nil
	err = c.server.store.View(c.ctx, func(r store.Reader) error {
		replaced, err := c.server.replaces(r, c.nameOf(line.Name), c.start.GetReplace())
		if replaced {
			c.result.Replaced++
		}
		return err
	})
	if err != nil {
		return err
	}
	c.result.Tenants++
	named := c.tenant
	named.Name = c.nameOf(line.Name)
	c.names = append(c.names, named.Name)
	if c.sink == nil {
		return nil
	}
	return c.sink.tenant(named)
}

// replaces finds out whether a tenant would replace one, and refuses that if it may not.
func (s *Server) replaces(r store.Reader, name string, may bool) (bool, error) {
	switch _, err := r.Tenant(name); {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err == nil && !may:
		return false, &existsError{"TENANT", name, "say that it is to be replaced, or give the imported one another name"}
	default:
		return err == nil, err
	}
}

func (c *importCheck) toggleLine(line *toggleLine) error {
	switch {
	case c.tenant.Name == "":
		return c.refuse("there is no tenant before it")
	case c.last != store.AssignmentKey{}:
		return c.refuse("toggles come before the assignments of their tenant")
	case line.Name <= c.toggle:
		return c.refuse("the toggle %q is there twice, or comes after %q, which has to come later: toggles are in byte order", line.Name, c.toggle)
	}
	if err := checkToggle(c.table, line.Name, line.On); err != nil {
		return c.refuse("%v", err)
	}
	c.toggle = line.Name
	c.result.Toggles++
	if c.sink == nil {
		return nil
	}
	return c.sink.toggle(line.Name, line.On)
}

func (c *importCheck) assignmentLine(line *assignmentLine) error {
	start, err := c.instant("starts_at", line.StartsAt)
	if err != nil {
		return err
	}
	end, err := c.instant("expires_at", line.ExpiresAt)
	if err != nil {
		return err
	}
	a := store.Assignment{
		AssignmentKey: store.AssignmentKey{Subject: line.Subject, Role: line.Role, Scope: line.Scope},
		Interval:      store.Interval{Start: start, End: end},
	}
	switch {
	case c.tenant.Name == "":
		return c.refuse("there is no tenant before it")
	case !isID(line.Subject):
		return c.refuse("subject: %s", idHelp)
	case !isName(line.Role):
		return c.refuse("role: %s", nameHelp)
	case line.Scope != "" && !isID(line.Scope):
		return c.refuse("scope: %s", idHelp)
	case !end.IsZero() && !start.IsZero() && !start.Before(end):
		return c.refuse("expires_at: it has to lie after starts_at")
	case compareKeys(a.AssignmentKey, c.last) <= 0:
		return c.refuse("the assignment is there twice, or comes too late: assignments are in byte order of subject, role and scope")
	}
	// Before the conflicts, whose remedies are for tenants that there are.
	if err := c.table.Catalog().CheckRole("role", a.Role); err != nil {
		return c.refuse("%v", err)
	}
	if len(c.held) > 0 && c.held[0].Subject != a.Subject {
		if err := c.endSubject(); err != nil {
			return err
		}
	}
	if len(c.held) == 0 {
		c.heldFrom = c.lines
	}
	if len(c.held) == policy.MaxAssignments {
		return c.refuse("%s has more than %d assignments, which is the most that there can be", a.Subject, policy.MaxAssignments)
	}
	c.held, c.last = append(c.held, a), a.AssignmentKey
	c.kept = c.kept || c.table.Catalog().Keeps(a, c.now)
	if a.Subject == c.tenant.Primary {
		c.primary = append(c.primary, a)
	}
	c.result.Assignments++
	if c.sink == nil {
		return nil
	}
	return c.sink.assignment(a)
}

// endSubject checks all that a subject holds.
func (c *importCheck) endSubject() error {
	conflicts := c.table.Catalog().ConflictsOfSubject(c.held, c.now)
	if len(conflicts) > 0 {
		line := c.heldFrom
		for c.held[line-c.heldFrom].AssignmentKey != conflicts[0].Assignment.AssignmentKey {
			line++
		}
		return refuseLine(line, "%s", conflicts[0].Text)
	}
	c.held = c.held[:0]
	return nil
}

// endTenant checks what has to hold of a tenant as a whole.
func (c *importCheck) endTenant() error {
	if c.tenant.Name == "" {
		return nil
	}
	if err := c.endSubject(); err != nil {
		return err
	}
	catalog := c.table.Catalog()
	if !c.kept {
		return c.refuse("the tenant %q ends before it, and in it no user holds the role %q in the tenant, now and without an end: add somebody who does",
			c.tenant.Name, catalog.ProtectedRole())
	}
	if catalog.LosesPrimary(c.tenant, c.primary, nil, c.now) {
		return c.refuse("the tenant %q ends before it, and in it %s can't be the primary administrator: "+
			"that is a user who holds the role %q in the tenant, now and without an end, if the catalog has such a one",
			c.tenant.Name, c.tenant.Primary, catalog.ProtectedRole())
	}
	return nil
}

func (c *importCheck) endLine(line *endLine, before []byte) error {
	if err := c.endTenant(); err != nil {
		return err
	}
	const edited = `; if it was edited on purpose, write {"end":{"lines":%d}} as its last line`
	switch {
	case line.Lines != c.lines-1:
		return c.refuse("there are %d lines before it and not %d: lines are missing, or were added"+edited, c.lines-1, line.Lines, c.lines-1)
	case line.SHA256 != "" && line.SHA256 != hex.EncodeToString(before):
		return c.refuse("its sha256 is not that of the lines before it: the file is not what was exported"+edited, c.lines-1)
	}
	c.ended = true
	return nil
}

// instant reads a time; "" is none.
func (c *importCheck) instant(field, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err != nil || timeText(t) != text:
		return t, c.refuse("%s: write it in UTC and without zeros at the end of the fraction, such as 2026-12-24T18:00:00.5Z", field)
	case !t.After(time.Unix(0, 0)) || !t.Before(notStored):
		return t, c.refuse("%s: it has to lie after 1970-01-01 and before 2200-01-01", field)
	}
	return t.UTC(), nil
}

// notStored is the first instant that no write may name.
var notStored = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
