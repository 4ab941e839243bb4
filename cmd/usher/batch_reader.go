package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// batchReader turns the nodes of a file into a batch. It collects all faults.
type batchReader struct {
	*batch
	now    time.Time
	faults []error
}

func (r *batchReader) fault(at *yaml.Node, format string, args ...any) {
	place := fmt.Sprintf("%s:%d:%d: ", r.file, at.Line, at.Column)
	r.faults = append(r.faults, fmt.Errorf(place+format, args...))
}

func (r *batchReader) read(root *yaml.Node) {
	fields := r.fields(root, "a batch", "tenant", "reason", "acts")
	r.tenant = r.need(fields, root, "tenant")
	r.reason = r.text(fields, "reason")
	acts := fields["acts"]
	if acts == nil || acts.Kind != yaml.SequenceNode || len(acts.Content) == 0 {
		r.fault(root, "acts: say what to do, as a list of grant, revoke, change, remove and toggle")
		return
	}
	for _, node := range acts.Content {
		r.lines = append(r.lines, node.Line)
		r.acts = append(r.acts, r.act(node))
	}
}

// actFields are the fields of an act beside the one that names it. The value of that one is
// the subject, or the toggle.
var actFields = map[string][]string{
	"grant":  {"role", "scope", "from", "until", "expect"},
	"revoke": {"role", "scope", "everywhere", "expect"},
	"change": {"role", "to", "scopes", "from", "until", "expect"},
	"remove": {"expect"},
	"toggle": {"state", "expect"},
}

func (r *batchReader) act(node *yaml.Node) *usherv1.Act {
	kind := r.kind(node)
	if kind == "" {
		return nil
	}
	fields := r.fields(node, "an act "+kind, append([]string{kind}, actFields[kind]...)...)
	about := r.need(fields, node, kind)
	act := &usherv1.Act{ExpectedRevision: r.text(fields, "expect")}
	switch kind {
	case "grant":
		g := &usherv1.GrantAct{Subject: about, Role: r.need(fields, node, "role"), Scope: r.text(fields, "scope")}
		g.StartsAt, g.ExpiresAt = r.interval(fields)
		act.Act = &usherv1.Act_Grant{Grant: g}
	case "revoke":
		act.Act = &usherv1.Act_Revoke{Revoke: &usherv1.RevokeAct{
			Subject: about, Role: r.need(fields, node, "role"), Scope: r.text(fields, "scope"), Everywhere: r.truth(fields, "everywhere"),
		}}
	case "change":
		c := &usherv1.ChangeRoleAct{
			Subject: about, From: r.need(fields, node, "role"), To: r.need(fields, node, "to"), Scopes: r.list(fields, "scopes"),
		}
		c.StartsAt, c.ExpiresAt = r.interval(fields)
		act.Act = &usherv1.Act_ChangeRole{ChangeRole: c}
	case "remove":
		act.Act = &usherv1.Act_RemoveSubject{RemoveSubject: &usherv1.RemoveSubjectAct{Subject: about}}
	case "toggle":
		act.Act = &usherv1.Act_SetToggle{SetToggle: &usherv1.SetToggleAct{Toggle: about, State: r.state(fields, node)}}
	}
	return act
}

// kind returns the one key of an act that says what to do, or "" after a fault.
func (r *batchReader) kind(node *yaml.Node) string {
	var kinds []string
	if node.Kind == yaml.MappingNode {
		for i := 0; i < len(node.Content); i += 2 {
			if key := node.Content[i].Value; actFields[key] != nil && !slices.Contains(kinds, key) {
				kinds = append(kinds, key)
			}
		}
	}
	switch len(kinds) {
	case 0:
		r.fault(node, "an act says grant, revoke, change, remove or toggle, such as 'grant: user:ann@dealer.example'")
		return ""
	case 1:
		return kinds[0]
	}
	r.fault(node, "an act is one thing, and not %s: begin another one with '-'", strings.Join(kinds, " and "))
	return ""
}

// fields returns the values of a mapping that may have these keys, each once.
func (r *batchReader) fields(node *yaml.Node, what string, known ...string) map[string]*yaml.Node {
	fields := map[string]*yaml.Node{}
	if node.Kind != yaml.MappingNode {
		r.fault(node, "%s has fields: %s", what, strings.Join(known, ", "))
		return fields
	}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case !slices.Contains(known, key.Value):
			r.fault(key, "%s has no field %q, but %s", what, key.Value, strings.Join(known, ", "))
		case fields[key.Value] != nil:
			r.fault(key, "%s is said twice", key.Value)
		default:
			fields[key.Value] = value
		}
	}
	return fields
}

// text returns the value of a field, or "" if it is not there.
func (r *batchReader) text(fields map[string]*yaml.Node, name string) string {
	node := fields[name]
	if node == nil {
		return ""
	}
	return r.scalar(node, name)
}

func (r *batchReader) scalar(node *yaml.Node, name string) string {
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" || node.Value == "" {
		r.fault(node, "%s: write one value, or leave it out", name)
		return ""
	}
	return node.Value
}

// need is text for a field that has to be there.
func (r *batchReader) need(fields map[string]*yaml.Node, in *yaml.Node, name string) string {
	if fields[name] == nil {
		r.fault(in, "%s is missing", name)
	}
	return r.text(fields, name)
}

func (r *batchReader) list(fields map[string]*yaml.Node, name string) (texts []string) {
	node := fields[name]
	if node == nil {
		return nil
	}
	if node.Kind != yaml.SequenceNode {
		r.fault(node, "%s: write a list, as [team:parts, team:service]", name)
		return nil
	}
	for _, item := range node.Content {
		texts = append(texts, r.scalar(item, name))
	}
	return texts
}

func (r *batchReader) truth(fields map[string]*yaml.Node, name string) bool {
	text := r.text(fields, name)
	if text != "" && text != "true" && text != "false" {
		r.fault(fields[name], "%s is true or false", name)
	}
	return text == "true"
}

func (r *batchReader) state(fields map[string]*yaml.Node, in *yaml.Node) usherv1.ToggleState {
	text := r.need(fields, in, "state")
	if text == "" {
		return 0
	}
	state, err := parseSwitch(text)
	if err != nil {
		r.fault(fields["state"], "%w", err)
	}
	return state
}

func (r *batchReader) interval(fields map[string]*yaml.Node) (starts, expires *timestamppb.Timestamp) {
	i := interval{from: r.text(fields, "from"), until: r.text(fields, "until")}
	r.relative = r.relative || i.isRelative()
	starts, expires, err := i.parse("", r.now)
	if err != nil {
		at := fields["until"]
		if _, err := parseMoment("", i.from, r.now); err != nil {
			at = fields["from"]
		}
		r.fault(at, "%w", err)
	}
	return starts, expires
}
