package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server"
)

// export exports a tenant, or all.
func (h *harness) export(t *testing.T, tenant string) []byte {
	t.Helper()
	stream, err := h.operator.Export(t.Context(), &usherv1.ExportRequest{Tenant: tenant})
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	var last *usherv1.ExportResponse
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && message.GetRevision() != last.GetRevision() {
			t.Errorf("a piece is of revision %s after one of %s", message.GetRevision(), last.GetRevision())
		}
		last, file = message, append(file, message.GetLines()...)
	}
	if n := int64(bytes.Count(file, []byte("\n"))); last.GetLinesDone() != n || last.GetLinesTotal() != n {
		t.Errorf("%d lines of %d are said to have come, and %d have", last.GetLinesDone(), last.GetLinesTotal(), n)
	}
	return file
}

// importing is how a test imports.
type importing struct {
	*usherv1.ImportStart
	piece int // bytes in a message; 0: 64 KiB
	cut   int // the call is cancelled when so many bytes have been taken; 0: never
}

// importFile imports a file, going on where the server says.
func (h *harness) importFile(ctx context.Context, file []byte, how importing) (*usherv1.ImportResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := h.operator.Import(ctx)
	if err != nil {
		return nil, err
	}
	send := func(m *usherv1.ImportRequest) { _ = stream.Send(m) } // Recv says why not
	send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: how.ImportStart}})
	begun, err := stream.Recv()
	if err != nil || begun.GetResult() != nil {
		return begun.GetResult(), err
	}
	if begun.GetBytesTaken() > int64(len(file)) {
		return nil, fmt.Errorf("%d bytes are there of a file of %d", begun.GetBytesTaken(), len(file))
	}
	go func() {
		size := how.piece
		if size == 0 {
			size = 64 << 10
		}
		for rest := file[begun.GetBytesTaken():]; len(rest) > 0 && ctx.Err() == nil; {
			n := min(size, len(rest))
			send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Lines{Lines: rest[:n]}})
			rest = rest[n:]
		}
		send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_End{End: &usherv1.ImportEnd{}}})
	}()
	for {
		message, err := stream.Recv()
		if err != nil || message.GetResult() != nil {
			return message.GetResult(), err
		}
		if how.cut > 0 && message.GetBytesTaken() >= int64(how.cut) {
			cancel()
		}
	}
}

