package access_test

import (
	"os"
	"path/filepath"
	"testing"
)

// files are the three files of a server, in a directory of the test.
type files struct{ cert, key, clientCA string }

func writeFiles(t *testing.T, cert, key, clientCA []byte) files {
	t.Helper()
	dir := t.TempDir()
	f := files{cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key"), clientCA: filepath.Join(dir, "ca.crt")}
	write(t, f.cert, cert)
	write(t, f.key, key)
	write(t, f.clientCA, clientCA)
	return f
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
