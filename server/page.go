package server

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"
)

// filter is a digest of what a list is about: the list, the tenant's internal id and
// the filter of the request. A page token carries it, so that it can't be used to go
// on with another list.
type filter [8]byte

// pageFilter makes the digest of texts, numbers, and lists of them.
func pageFilter(parts ...any) filter {
	digest := sha256.Sum256(fmt.Appendf(nil, "%#v", parts))
	return filter(digest[:len(filter{})])
}

// token makes the token of a page that begins after a position.
func (f filter) token(position ...string) string {
	return base64.RawURLEncoding.EncodeToString(append(f[:], strings.Join(position, "\x00")...))
}

// position reads a token. An empty one stands for the first page: the position before
// everything.
func (f filter) position(token string, parts int) ([]string, error) {
	if token == "" {
		return make([]string, parts), nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < len(f) || !utf8.Valid(raw[len(f):]) {
		return nil, notAToken()
	}
	position := strings.Split(string(raw[len(f):]), "\x00")
	if filter(raw[:len(f)]) != f || len(position) != parts {
		return nil, malformed("page_token", "it belongs to a list with another tenant or filter: begin again without a token")
	}
	return position, nil
}

func notAToken() error {
	return malformed("page_token", "it is not a page token: use the next_page_token of the page before, or none")
}
