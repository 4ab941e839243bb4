package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// tokenPrefix begins every token, so that one is known for what it is where it doesn't belong.
const tokenPrefix = "usher_"

// hashPrefix begins the hash of a token in the tokens file.
const hashPrefix = "sha256:"

// tokenLike matches what may be a token, or the most of one.
var tokenLike = regexp.MustCompile(tokenPrefix + `[A-Za-z0-9_-]{32,}`)

// refuseTokens refuses a file with a token in it, wherever it stands: no error may repeat it, and no caller be
// called so.
func refuseTokens(text []byte) error {
	if at := tokenLike.FindIndex(text); at != nil {
		return fmt.Errorf("line %d: there is a token in it, where only its name or its hash belongs: "+
			"somebody may have read it, so make another one with usher token new", 1+bytes.Count(text[:at[0]], []byte("\n")))
	}
	return nil
}

// NewToken makes a token of 256 random bits. The line "NAME HASH" in the tokens file makes it valid;
// the token itself is kept by the caller alone.
func NewToken() (token, hash string) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // it never fails
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret[:])
	sum := sha256.Sum256([]byte(token))
	return token, hashPrefix + hex.EncodeToString(sum[:])
}

// Tokens are the bearer tokens that are valid, by their SHA-256.
type Tokens struct {
	// named are the names of the tokens by the beginnings of their hashes. Where a look-up ends early
	// or late tells something of the hash of what was sent, which the sender knows.
	named map[[8]byte][]namedHash
}

type namedHash struct {
	name string
	hash [sha256.Size]byte
}

// ParseTokens reads a tokens file: lines "NAME sha256:HEX", empty ones, and ones that begin with #. A
// name may be there several times, while its token is replaced. No error has anything of a line in it
// but its number and the name.
func ParseTokens(text []byte) (*Tokens, error) {
	if err := refuseTokens(text); err != nil {
		return nil, err
	}
	tokens := &Tokens{named: map[[8]byte][]namedHash{}}
	lines := map[[sha256.Size]byte]int{}
	var faults []error
	n := 0
	for line := range bytes.Lines(text) {
		n++
		entry := strings.TrimSpace(string(line))
		if entry == "" || strings.HasPrefix(entry, "#") {
			continue
		}
		parsed, err := parseToken(entry)
		if err == nil && lines[parsed.hash] > 0 {
			err = fmt.Errorf("the same token is in line %d: it has one name", lines[parsed.hash])
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		lines[parsed.hash] = n
		beginning := [8]byte(parsed.hash[:])
		tokens.named[beginning] = append(tokens.named[beginning], parsed)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return tokens, nil
}

func parseToken(line string) (namedHash, error) {
	var t namedHash
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return t, errors.New("it has to be NAME sha256:HEX, as usher token new prints it")
	}
	if t.name = fields[0]; !isName.MatchString(t.name) {
		return t, errors.New("the name has to be of letters, digits, ., _ and -, up to 64 of them")
	}
	digits, has := strings.CutPrefix(fields[1], hashPrefix)
	hash, err := hex.DecodeString(digits)
	if !has || err != nil || len(hash) != sha256.Size {
		return t, fmt.Errorf("after the name %s comes sha256: and 64 hexadecimal digits, as usher token new prints it", t.name)
	}
	copy(t.hash[:], hash)
	return t, nil
}

// name returns the name of a token, if it is valid.
func (t *Tokens) name(token string) (name string, valid bool) {
	hash := sha256.Sum256([]byte(token))
	for _, candidate := range t.named[[8]byte(hash[:])] {
		if subtle.ConstantTimeCompare(candidate.hash[:], hash[:]) == 1 {
			return candidate.name, true
		}
	}
	return "", false
}

// names are the names of all tokens, in order.
func (t *Tokens) names() []string {
	names := map[string]bool{}
	for _, hashes := range t.named {
		for _, h := range hashes {
			names[h.name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}