// mustImport is importFile for an import that has to succeed.
func (h *harness) mustImport(t *testing.T, file []byte, start *usherv1.ImportStart) *usherv1.ImportResult {
	t.Helper()
	result, err := h.importFile(t.Context(), file, importing{ImportStart: start})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// fileOf makes a file of lines, without the first and the last, which it adds.
func fileOf(lines ...string) []byte {
	all := append([]string{`{"usher_export":1}`}, lines...)
	return fmt.Appendf(nil, "%s\n{\"end\":{\"lines\":%d}}\n", strings.Join(all, "\n"), len(all))
}

// deskFile is a file with one tenant of the catalog desk, which has to be stored, and these lines.
func deskFile(lines ...string) []byte {
	return fileOf(append([]string{
		`{"tenant":{"name":"desk","catalog":"desk","catalog_version":1,"created_at":"2026-01-02T03:04:05.000000006Z"}}`,
	}, lines...)...)
}

const bossLine = `{"assignment":{"subject":"user:root","role":"boss"}}`

// desksHarness has two tenants of the catalog desk, with all that an export has in it.
func desksHarness(t *testing.T) *harness {
	t.Helper()
	h := deskHarness(t)
	if _, err := h.operator.CreateTenant(t.Context(), &usherv1.CreateTenantRequest{Tenant: "Dealer", Catalog: "expertconnect", FirstAdministrator: "user:zoë@dealer.example"}); err != nil {
		t.Fatal(err)
	}
	h.write(t, "Dealer", actGrant("user:<tier & 2>", "advisor", "team:\"north\""), actToggle("advisor_ticket_create", false))
	ended := actGrant("user:gone", "agent", "team:a")
	ended.GetGrant().StartsAt, ended.GetGrant().ExpiresAt = timestamp(testTime.Add(-time.Hour)), timestamp(testTime.Add(time.Nanosecond))
	h.write(t, "desk", ended)
	h.clock.Set(testTime.Add(time.Hour))
	return h
}

// TestExportAndImport: what was exported and imported elsewhere is exported with the same bytes,
// and decides alike.
func TestExportAndImport(t *testing.T) {
	t.Parallel()
	from := desksHarness(t)
	file := from.export(t, "")
	for _, part := range []string{
		`{"usher_export":1}` + "\n" + `{"catalog":{"name":"desk","version":1,`, `{"tenant":{"name":"Dealer",`,
		`"primary_administrator":"user:zoë@dealer.example"`, `{"assignment":{"subject":"user:<tier & 2>","role":"advisor","scope":"team:\"north\""}}`,
		`{"toggle":{"name":"night","on":true}}`, `"expires_at":"2026-01-15T12:00:00.000000001Z"}}`,
	} {
		if !bytes.Contains(file, []byte(part)) {
			t.Errorf("the file does not have %s", part)
		}
	}
	to := newHarness(t)
	to.clock.Set(testTime.Add(time.Hour))
	tried := to.mustImport(t, file, &usherv1.ImportStart{ImportId: "i", ValidateOnly: true})
	if tried.GetOutcome() != usherv1.Outcome_OUTCOME_UNCHANGED || tried.GetTenants() != 2 || tried.GetAssignments() != 6 || tried.GetToggles() != 2 || tried.GetCatalogs() != 1 {
		t.Errorf("trying answers %v", tried)
	}
	if got := to.export(t, ""); bytes.Contains(got, []byte("tenant")) {
		t.Errorf("trying has made\n%s", got)
	}
	done := to.mustImport(t, file, &usherv1.ImportStart{ImportId: "i", Justification: "moved here"})
	if done.GetOutcome() != usherv1.Outcome_OUTCOME_CHANGED || done.GetTenants() != 2 || done.GetAssignments() != 6 || done.GetToggles() != 2 || done.GetCatalogs() != 1 {
		t.Errorf("importing answers %v", done)
	}
	if got := to.export(t, ""); !bytes.Equal(got, file) {
		t.Errorf("exported again it is\n%s\nand was\n%s", got, file)
	}
	random, allowed := newRandom(t), 0
	for range 500 {
		tenant, subject := pick(random, []string{"desk", "Dealer"}), pick(random, []string{"user:root", "user:ann", "user:bob", "user:gone", "user:zoë@dealer.example", "user:<tier & 2>", "user:nobody"})
		action, team := "view", pick(random, []string{"team:a", "team:b", "team:\"north\""})
		if tenant == "Dealer" {
			action = pick(random, []string{"view", "create", "reassign", "answer"})
		} else if random.IntN(2) == 0 {
			action = "close"
		}
		was, is := from.may(t, tenant, subject, action, team), to.may(t, tenant, subject, action, team)
		if was != is {
			t.Fatalf("may %s %s a ticket of %s in %s: %v before, %v afterwards", subject, action, team, tenant, was, is)
		}
		if is {
			allowed++
		}
	}
	if allowed == 0 {
		t.Error("nobody may do anything: the test doesn't test")
	}
	again := to.mustImport(t, file, &usherv1.ImportStart{ImportId: "i", Justification: "moved here"})
	if again.GetOutcome() != usherv1.Outcome_OUTCOME_UNCHANGED || again.GetRevision() != done.GetRevision() || again.GetTenants() != 2 {
		t.Errorf("the same import once more answers %v", again)
	}
	changes, err := to.admin.ListChanges(t.Context(), &usherv1.ListChangesRequest{Tenant: "Dealer", OldestFirst: true})
	if err != nil || len(changes.GetChanges()) != 2 {
		t.Fatal(changes, err)
	}
	first, digest := changes.GetChanges()[0], sha256.Sum256(file)
	if first.GetKind() != usherv1.ChangeKind_CHANGE_KIND_TENANT_IMPORTED || first.GetOperator() == nil || first.GetJustification() != "moved here" ||
		first.GetCatalog() != "expertconnect" || first.GetImported().GetSha256() != hex.EncodeToString(digest[:]) ||
		first.GetImported().GetAssignments() != 2 || first.GetImported().GetToggles() != 1 || first.GetRevision() != done.GetRevision() {
		t.Errorf("the record begins with %v", first)
	}
}

// TestImportRefuses has files that can't be imported, each with what is said about it. Nothing
// is there afterwards.
func TestImportRefuses(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.putCatalog(t, deskCatalog(1, deskAgent))
	dealer := `{"tenant":{"name":"dealer","catalog":"expertconnect","catalog_version":3,"primary_administrator":"user:a","created_at":"2026-01-02T03:04:05Z"}}`
	contact := `{"tenant":{"name":"contact","catalog":"goto_contact_center","catalog_version":2,"created_at":"2026-01-02T03:04:05Z"}}`
	many := []string{bossLine}
	for i := range 10_001 {
		many = append(many, fmt.Sprintf(`{"assignment":{"subject":"user:x","role":"agent","scope":"team:%05d"}}`, i))
	}
	long := `{"catalog":{"name":"long","version":1,"yaml":"` + strings.Repeat("x", 5<<20) + `"}}`
	for what, c := range map[string]struct {
		file []byte
		says string
	}{
		"nothing":              {nil, `line 1: the file is empty`},
		"another file":         {[]byte("hello\n"), "line 1: it is no object of an export"},
		"a file of Windows":    {bytes.ReplaceAll(deskFile(bossLine), []byte("\n"), []byte("\r\n")), "line 1: it ends in CR LF"},
		"a value of a kind":    {[]byte(`{"usher_export":"1"}` + "\n"), "line 1: usher_export: it can't be the string that is there"},
		"a list":               {[]byte("[]\n"), "line 1: the whole line: it can't be the array that is there"},
		"a number too large":   {fileOf(`{"catalog":{"name":"x","version":4294967296,"yaml":""}}`), "line 2: catalog.version: it can't be the number 4294967296 that is there"},
		"another object":       {[]byte(`{"tenant":null}` + "\n"), "line 1: it is not written as an export writes it"},
		"no header":            {[]byte(bossLine + "\n"), `line 1: the file does not begin with {"usher_export":1}`},
		"a newer format":       {[]byte(`{"usher_export":2}` + "\n"), "line 1: it was exported by a newer version"},
		"no end":               {deskFile(bossLine)[:len(deskFile(bossLine))-len(`{"end":{"lines":3}}`+"\n")], `line 3: it is the last one and no "end"`},
		"a cut line":           {deskFile(bossLine)[:150], "line 3: it has no end"},
		"an edited file":       {bytes.Replace(desks(t), []byte("user:ann"), []byte("user:anx"), 1), "sha256 is not that of the lines"},
		"a line taken out":     {bytes.Replace(deskFile(bossLine, bossLine), []byte(bossLine+"\n"), nil, 1), `there are 3 lines before it and not 4: lines are missing, or were added; if it was edited on purpose, write {"end":{"lines":3}}`},
		"something behind it":  {append(deskFile(bossLine), bossLine+"\n"...), `line 5: there is something after the "end"`},
		"an unknown key":       {deskFile(`{"toggle":{"name":"night","on":true,"by":1}}`), `line 3: it is no object of an export: unknown field "by"`},
		"a key twice":          {deskFile(`{"toggle":{"name":"night","on":true,"on":true}}`), `which is: {"toggle":{"name":"night","on":true}}`},
		"another order":        {deskFile(`{"toggle":{"on":true,"name":"night"}}`), `which is: {"toggle":{"name":"night","on":true}}`},
		"two in a line":        {deskFile(`{"toggle":{"name":"night","on":true},"assignment":{"subject":"user:a","role":"boss"}}`), "line 3: it has to be one of"},
		"an empty line":        {deskFile(``), "line 3: it is no object of an export"},
		"bytes that no text":   {deskFile("{\"assignment\":{\"subject\":\"user:\xff\",\"role\":\"boss\"}}"), "line 3: it is not written as an export writes it"},
		"a line without bound": {fileOf(long), "line 2: it is longer than"},
		"a tenant's name":      {bytes.Replace(deskFile(bossLine), []byte(`"name":"desk"`), []byte(`"name":"a b"`), 1), "line 2: name: a tenant has letters"},
		"tenants in disorder":  {bytes.Replace(fileOf(dealer, `{"assignment":{"subject":"user:a","role":"administrator"}}`, contact), []byte("{}"), nil, 1), `line 4: the tenant "contact" is there twice, or comes after "dealer"`},
		"no catalog":           {fileOf(strings.Replace(contact, `version":2`, `version":7`, 1)), `line 2: the catalog "goto_contact_center" version 7 is neither stored nor in the file`},
		"no time of creation":  {fileOf(strings.Replace(contact, `2026-01-02T03:04:05Z`, ``, 1)), "line 2: created_at: it is missing"},
		"an invalid catalog":   {fileOf(`{"catalog":{"name":"x","version":1,"yaml":"name: x\n"}}`), "line 2: the catalog is not valid"},
		"a catalog's name":     {fileOf(`{"catalog":{"name":"x","version":1,"yaml":` + jsonText(deskCatalog(2, "")) + `}}`), `line 2: the catalog is "desk" version 2`},
		"a catalog twice":      {fileOf(catalogFileLine(2, ""), catalogFileLine(2, "")), `line 3: the catalog "desk" version 2 is there twice`},
		"a broken promise": {fileOf(`{"catalog":{"name":"untrue","version":1,"yaml":`+jsonText(falseStatement)+`}}`, `{"catalog":{"name":"broken","version":1,"yaml":`+jsonText(brokenPromise)+`}}`),
			`line 3: the catalog breaks what the one that it extends states: yaml: statements[1], "Only admins change roles": it is not true`},
		"a catalog too late":  {deskFile(bossLine, catalogFileLine(2, "")), "line 4: catalogs come before all tenants"},
		"no tenant":           {fileOf(bossLine), "line 2: there is no tenant before it"},
		"a toggle, no tenant": {fileOf(`{"toggle":{"name":"night","on":true}}`), "line 2: there is no tenant before it"},
		"an unknown toggle":   {deskFile(`{"toggle":{"name":"nigth","on":true}}`), `line 3: unknown toggle "nigth": did you mean "night"?`},
		"a toggle twice":      {deskFile(`{"toggle":{"name":"night","on":true}}`, `{"toggle":{"name":"night","on":true}}`), `line 4: the toggle "night" is there twice`},
		"a toggle too late":   {deskFile(bossLine, `{"toggle":{"name":"night","on":true}}`), "line 4: toggles come before the assignments"},
		"a locked toggle":     {fileOf(contact, `{"toggle":{"name":"view_queue_settings","on":false}}`), `line 3: the toggle "view_queue_settings" is locked on`},
		"an unknown role":     {deskFile(bossLine, `{"assignment":{"subject":"user:x","role":"agnet"}}`), `line 4: unknown role "agnet": did you mean "agent"?`},
		"no such role ever":   {deskFile(`{"assignment":{"subject":"user:x","role":"agnet","expires_at":"2026-01-02T03:04:05Z"}}`, bossLine), `line 3: unknown role "agnet"`},
		"the default role":    {fileOf(dealer, `{"assignment":{"subject":"user:a","role":"administrator"}}`, `{"assignment":{"subject":"user:b","role":"free_user"}}`), "line 4: \"free_user\" is the role of everybody"},
		"a wrong holder":      {deskFile(`{"assignment":{"subject":"group:x","role":"agent"}}`, bossLine), `line 3: the role "agent" can't be held by group:x`},
		"a wrong scope":       {deskFile(bossLine, `{"assignment":{"subject":"user:x","role":"agent","scope":"queue:1"}}`), `line 4: the role "agent" can't be held in queue:1`},
		"a subject":           {deskFile(`{"assignment":{"subject":"ann","role":"agent"}}`), "line 3: subject: it is written type:id"},
		"a scope":             {deskFile(`{"assignment":{"subject":"user:x","role":"agent","scope":"team:\u0007"}}`), "line 3: scope: it is written type:id"},
		"disorder":            {deskFile(bossLine, `{"assignment":{"subject":"user:a","role":"agent"}}`), "line 4: the assignment is there twice, or comes too late"},
		"twice":               {deskFile(bossLine, bossLine), "line 4: the assignment is there twice"},
		"a time with a zone":  {deskFile(`{"assignment":{"subject":"user:a","role":"agent","starts_at":"2026-01-02T03:04:05+01:00"}}`), "line 3: starts_at: write it in UTC"},
		"a time too early":    {deskFile(`{"assignment":{"subject":"user:a","role":"agent","starts_at":"1970-01-01T00:00:00Z"}}`), "line 3: starts_at: it has to lie after 1970"},
		"a time too late":     {deskFile(`{"assignment":{"subject":"user:a","role":"agent","expires_at":"2200-01-01T00:00:00Z"}}`), "line 3: expires_at: it has to lie after 1970-01-01 and before 2200"},
		"no interval":         {deskFile(`{"assignment":{"subject":"user:a","role":"agent","starts_at":"2026-01-02T03:04:05Z","expires_at":"2026-01-02T03:04:05Z"}}`), "line 3: expires_at: it has to lie after starts_at"},
		"two exclusive roles": {fileOf(dealer, `{"assignment":{"subject":"user:a","role":"administrator"}}`, `{"assignment":{"subject":"user:b","role":"advisor"}}`,
			`{"assignment":{"subject":"user:b","role":"manager"}}`), `line 5: user:b holds the role "advisor" at the same time`},
		"too many":              {deskFile(many...), "line 10004: user:x has more than 10000 assignments"},
		"nobody keeps the role": {deskFile(`{"assignment":{"subject":"user:root","role":"boss","expires_at":"2027-01-01T00:00:00Z"}}`), `the tenant "desk" ends before it, and in it no user holds the role "boss" in the tenant, now and without an end: add somebody who does`},
		"a primary without it":  {fileOf(dealer, `{"assignment":{"subject":"user:b","role":"administrator"}}`), `in it user:a can't be the primary administrator`},
		"a primary of desk":     {bytes.Replace(deskFile(bossLine), []byte(`"created_at"`), []byte(`"primary_administrator":"user:root","created_at"`), 1), `in it user:root can't be the primary administrator`},
	} {
		before := h.store.Revision()
		for _, validateOnly := range []bool{true, false} {
			_, err := h.importFile(t.Context(), c.file, importing{ImportStart: &usherv1.ImportStart{ImportId: "x", ValidateOnly: validateOnly}})
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: the answer is %.300v, want %q", what, err, c.says)
			}
			badCall{code: codes.InvalidArgument, reason: "INVALID_IMPORT", field: regexp.MustCompile("line [0-9]+").FindString(status.Convert(err).Message())}.compare(t, err)
		}
		if h.store.Revision() != before {
			t.Errorf("%s: something was changed", what)
		}
	}
	list, err := h.operator.ListTenants(t.Context(), &usherv1.ListTenantsRequest{})
	if err != nil || len(list.GetTenants()) > 0 {
		t.Errorf("there is %v, %v", list, err)
	}
	if _, err := h.importFile(t.Context(), deskFile(bossLine), importing{ImportStart: &usherv1.ImportStart{ImportId: "x"}}); err != nil {
		t.Errorf("the good one is refused: %v", err)
	}
}

