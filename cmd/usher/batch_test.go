package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func TestABatchIsReadAsItIsWritten(t *testing.T) {
	now := time.Date(2026, 12, 20, 12, 0, 0, 0, time.UTC)
	b, err := readBatch("staff.yaml", strings.NewReader(`
tenant: demo-dealer
reason: spring rota
acts:
  - grant: user:ann@dealer.example
    role: advisor
    scope: team:parts
    until: 2h
    expect: e.7
  - {revoke: "user:ben@dealer.example", role: advisor, everywhere: true}
  - change: user:carla@dealer.example
    role: advisor
    to: view_only
    scopes: [team:parts, team:service]
    from: 2027-01-01T00:00:00Z
  - remove: user:elif@dealer.example
  - toggle: advisor_broadcast_create
    state: on
`), now)
	if err != nil {
		t.Fatal(err)
	}
	want := &usherv1.BatchWriteRequest{}
	err = prototext.Unmarshal([]byte(`
		acts { grant { subject: "user:ann@dealer.example" role: "advisor" scope: "team:parts" expires_at { seconds: 1797775200 } } expected_revision: "e.7" }
		acts { revoke { subject: "user:ben@dealer.example" role: "advisor" everywhere: true } }
		acts { change_role { subject: "user:carla@dealer.example" from: "advisor" to: "view_only"
			scopes: "team:parts" scopes: "team:service" starts_at { seconds: 1798761600 } } }
		acts { remove_subject { subject: "user:elif@dealer.example" } }
		acts { set_toggle { toggle: "advisor_broadcast_create" state: TOGGLE_STATE_ON } }
	`), want)
	if err != nil {
		t.Fatal(err)
	}
	if got := (&usherv1.BatchWriteRequest{Acts: b.acts}); !proto.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", prototext.Format(got), prototext.Format(want))
	}
	if b.tenant != "demo-dealer" || b.reason != "spring rota" || !b.relative {
		t.Errorf("tenant %q, reason %q, relative: %v", b.tenant, b.reason, b.relative)
	}
}

func TestFaultsOfABatchHaveTheirPlace(t *testing.T) {
	const head = "tenant: t\nacts:\n"
	for name, test := range map[string]struct{ text, want string }{
		"empty":               {"", "f is empty"},
		"no YAML":             {"tenant: t\nacts: [\n", "f: yaml: line 2"},
		"a list":              {"- grant: user:a", "f:1:1: a batch has fields: tenant, reason, acts"},
		"no tenant":           {"acts: [{remove: 'user:a'}]", "f:1:1: tenant is missing"},
		"no acts":             {"tenant: t", "f:1:1: acts: say what to do"},
		"an empty list":       {"tenant: t\nacts: []", "f:1:1: acts: say what to do"},
		"an unknown field":    {"tenant: t\nactor: user:a\n", `f:2:1: a batch has no field "actor"`},
		"one of another act":  {head + "  - remove: user:a\n    role: x", `f:4:5: an act remove has no field "role", but remove, expect`},
		"a field twice":       {head + "  - remove: user:a\n    remove: user:b", "f:4:5: remove is said twice"},
		"an act of no kind":   {head + "  - role: x", "f:3:5: an act says grant, revoke, change, remove or toggle"},
		"an act of two kinds": {head + "  - remove: user:a\n    grant: user:b", "f:3:5: an act is one thing, and not remove and grant"},
		"an act that is text": {head + "  - remove", "f:3:5: an act says grant"},
		"no role":             {head + "  - grant: user:a", "f:3:5: role is missing"},
		"an empty value":      {head + "  - remove:\n", "remove: write one value"},
		"a list for a value":  {head + "  - remove: [user:a]\n", "f:3:13: remove: write one value"},
		"a value for a list":  {head + "  - change: user:a\n    role: x\n    to: y\n    scopes: team:a", "f:6:13: scopes: write a list"},
		"an alias":            {"tenant: &x t\nacts:\n  - remove: *x\n", "f:3:13: remove: write one value"},
		"no truth":            {head + "  - revoke: user:a\n    role: x\n    everywhere: sure", "f:5:17: everywhere is true or false"},
		"no state":            {head + "  - toggle: x\n", "f:3:5: state is missing"},
		"no such state":       {head + "  - toggle: x\n    state: maybe", `f:4:12: "maybe": a toggle is on or off`},
		"no such time":        {head + "  - grant: user:a\n    role: x\n    from: 2h\n    until: tomorrow", `f:6:12: until "tomorrow": write a time`},
		"two faults":          {head + "  - grant: user:a\n  - toggle: x\n", "f:3:5: role is missing\nf:4:5: state is missing"},
		"two documents":       {"tenant: t\n---\ntenant: u\n", "f:2: a second document begins"},
	} {
		b, err := readBatch("f", strings.NewReader(test.text), time.Now())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v, %v, want %q", name, b, err, test.want)
		}
	}
}

func FuzzReadBatch(f *testing.F) {
	f.Add("tenant: t\nacts:\n  - grant: user:a\n    role: x\n    until: 2h\n")
	f.Add("tenant: t\nacts:\n  - {toggle: x, state: on}\n  - remove: &a user:b\n  - *a\n")
	f.Add("? [a]\n: b\n")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := readBatch("f", strings.NewReader(text), time.Now())
		if err != nil {
			return
		}
		if b.tenant == "" || len(b.acts) == 0 || len(b.acts) != len(b.lines) {
			t.Errorf("%q is read as %+v", text, b)
		}
		for _, act := range b.acts {
			if act.GetAct() == nil {
				t.Errorf("%q has an act without a kind", text)
			}
		}
	})
}
