package access_test

import (
	"strings"
	"testing"

	"github.com/usher-pdp/usher/server/access"
)

// goodCaller is a caller with one more line.
func goodCaller(line string) string {
	return "callers:\n  - name: tickets\n    identities: [token:tickets]\n    may: {decision: read}\n    tenants: [acme]\n" + line
}

func TestAccessFileFaultsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	secret, _ := access.NewToken()
	for about, c := range map[string]struct{ file, want string }{
		"empty":                        {"", "it is empty"},
		"a comment":                    {"# nothing\n", "it is empty"},
		"no YAML":                      {"callers: [", "line 1"},
		"a bare star":                  {"callers:\n  - tenants: [*]", `tenants: ["*"]`},
		"an alias":                     {"callers:\n  - name: &a b\n    tenants: [*a]", "line 3: tenants: an alias"},
		"two documents":                {goodCaller("---\nx: y\n"), "after the end"},
		"a list":                       {"- a", "line 1: the file has to have keys"},
		"an unknown key":               {"caller: []", `line 1: unknown key "caller": did you mean "callers"?`},
		"no callers":                   {"{}", "callers are missing"},
		"an empty list of callers":     {"callers: []", "callers: the list is empty"},
		"a caller that is a text":      {"callers: [a]", "line 1: a caller has to have keys"},
		"an unknown key of a caller":   {goodCaller("    tennants: [b]\n"), `line 6: unknown key "tennants": did you mean "tenants"?`},
		"a key twice":                  {goodCaller("    name: b\n"), "line 6: name is there already, in line 2"},
		"no name":                      {"callers:\n  - identities: [uid:1]\n    may: {metrics: read}", "line 2: a caller has no name"},
		"a name with a space":          {strings.Replace(goodCaller(""), "name: tickets", "name: a b", 1), "line 2: name: it has to be of letters"},
		"a name twice":                 {goodCaller("  - name: tickets\n    identities: [uid:1]\n    may: {metrics: read}\n"), `line 6: name: there is a caller "tickets" in line 2`},
		"no identities":                {"callers:\n  - name: a\n    may: {metrics: read}", "line 2: a has no identities"},
		"an identity of two":           {goodCaller("  - name: b\n    identities: [uid:1, token:tickets]\n    may: {metrics: read}\n"), "line 7: identities: token:tickets is there already, in line 3"},
		"an identity twice":            {goodCaller("  - name: b\n    identities: [uid:1, uid:01]\n    may: {metrics: read}\n"), "line 7: identities: uid:01 is there already"},
		"an unknown kind":              {strings.Replace(goodCaller(""), "token:", "tokn:", 1), `line 3: identities: unknown kind "tokn": did you mean "token"?`},
		"a token without a name":       {strings.Replace(goodCaller(""), "token:tickets", `"token:"`, 1), "after token: comes the name"},
		"a URI without a scheme":       {strings.Replace(goodCaller(""), "token:tickets", "uri:tickets", 1), "no whole URI"},
		"a DNS name with a star":       {strings.Replace(goodCaller(""), "token:tickets", "'dns:*.internal'", 1), "no DNS name"},
		"a user by name":               {strings.Replace(goodCaller(""), "token:tickets", "uid:root", 1), "after uid: comes a number"},
		"a group that is too large":    {strings.Replace(goodCaller(""), "token:tickets", "gid:4294967296", 1), "after gid: comes a number"},
		"an anonymous somebody":        {strings.Replace(goodCaller(""), "token:tickets", "anonymous:ann", 1), "anonymous stands alone"},
		"may nothing":                  {strings.Replace(goodCaller(""), "{decision: read}", "{}", 1), "line 2: tickets may nothing"},
		"an unknown service":           {strings.Replace(goodCaller(""), "{decision: read}", "{decisions: read}", 1), `line 4: unknown key "decisions": did you mean "decision"?`},
		"an unknown right":             {strings.Replace(goodCaller(""), "decision: read", "admin: wirte", 1), `line 4: admin: unknown "wirte": did you mean "write"?`},
		"writing decisions":            {strings.Replace(goodCaller(""), "decision: read", "decision: write", 1), "line 4: decision: nothing can be written there"},
		"writing metrics":              {strings.Replace(goodCaller(""), "decision: read", "metrics: write", 1), "line 4: metrics: nothing can be written there"},
		"writing reflection":           {strings.Replace(goodCaller(""), "decision: read", "reflection: write", 1), "line 4: reflection: nothing can be written there"},
		"no tenants for decisions":     {strings.Replace(goodCaller(""), "    tenants: [acme]\n", "", 1), "line 2: tickets sees no tenant"},
		"no tenants in the list":       {strings.Replace(goodCaller(""), "[acme]", "[]", 1), "tenants: the list is empty"},
		"a tenant twice":               {strings.Replace(goodCaller(""), "[acme]", "[acme, acme]", 1), `line 5: tenants: "acme" is there twice`},
		"a star in the middle":         {strings.Replace(goodCaller(""), "[acme]", "[a*e]", 1), `"a*e" is no name of a tenant`},
		"two stars":                    {strings.Replace(goodCaller(""), "[acme]", "[a**]", 1), `"a**" is no name of a tenant`},
		"a tenant that is null":        {strings.Replace(goodCaller(""), "[acme]", "[~]", 1), `"~" is no name of a tenant`},
		"tenants without use":          {strings.Replace(goodCaller(""), "decision: read", "metrics: read", 1), "line 5: tenants are of use only"},
		"an actor without use":         {goodCaller("    actor: true\n"), "line 6: actor is of use only with admin"},
		"an operator without use":      {goodCaller("    operator: true\n"), "line 6: operator is of use only with admin"},
		"an actor that is neither":     {goodCaller("    actor: yes\n"), "line 6: actor: it has to be true or false"},
		"an actor in quotes":           {goodCaller("    actor: \"true\"\n"), "line 6: actor: it has to be true or false"},
		"decisions for anybody":        {strings.Replace(goodCaller(""), "token:tickets", "anonymous", 1), "line 4: whoever is anonymous may only be given metrics and reflection"},
		"administration for anybody":   {strings.NewReplacer("token:tickets", "uid:1, anonymous", "decision", "admin").Replace(goodCaller("")), "whoever is anonymous"},
		"the operator's for anybody":   {strings.NewReplacer("token:tickets", "anonymous", "decision", "operator").Replace(goodCaller("")), "whoever is anonymous"},
		"a token where its name is":    {strings.Replace(goodCaller(""), "token:tickets", "token:"+secret, 1), "line 3: there is a token"},
		"a token for an identity":      {strings.Replace(goodCaller(""), "token:tickets", secret, 1), "line 3: there is a token"},
		"a token for a name":           {strings.Replace(goodCaller(""), "name: tickets", "name: "+secret, 1), "line 2: there is a token"},
		"a token for a key":            {goodCaller("    " + secret + ": true\n"), "line 6: there is a token"},
		"a token in a comment":         {goodCaller("# " + secret + "\n"), "line 6: there is a token"},
		"another encoding":             {"\xff\xfec\x00", "UTF-8"},
		"a fault in each of two lines": {strings.NewReplacer("decision: read", "decision: write", "[acme]", "[a b]").Replace(goodCaller("")), "\nline 5: tenants"},
	} {
		policy, err := access.ParsePolicy([]byte(c.file))
		if err == nil || policy != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", about, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: a token is in the error %v", about, err)
		}
	}
}

