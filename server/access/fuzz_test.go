package access

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// FuzzParsePolicy reads access files. One that is refused is told why, with lines that it has. One
// that is accepted gives each identity what a plain reading of the YAML gives it, and no more.
func FuzzParsePolicy(f *testing.F) {
	for _, file := range []string{
		"",
		"callers: []",
		"callers:\n  - name: ticketing\n    identities: ['uri:spiffe://helpdesk.example/ns/tickets/sa/api', dns:Tickets.internal, token:ticketing, uid:1000, gid:007]\n" +
			"    may: {decision: read, admin: write, operator: read}\n    tenants: [acme, dealer-*]\n    actor: true\n    operator: true\n" +
			"  - name: anybody\n    identities: [anonymous]\n    may: {metrics: read, reflection: read}\n",
		"callers: [{name: a, identities: [token:a], may: {decision: read}, tenants: ['*']}]",
		"callers: [{name: a, identities: [token:a], may: {decision: write}, tenants: ['*']}]",
		"callers: [{name: a, identities: [anonymous], may: {decision: read}, tenants: ['*']}]",
		"callers: [{name: a, identities: [token:usher_secret], may: {metrics: read}}]",
		"callers: [{name: a, identities: [uid:0], may: {operator: write}}, {name: b, identities: [uid:00], may: {metrics: read}}]",
		"callers: [&a {name: a, identities: [uid:0], may: {operator: write}}, *a]",
		"callers: [{<<: {name: a}, identities: [uid:0], may: {operator: write}, tenants: [null]}]",
		"callers: [{name: a, identities: [uid:4294967296], may: {operator: write}, actor: yes}]",
		"callers: {}\n---\ncallers: []\n",
		"calers: []\n\xff",
		"callers: &a [*a]", "callers: !!binary aGk=", "? [a]\n: b", "{callers: {callers: {callers: [[[]]]}}}", "<<: {callers: []}", "a: 'b",
	} {
		f.Add([]byte(file))
	}
	fault := regexp.MustCompile(`^line (\d+): .`)
	f.Fuzz(func(t *testing.T, file []byte) {
		policy, err := ParsePolicy(file)
		if err != nil {
			if policy != nil || err.Error() == "" {
				t.Errorf("got %v with %v", policy, err)
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if found := fault.FindStringSubmatch(line); found != nil {
					if n, err := strconv.Atoi(found[1]); err != nil || n < 1 || n > len(file)+1 {
						t.Errorf("%q has not the line of %q", file, line)
					}
				}
			}
			return
		}
		var plain struct {
			Callers []struct {
				Identities      []string
				May             map[Service]string
				Tenants         []string
				Actor, Operator bool
			}
		}
		if err := yaml.Unmarshal(file, &plain); err != nil {
			t.Fatalf("%q is accepted, and can't be read: %v", file, err)
		}
		count := 0
		for _, want := range plain.Callers {
			for _, text := range want.Identities {
				i, err := parseIdentity(text)
				got := policy.callers[i]
				if count++; err != nil || got == nil {
					t.Fatalf("%q: %s is nobody: %v", file, text, err)
				}
				for _, service := range []Service{Decision, Admin, Operator, Metrics, Reflection, ""} {
					given := want.May[service]
					if got.May(service, false) != (given != "") || got.May(service, true) != (given == "write") {
						t.Errorf("%q: %s is given %q on %q, and it may read: %t, write: %t", file, text, given, service, got.May(service, false), got.May(service, true))
					}
					if given != "" && text == kindAnonymous && service != Metrics && service != Reflection {
						t.Errorf("%q lets anybody in to %s", file, service)
					}
				}
				if got.MayNameActors() != want.Actor || got.MayBeOperator() != want.Operator || got.SeesAll() != slices.Contains(want.Tenants, "*") {
					t.Errorf("%q: %s is %+v", file, text, got)
				}
				for _, tenant := range append([]string{"a", "acme", "zz-stranger"}, want.Tenants...) {
					sees := slices.ContainsFunc(want.Tenants, func(name string) bool {
						beginning, open := strings.CutSuffix(name, "*")
						return name == tenant || open && strings.HasPrefix(tenant, beginning)
					})
					if got.Sees(tenant) != sees {
						t.Errorf("%q: %s sees %q: %t, want %t", file, text, tenant, !sees, sees)
					}
				}
			}
		}
		if count == 0 || count != len(policy.callers) {
			t.Errorf("%q names %d identities, and %d are known", file, count, len(policy.callers))
		}
	})
}

// FuzzParseTokens reads tokens files. A token is valid where its hash is, and no other; no error has a
// hash or a token in it.
func FuzzParseTokens(f *testing.F) {
	for _, file := range []string{"", "# tokens\n\n", "a sha256:" + strings.Repeat("0f", 32), "a sha256:00\n", "a b c\n", "a\tsha256:\r\n", "usher_a b", "\xff \x00"} {
		f.Add([]byte(file), "usher_secret-of-the-ticket-system")
		f.Add([]byte(file), "")
	}
	f.Fuzz(func(t *testing.T, file []byte, secret string) {
		if len(secret) > 16 && strings.Contains(string(file), secret) {
			return // it may be there as a name
		}
		sum := sha256.Sum256([]byte(secret))
		digits := hex.EncodeToString(sum[:])
		secretive := func(err error) {
			if strings.Contains(err.Error(), digits[:16]) || len(secret) > 16 && strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows a secret: %v", err)
			}
		}
		before, beforeErr := ParseTokens(file)
		tokens, err := ParseTokens(append(slices.Clone(file), "\nthe-name "+hashPrefix+digits+"\n"...))
		switch {
		case err != nil:
			secretive(err)
			if beforeErr == nil {
				if _, there := before.name(secret); !there {
					t.Errorf("a line more makes %q wrong: %v", file, err)
				}
			}
		case beforeErr != nil:
			t.Errorf("a line more makes %q right: %v", file, beforeErr)
		default:
			if name, valid := tokens.name(secret); !valid || name != "the-name" {
				t.Errorf("the token is %q, %t", name, valid)
			}
			if name, valid := tokens.name(secret + "x"); valid {
				t.Errorf("another token is %q", name)
			}
			if want := append(before.names(), "the-name"); !slices.Equal(tokens.names(), slices.Compact(slices.Sorted(slices.Values(want)))) {
				t.Errorf("got the names %q, want %q", tokens.names(), want)
			}
		}
		token, hash := NewToken()
		if _, err := ParseTokens(append(slices.Clone(file), "\nthe-name "+token+"\n"...)); err == nil {
			t.Errorf("a token is taken for its hash")
		} else if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), strings.TrimPrefix(hash, hashPrefix)) {
			t.Errorf("the error shows a token: %v", err)
		}
	})
}