// falseStatement is a catalog that may have been stored unproved.
const falseStatement = `name: untrue
version: 1
extends: {name: liveagent, version: 2}
statements:
  - {title: Admins install nothing, role: admin, never: ["plugin:install"]}
`

// brokenPromise is a catalog that breaks what liveagent states.
const brokenPromise = `name: broken
version: 1
extends: {name: liveagent, version: 2}
roles:
  - {name: chief, rules: [{allow: ["agent:change_role"], reach: tenant}]}
`

// jsonText writes a text in JSON.
func jsonText(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// catalogFileLine is the line of a version of the catalog desk.
func catalogFileLine(version int, roles string) string {
	return fmt.Sprintf(`{"catalog":{"name":"desk","version":%d,"yaml":%s}}`, version, jsonText(deskCatalog(version, roles)))
}

// desks is the export of a server with two tenants.
func desks(t *testing.T) []byte { return desksHarness(t).export(t, "") }

// TestImportReplaces: a tenant that there is stays as it is unless it may be replaced, or the
// other one gets another name. Revisions of before don't pass for ones of the new tenant.
func TestImportReplaces(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	file := deskFile(`{"assignment":{"subject":"user:ann","role":"agent","scope":"team:c"}}`, bossLine)
	_, err := h.importFile(t.Context(), file, importing{ImportStart: &usherv1.ImportStart{ImportId: "a"}})
	badCall{code: codes.AlreadyExists, reason: "TENANT_EXISTS", remedy: "to be replaced"}.compare(t, err)
	h.mustImport(t, file, &usherv1.ImportStart{ImportId: "b", Rename: "copy"})
	if !h.may(t, "desk", "user:ann", "view", "team:a") || !h.may(t, "copy", "user:ann", "view", "team:c") || h.may(t, "copy", "user:ann", "view", "team:a") {
		t.Fatal("the copy is not beside the old one")
	}
	_, err = h.importFile(t.Context(), desks(t), importing{ImportStart: &usherv1.ImportStart{ImportId: "c", Rename: "copy", Replace: true}})
	badCall{code: codes.InvalidArgument, reason: "INVALID_IMPORT", field: "line 8", remedy: "only one can get another name"}.compare(t, err)

	old, err := h.operator.GetTenant(t.Context(), &usherv1.GetTenantRequest{Tenant: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	watching, err := h.admin.WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: "desk"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watching.Recv(); err != nil {
		t.Fatal(err)
	}
	done := h.mustImport(t, file, &usherv1.ImportStart{ImportId: "d", Replace: true})
	if done.GetReplaced() != 1 || done.GetTenants() != 1 {
		t.Errorf("replacing answers %v", done)
	}
	if h.may(t, "desk", "user:ann", "view", "team:a") || !h.may(t, "desk", "user:ann", "view", "team:c") || h.may(t, "desk", "user:bob", "view", "team:b") {
		t.Error("the tenant is not replaced")
	}
	ending, err := watching.Recv()
	if err != nil || len(ending.GetChanges()) != 1 || ending.GetChanges()[0].GetKind() != usherv1.ChangeKind_CHANGE_KIND_TENANT_DELETED {
		t.Fatalf("the watcher is told %v, %v", ending, err)
	}
	_, err = watching.Recv()
	badCall{code: codes.NotFound, reason: "TENANT_NOT_FOUND"}.compare(t, err)
	// Behind the end of the old one is the beginning of the new one.
	again, err := h.admin.WatchChanges(t.Context(), &usherv1.WatchChangesRequest{Tenant: "desk", AfterRevision: ending.GetRevision()})
	if err != nil {
		t.Fatal(err)
	}
	next, err := again.Recv()
	if err != nil || len(next.GetChanges()) != 1 || next.GetChanges()[0].GetKind() != usherv1.ChangeKind_CHANGE_KIND_TENANT_IMPORTED {
		t.Fatalf("whoever goes on is told %v, %v", next, err)
	}
	// A revision of the old tenant is none of the new one.
	_, err = h.admin.Grant(t.Context(), &usherv1.GrantRequest{
		Tenant: "desk", Subject: "user:ann", Role: "agent", Scope: "team:d", By: &usherv1.GrantRequest_Operator{}, ExpectedRevision: old.GetRevision(),
	})
	badCall{code: codes.Aborted, reason: "CHANGED_MEANWHILE"}.compare(t, err)
	_, err = h.admin.ListAssignments(t.Context(), &usherv1.ListAssignmentsRequest{
		Tenant: "desk", AsOf: &usherv1.AsOf{Moment: &usherv1.AsOf_Revision{Revision: old.GetRevision()}},
	})
	badCall{code: codes.OutOfRange, reason: "NOT_KEPT"}.compare(t, err)
	if last, findings := h.verify(t, &usherv1.VerifyChangesRequest{Tenant: "desk"}); len(findings) > 0 {
		t.Error(last, findings)
	}
}

// TestImportGoesOn: a client that is cut off goes on behind what is there, and only with the same
// file; two at once don't.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.putCatalog(t, deskCatalog(1, deskAgent))
	lines := []string{bossLine}
	for i := range 8_000 {
		lines = append(lines, fmt.Sprintf(`{"assignment":{"subject":"user:x%05d@desk.example","role":"agent","scope":"team:a"}}`, i))
	}
	file := deskFile(lines...)
	digest := sha256.Sum256(file)
	start := &usherv1.ImportStart{ImportId: "i", Sha256: hex.EncodeToString(digest[:])}
	if _, err := h.importFile(t.Context(), file, importing{ImportStart: start, cut: 300_000}); status.Code(err) != codes.Canceled {
		t.Fatalf("the import that is cut off ends with %v", err)
	}
	if list, err := h.operator.ListTenants(t.Context(), &usherv1.ListTenantsRequest{}); err != nil || len(list.GetTenants()) > 0 {
		t.Fatalf("half of it shows: %v, %v", list, err)
	}
	if err := h.server.Maintain(t.Context(), server.Retention{}); err != nil {
		t.Fatal(err)
	}
	_, err := h.importFile(t.Context(), file, importing{ImportStart: &usherv1.ImportStart{ImportId: "i"}})
	for status.Code(err) == codes.Aborted { // the end of the one that was cut off
		_, err = h.importFile(t.Context(), file, importing{ImportStart: &usherv1.ImportStart{ImportId: "i"}})
	}
	badCall{code: codes.InvalidArgument, reason: "INVALID_IMPORT", field: "start.import_id"}.compare(t, err)

	stream, err := h.operator.Import(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: start}}); err != nil {
		t.Fatal(err)
	}
	begun, err := stream.Recv()
	if err != nil || begun.GetBytesTaken() < 300_000 {
		t.Fatalf("what is there is %v, %v", begun, err)
	}
	// The client hears of it while that is read again.
	again, err := stream.Recv()
	if err != nil || again.GetBytesTaken() != begun.GetBytesTaken() || again.GetLinesTaken() < 3_000 {
		t.Fatalf("what has been read again is %v, %v", again, err)
	}
	_, err = h.importFile(t.Context(), file, importing{ImportStart: start})
	badCall{code: codes.Aborted, reason: "IMPORT_GOES_ON"}.compare(t, err)
	if err := stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Lines{Lines: file[begun.GetBytesTaken():]}}); err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_End{End: &usherv1.ImportEnd{}}}); err != nil {
		t.Fatal(err)
	}
	for {
		message, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if result := message.GetResult(); result != nil {
			if result.GetAssignments() != 8_001 {
				t.Errorf("it answers %v", result)
			}
			break
		}
	}
	if !h.may(t, "desk", "user:x07999@desk.example", "view", "team:a") {
		t.Error("the last of them holds nothing")
	}
}