func TestTokensFileFaultsSayWhereAndNotWhat(t *testing.T) {
	t.Parallel()
	token, hash := access.NewToken()
	for about, c := range map[string]struct{ file, want string }{
		"a name alone":           {"# tokens\n\nsecretive\n", "line 3: it has to be NAME sha256:HEX"},
		"too much":               {"a " + hash + " # comment", "line 1: it has to be NAME"},
		"a hash that is short":   {"a " + hash[:30], "line 1: after the name a comes sha256:"},
		"another hash":           {"a " + strings.Replace(hash, "sha256", "sha1", 1), "line 1: after the name a comes sha256:"},
		"a bare hash":            {"a " + strings.TrimPrefix(hash, "sha256:"), "line 1: after the name a comes sha256:"},
		"a name with a slash":    {"a/b " + hash, "line 1: the name has to be of letters"},
		"a token":                {"a " + token, "line 1: there is a token"},
		"a token for a name":     {token + " " + hash, "line 1: there is a token"},
		"a token in a comment":   {"a " + hash + "\n# " + token, "line 2: there is a token"},
		"one token for two":      {"a " + hash + "\nb " + hash, "line 2: the same token is in line 1"},
		"a fault in each of two": {"x\ny\n", "\nline 2:"},
	} {
		tokens, err := access.ParseTokens([]byte(c.file))
		if err == nil || tokens != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", about, err, c.want)
			continue
		}
		if strings.Contains(err.Error(), "secretive") || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), hash[7:20]) {
			t.Errorf("%s: something of the line is in the error %v", about, err)
		}
	}
	for _, good := range []string{"", "# none\n", "  a\t" + strings.ToUpper(hash[7:]) + "\n"} {
		if _, err := access.ParseTokens([]byte(strings.Replace(good, "\t", " sha256:", 1))); err != nil {
			t.Errorf("%q: got %v", good, err)
		}
	}
}
