package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/usher-pdp/usher/server/policy"
)

// ParsePolicy reads an access file. The error has a line for each fault, with its place in the file.
func ParsePolicy(text []byte) (*Policy, error) {
	if err := refuseTokens(text); err != nil {
		return nil, err
	}
	root, err := readYAML(text)
	if err != nil {
		return nil, err
	}
	f := &policyFile{policy: &Policy{callers: map[identity]*Caller{}}, names: map[string]int{}, lines: map[identity]int{}}
	callers := f.fields(root, "the file", "callers")["callers"]
	if callers == nil && len(f.faults) == 0 {
		f.fault(root, "callers are missing: without one nobody may call")
	}
	for _, node := range f.list(callers, "callers") {
		f.readCaller(node)
	}
	if len(f.faults) > 0 {
		return nil, errors.New(strings.Join(f.faults, "\n"))
	}
	return f.policy, nil
}

// readYAML reads the one document of a file.
func readYAML(text []byte) (*yaml.Node, error) {
	if !utf8.Valid(text) { // YAML may be in other encodings, in which a token would not be found
		return nil, errors.New("it is not text in UTF-8")
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0:
		return nil, errors.New("it is empty: name callers in it")
	case err != nil:
		return nil, fmt.Errorf(`%w; write what has special characters in quotes, such as tenants: ["*"]`, err)
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the end of the YAML document: write all callers into one document")
	}
	return document.Content[0], nil
}

// policyFile is an access file that is read node by node, so that each fault has its line.
type policyFile struct {
	policy *Policy
	names  map[string]int   // the lines of the callers by name
	lines  map[identity]int // the lines of the identities
	faults []string
}

func (f *policyFile) fault(at *yaml.Node, format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf("line %d: %s", at.Line, fmt.Sprintf(format, args...)))
}

// readCaller reads one caller. What is said twice, unknown or without effect is a fault.
func (f *policyFile) readCaller(node *yaml.Node) {
	before := len(f.faults)
	fields := f.fields(node, "a caller", "name", "identities", "may", "tenants", "actor", "operator")
	if fields == nil {
		return
	}
	c := &Caller{
		may:      f.may(fields["may"]),
		actor:    f.yes(fields["actor"], "actor"),
		operator: f.yes(fields["operator"], "operator"),
	}
	f.name(c, node, fields["name"])
	f.tenants(c, fields["tenants"])
	f.identities(c, fields["identities"])
	if len(f.faults) > before {
		return // what follows is about what the fields mean together
	}
	_, decides := c.may[Decision]
	_, administers := c.may[Admin]
	_, operates := c.may[Operator]
	switch {
	case len(c.may) == 0:
		f.fault(node, "%s may nothing: say what, such as may: {decision: read}", c.name)
	case fields["identities"] == nil || len(fields["identities"].Content) == 0:
		f.fault(node, "%s has no identities: name one, such as token:%[1]s", c.name)
	case (decides || administers) && !c.allTenants && len(c.tenants)+len(c.beginnings) == 0:
		f.fault(node, `%s sees no tenant: name tenants, or tenants: ["*"] for all`, c.name)
	case fields["tenants"] != nil && !decides && !administers && !operates:
		f.fault(fields["tenants"], "tenants are of use only with decision, admin or operator in may")
	case c.actor && !administers:
		f.fault(fields["actor"], "actor is of use only with admin in may")
	case c.operator && !administers:
		f.fault(fields["operator"], "operator is of use only with admin in may; the service of that name is given by may: {operator: read}")
	case f.policy.callers[identity{kind: kindAnonymous}] == c && (decides || administers || operates):
		f.fault(fields["may"], "whoever is anonymous may only be given metrics and reflection: take another identity for the rest")
	}
}

func (f *policyFile) name(c *Caller, caller, node *yaml.Node) {
	if node == nil {
		f.fault(caller, "a caller has no name")
		return
	}
	c.name = f.text(node, "name")
	switch line := f.names[c.name]; {
	case !isName.MatchString(c.name):
		f.fault(node, "name: it has to be of letters, digits, ., _ and -, up to 64 of them")
	case line > 0:
		f.fault(node, "name: there is a caller %q in line %d: give a caller all of its identities in one place", c.name, line)
	default:
		f.names[c.name] = node.Line
	}
}

// isName matches names of callers and tokens.
var isName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (f *policyFile) may(node *yaml.Node) map[Service]bool {
	services := []string{string(Decision), string(Admin), string(Operator), string(Metrics), string(Reflection)}
	may := map[Service]bool{}
	for service, given := range f.fields(node, "may", services...) {
		right := f.text(given, service)
		readOnly := service != string(Admin) && service != string(Operator)
		switch {
		case right == "": // a fault already
		case right == "write" && readOnly:
			f.fault(given, "%s: nothing can be written there: read", service)
		case right != "read" && right != "write":
			f.fault(given, "%s: unknown %q: %s", service, right, policy.Suggest(right, []string{"read", "write"}))
		}
		may[Service(service)] = right == "write"
	}
	return may
}

