package server_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/usher-pdp/usher/server/policy/tables"
)

// tablesDir has the test tables, beside the catalogs.
const tablesDir = "policy/catalogs"

func tableFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(tablesDir, "*_test.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tables in %s: %v", tablesDir, err)
	}
	return files
}

// readTable reads a table and reports every case that can't be understood.
func readTable(t *testing.T, file string) *tables.Table {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	in, err := tables.Read(file, text)
	if err != nil {
		t.Fatal(err)
	}
	return in
}
