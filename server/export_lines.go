package server

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/usher-pdp/usher/store"
)

// exportVersion is the version of the format of exports, as docs/export.md describes it.
const exportVersion = 1

// fileLine is a line of an export: an object with one of these.
type fileLine struct {
	Export     int             `json:"usher_export,omitempty"`
	Catalog    *catalogLine    `json:"catalog,omitempty"`
	Tenant     *tenantLine     `json:"tenant,omitempty"`
	Toggle     *toggleLine     `json:"toggle,omitempty"`
	Assignment *assignmentLine `json:"assignment,omitempty"`
	End        *endLine        `json:"end,omitempty"`
}

type catalogLine struct {
	Name    string `json:"name"`
	Version uint32 `json:"version"`
	YAML    string `json:"yaml"`
}

type tenantLine struct {
	Name           string `json:"name"`
	Catalog        string `json:"catalog"`
	CatalogVersion uint32 `json:"catalog_version"`
	Primary        string `json:"primary_administrator,omitempty"`
	CreatedAt      string `json:"created_at"`
}

type toggleLine struct {
	Name string `json:"name"`
	On   bool   `json:"on"`
}

type assignmentLine struct {
	Subject   string `json:"subject"`
	Role      string `json:"role"`
	Scope     string `json:"scope,omitempty"`
	StartsAt  string `json:"starts_at,omitempty"`
	ExpiresAt string `json:"expires_at,omitempty"`
}

type endLine struct {
	Lines  int64  `json:"lines"`
	SHA256 string `json:"sha256,omitempty"`
}

func tenantLineOf(t store.Tenant) *tenantLine {
	return &tenantLine{
		Name: t.Name, Catalog: t.Catalog.Name, CatalogVersion: t.Catalog.Version,
		Primary: t.Primary, CreatedAt: timeText(t.CreatedAt),
	}
}

func assignmentLineOf(a store.Assignment) *assignmentLine {
	return &assignmentLine{
		Subject: a.Subject, Role: a.Role, Scope: a.Scope,
		StartsAt: timeText(a.Start), ExpiresAt: timeText(a.End),
	}
}

// timeText is how times are written: in UTC, to the nanosecond; "" is none.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// encodeLine writes a line in the one way in which it may be written.
func encodeLine(w io.Writer, line fileLine) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(line)
}

// decodeLine reads a line, and refuses it if it is not written as encodeLine writes it: then it
// has no unknown key, none twice, and none at another place.
func decodeLine(text []byte) (line fileLine, err error) {
	if bytes.HasSuffix(text, []byte("\r\n")) {
		return line, errors.New("it ends in CR LF, as on Windows: an export's lines end in LF alone")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&line)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return line, fmt.Errorf("%s: it can't be the %s that is there", cmp.Or(wrong.Field, "the whole line"), wrong.Value)
	}
	if err != nil {
		return line, fmt.Errorf("it is no object of an export: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	var canonical bytes.Buffer
	if err := encodeLine(&canonical, line); err != nil {
		return line, err
	}
	if !bytes.Equal(canonical.Bytes(), text) {
		return line, fmt.Errorf("it is not written as an export writes it, which is: %s", shortened(strings.TrimSpace(canonical.String())))
	}
	return line, nil
}

// shortened cuts a text that is too long to be read in an error.
func shortened(text string) string {
	const most = 500
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + " …"
	}
	return text
}

// lineWriter writes lines and counts and hashes them.
type lineWriter struct {
	buffer *bufio.Writer
	hash   hash.Hash
	both   io.Writer
	lines  int64
}

func newLineWriter(to io.Writer) *lineWriter {
	w := &lineWriter{buffer: bufio.NewWriterSize(to, 1<<16), hash: sha256.New()}
	w.both = io.MultiWriter(w.buffer, w.hash)
	return w
}

func (w *lineWriter) write(line fileLine) error {
	w.lines++
	return spoolError(encodeLine(w.both, line))
}

// end writes the last line, which shows whether all of them are there.
func (w *lineWriter) end() error {
	return w.write(fileLine{End: &endLine{Lines: w.lines, SHA256: hex.EncodeToString(w.hash.Sum(nil))}})
}

func (w *lineWriter) finish() error { return spoolError(w.buffer.Flush()) }

func spoolError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: the export can't be spooled: %w", store.ErrUnavailable, err)
}

func compareRefs(a, b store.CatalogRef) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
}