func (f *policyFile) tenants(c *Caller, node *yaml.Node) {
	c.tenants = map[string]bool{}
	for _, item := range f.list(node, "tenants") {
		name := f.text(item, "tenants")
		beginning, open := strings.CutSuffix(name, "*")
		switch {
		case c.tenants[name] || open && slices.Contains(c.beginnings, beginning) || name == "*" && c.allTenants:
			f.fault(item, "tenants: %q is there twice", name)
		case name == "*":
			c.allTenants = true
		case !isTenant.MatchString(beginning):
			f.fault(item, "tenants: %q is no name of a tenant: letters, digits, ., _ and -; or the beginning of names with a * behind it", name)
		case open:
			c.beginnings = append(c.beginnings, beginning)
		default:
			c.tenants[name] = true
		}
	}
}

// isTenant matches names of tenants and their beginnings.
var isTenant = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

func (f *policyFile) identities(c *Caller, node *yaml.Node) {
	for _, item := range f.list(node, "identities") {
		text := f.text(item, "identities")
		if text == "" {
			continue // a fault already
		}
		found, err := parseIdentity(text)
		if err != nil {
			f.fault(item, "identities: %v", err)
			continue
		}
		if line := f.lines[found]; line > 0 {
			f.fault(item, "identities: %s is there already, in line %d: an identity belongs to one caller", text, line)
			continue
		}
		f.lines[found] = item.Line
		f.policy.callers[found] = c
	}
}

// parseIdentity reads an identity and brings it into its only spelling.
func parseIdentity(text string) (identity, error) {
	kind, value, has := strings.Cut(text, ":")
	i := identity{kind, value}
	switch kind {
	case kindURI:
		u, err := url.Parse(value)
		if err != nil || u.Scheme == "" || u.Host == "" || u.String() != value {
			return i, fmt.Errorf("%q is no whole URI, as in uri:spiffe://helpdesk.example/ns/tickets/sa/api", value)
		}
	case kindDNS:
		if i.value = strings.ToLower(value); !isDNS.MatchString(i.value) {
			return i, fmt.Errorf("%q is no DNS name, as in dns:tickets.internal; * stands for nothing there", value)
		}
	case kindToken:
		if !isName.MatchString(value) {
			return i, errors.New("after token: comes the name of a token in the tokens file, of letters, digits, ., _ and -")
		}
	case kindUID, kindGID:
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return i, fmt.Errorf("after %s: comes a number, as in %[1]s:1000", kind)
		}
		i.value = strconv.FormatUint(n, 10)
	case kindAnonymous:
		if has {
			return i, errors.New("anonymous stands alone")
		}
	default:
		return i, fmt.Errorf("unknown kind %q: %s; an identity is uri:…, dns:…, token:…, uid:…, gid:… or anonymous",
			kind, policy.Suggest(kind, []string{kindURI, kindDNS, kindToken, kindUID, kindGID, kindAnonymous}))
	}
	return i, nil
}

// isDNS matches DNS names in lower case.
var isDNS = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?$`)

// fields returns the values of a mapping by key. Unknown keys are faults. It returns nil for what is
// no mapping.
func (f *policyFile) fields(node *yaml.Node, what string, keys ...string) map[string]*yaml.Node {
	if node == nil {
		return nil
	}
	if node.Kind != yaml.MappingNode {
		f.fault(node, "%s has to have keys with values: %s", what, strings.Join(keys, ", "))
		return nil
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch earlier := fields[key.Value]; {
		case key.Kind != yaml.ScalarNode || !slices.Contains(keys, key.Value):
			f.fault(key, "unknown key %q: %s", key.Value, policy.Suggest(key.Value, keys))
		case earlier != nil:
			f.fault(key, "%s is there already, in line %d", key.Value, earlier.Line)
		default:
			fields[key.Value] = value
		}
	}
	return fields
}

// list returns the items of a list; there are none of a nil node.
func (f *policyFile) list(node *yaml.Node, what string) []*yaml.Node {
	switch {
	case node == nil:
		return nil
	case node.Kind != yaml.SequenceNode:
		f.fault(node, "%s: it has to be a list", what)
		return nil
	case len(node.Content) == 0:
		f.fault(node, "%s: the list is empty", what)
	}
	return node.Content
}

// text returns a text as it is written. A number is one, too: a tenant may be called 2024.
func (f *policyFile) text(node *yaml.Node, what string) string {
	switch {
	case node.Kind == yaml.AliasNode:
		f.fault(node, `%s: an alias is not understood: write out what is meant, and * in quotes, as in tenants: ["*"]`, what)
	case node.Kind != yaml.ScalarNode || node.Value == "":
		f.fault(node, "%s: a text is missing", what)
	default:
		return node.Value
	}
	return ""
}

// yes returns a value that is true or false; a nil node is false.
func (f *policyFile) yes(node *yaml.Node, what string) bool {
	if node == nil {
		return false
	}
	if node.ShortTag() != "!!bool" || node.Value != "true" && node.Value != "false" {
		f.fault(node, "%s: it has to be true or false", what)
	}
	return node.Value == "true"
}