// TestImportIsNeverSilent: whoever imports hears, piece by piece, how far a file has been looked at.
func TestImportIsNeverSilent(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.putCatalog(t, deskCatalog(1, deskAgent))
	lines := []string{bossLine}
	for i := range 16_000 {
		lines = append(lines, fmt.Sprintf(`{"assignment":{"subject":"user:x%05d@desk.example","role":"agent","scope":"team:a"}}`, i))
	}
	stream, err := h.operator.Import(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(m *usherv1.ImportRequest) { _ = stream.Send(m) } // Recv says why not
	send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: &usherv1.ImportStart{ImportId: "i", ValidateOnly: true}}})
	last, err := stream.Recv()
	if err != nil || last.GetBytesTaken() != 0 {
		t.Fatalf("it begins with %v, %v", last, err)
	}
	for rest := deskFile(lines...); len(rest) > 512<<10; rest = rest[512<<10:] {
		send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Lines{Lines: rest[:512<<10]}})
		next, err := stream.Recv()
		if err != nil || next.GetBytesTaken() != last.GetBytesTaken()+512<<10 || next.GetLinesTaken() <= last.GetLinesTaken() {
			t.Fatalf("after %v comes %v, %v", last, next, err)
		}
		last = next
	}
}

// TestImportOfAnotherFile: a file that does not have the digest that was named is not imported.
func TestImportOfAnotherFile(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.putCatalog(t, deskCatalog(1, deskAgent))
	_, err := h.importFile(t.Context(), deskFile(bossLine), importing{ImportStart: &usherv1.ImportStart{ImportId: "i", Sha256: strings.Repeat("0", 64)}})
	badCall{code: codes.InvalidArgument, reason: "INVALID_IMPORT", field: "start.sha256"}.compare(t, err)
}

