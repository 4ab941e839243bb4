package server_test

import (
	"bytes"
	"fmt"
	"regexp"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// FuzzImport tries files between a good first line and a good last one. What is not refused as
// bad input can be imported, and is then exported with the same lines.
func FuzzImport(f *testing.F) {
	h := newHarness(f)
	if _, err := h.operator.PutCatalog(f.Context(), &usherv1.PutCatalogRequest{Yaml: deskCatalog(1, deskAgent)}); err != nil {
		f.Fatal(err)
	}
	tenant := `{"tenant":{"name":"desk","catalog":"desk","catalog_version":1,"created_at":"2026-01-02T03:04:05.000000006Z"}}` + "\n"
	night, boss := `{"toggle":{"name":"night","on":true}}`+"\n", bossLine+"\n"
	ended := `{"assignment":{"subject":"user:ann","role":"agent","scope":"team:a","starts_at":"2026-01-02T03:04:05Z","expires_at":"2026-01-03T00:00:00.5Z"}}` + "\n"
	for _, lines := range []string{
		"", "\n", "null\n", boss, tenant, tenant + boss, tenant + night + ended + boss, tenant + night + night + boss, tenant + boss + ended,
		tenant + "{\"assignment\":{\"subject\":\"user:\\u0000\xff\",\"role\":\"boss\"}}\n",
		catalogFileLine(2, "") + "\n" + tenant + boss,
		`{"tenant":{"name":"dealer","catalog":"expertconnect","catalog_version":3,"primary_administrator":"user:root","created_at":"2026-01-02T03:04:05Z"}}` +
			"\n" + `{"assignment":{"subject":"user:root","role":"administrator"}}` + "\n",
	} {
		f.Add([]byte(lines))
	}
	catalogs := regexp.MustCompile(`(?m)^\{"catalog":.*\n`)
	name := regexp.MustCompile(`(?m)^\{"tenant":\{"name":"([^"]*)"`)
	n := 0
	f.Fuzz(func(t *testing.T, lines []byte) {
		file := fmt.Appendf(nil, "{\"usher_export\":1}\n%s{\"end\":{\"lines\":%d}}\n", lines, 1+bytes.Count(lines, []byte("\n")))
		n++
		start := &usherv1.ImportStart{ImportId: fmt.Sprint(n), ValidateOnly: true, Replace: true}
		if _, err := h.importFile(t.Context(), file, importing{ImportStart: start}); err != nil {
			switch status.Code(err) {
			case codes.InvalidArgument, codes.FailedPrecondition:
			default:
				t.Errorf("%q is refused with %v", lines, err)
			}
			return
		}
		start.ValidateOnly = false
		h.mustImport(t, file, start)
		var exported []byte
		for _, found := range name.FindAllSubmatch(lines, -1) {
			one := catalogs.ReplaceAll(h.export(t, string(found[1])), nil)
			body := one[bytes.IndexByte(one, '\n')+1:]
			exported = append(exported, body[:bytes.LastIndex(body, []byte(`{"end":`))]...)
		}
		if want := catalogs.ReplaceAll(lines, nil); !bytes.Equal(exported, want) {
			t.Errorf("exported is\n%s\nof\n%s", exported, want)
		}
	})
}