// TestMaintainClearsImports: what nobody has gone on with for a day is removed, and then the same
// id begins anew.
func TestMaintainClearsImports(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	h.putCatalog(t, deskCatalog(1, deskAgent))
	lines := []string{bossLine}
	for i := range 5_000 {
		lines = append(lines, fmt.Sprintf(`{"assignment":{"subject":"user:x%05d@desk.example","role":"agent","scope":"team:a"}}`, i))
	}
	file := deskFile(lines...)
	start := &usherv1.ImportStart{ImportId: "i"}
	if _, err := h.importFile(t.Context(), file, importing{ImportStart: start, cut: 200_000}); status.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
	begun := func() int64 {
		t.Helper()
		for {
			stream, err := h.operator.Import(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(&usherv1.ImportRequest{Part: &usherv1.ImportRequest_Start{Start: start}})
			message, err := stream.Recv()
			if status.Code(err) == codes.Aborted {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.CloseSend()
			for err == nil { // until it has ended
				_, err = stream.Recv()
			}
			return message.GetBytesTaken()
		}
	}
	maintain := func(at time.Time) {
		t.Helper()
		h.clock.Set(at)
		if err := h.server.Maintain(t.Context(), server.Retention{}); err != nil {
			t.Fatal(err)
		}
	}
	maintain(testTime.Add(24*time.Hour - 1))
	if begun() == 0 {
		t.Fatal("it was removed too early")
	}
	maintain(testTime.Add(24 * time.Hour))
	if n := begun(); n > 0 {
		t.Fatalf("%d bytes of it are still there", n)
	}
	h.mustImport(t, file, start)
	maintain(testTime.Add(48*time.Hour - 1))
	if again := h.mustImport(t, file, start); again.GetOutcome() != usherv1.Outcome_OUTCOME_UNCHANGED {
		t.Errorf("a finished import answers %v a day later", again)
	}
	maintain(testTime.Add(48 * time.Hour))
	_, err := h.importFile(t.Context(), file, importing{ImportStart: start})
	badCall{code: codes.AlreadyExists, reason: "TENANT_EXISTS"}.compare(t, err)
}

// TestExportLeavesOutToggles: a toggle that the tenant's catalog does not have any more is not
// exported, because no import could set it.
func TestExportLeavesOutToggles(t *testing.T) {
	t.Parallel()
	h := deskHarness(t)
	h.write(t, "desk", actToggle("night", false), actRemove("user:ann"), actRemove("user:bob"))
	h.putCatalog(t, deskCatalog(2, ""))
	if _, err := h.operator.UpdateTenant(t.Context(), &usherv1.UpdateTenantRequest{Tenant: "desk"}); err != nil {
		t.Fatal(err)
	}
	file := h.export(t, "desk")
	if bytes.Contains(file, []byte("night")) {
		t.Errorf("it is exported:\n%s", file)
	}
	h.mustImport(t, file, &usherv1.ImportStart{ImportId: "i", Rename: "copy"})
}
