package policy_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

var diffFor = flag.Duration("diff-for", 4*time.Second, "how long TestDiffRandom draws worlds")

// TestDiffRandom compares random pairs of catalogs, and judges what is said by every request of
// a small world: for whoever holds some roles and however the toggles stand, each decision that
// changes is told for some of these roles; and all that is told happens, in each state of
// the toggles that is told.
func TestDiffRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := &compareWorld{Rand: rand.New(rand.NewPCG(seed, 0))}
	rounds, told := 0, map[string]int{}
	for start := time.Now(); time.Since(start) < *diffFor; rounds++ {
		w.drawVersions()
		for len(w.mentioned) > 1 { // fewer values, and more worlds
			w.drawVersions()
		}
		most := 2 // scopes of a resource
		if w.chance(10) {
			most = 3
		}
		if w.chance(50) {
			w.versions[1] = w.edited(w.versions[0])
			w.kinds[2] = w.kinds[0]
		}
		var catalogs [2]*policy.Catalog
		for i := range w.versions {
			if w.chance(20) {
				w.versions[i] = strings.Replace(w.versions[i], "starts_on: true}", "starts_on: true, locked: true}", 1)
			}
			var err error
			if catalogs[i], err = policy.Parse("random.yaml", []byte(w.versions[i]), nil); err != nil {
				t.Fatalf("seed %d\n%v\n%s", seed, err, w.versions[i])
			}
		}
		j := &diffJudge{compareWorld: w, most: most, catalogs: catalogs, diff: policy.NewDiff(catalogs[0], catalogs[1])}
		for _, c := range j.diff.Decisions {
			told[fmt.Sprintf("%d roles", len(c.Holder))]++
			told[fmt.Sprintf("%d alternatives", min(len(c.While), 2))]++
		}
		err := j.nothingInvented(t)
		for range 6 {
			if err == nil {
				err = j.nothingMissing(t, w.drawToggles(), j.drawHeld())
			}
		}
		if err != nil {
			t.Fatalf("seed %d, round %d: %v\n%s\n%s", seed, rounds, err, w.versions[0], w.versions[1])
		}
	}
	t.Log(rounds, "rounds", told)
	for _, what := range []string{"0 roles", "1 roles", "2 roles", "0 alternatives", "1 alternatives", "2 alternatives"} {
		if told[what] < rounds/100 {
			t.Errorf("%s: told %d times in %d rounds", what, told[what], rounds)
		}
	}
}

// edited returns the catalog with a slip of the pen.
func (w *compareWorld) edited(source string) string {
	slips := [][2]string{
		{"forbid:", "allow:"}, {"allow: [ticket", "forbid: [ticket"}, {"reach: assigned", "reach: tenant"},
		{"reach: own", "reach: assigned"}, {"while_on", "while_off"}, {"&&", "||"}, {"'ticket:view', ", ""},
		{"keep_toggles: true", "keep_toggles: false"}, {", while_on: t1}", "}"}, {"any team", "any queue"},
		{"held_in: [team, queue]", "held_in: [queue]"}, {"while_on: t1", "while_on: t2"},
	}
	slip := slips[w.IntN(len(slips))]
	edited := strings.Replace(source, slip[0], slip[1], 1+w.IntN(2))
	if _, err := policy.Parse("random.yaml", []byte(edited), nil); err != nil {
		return source
	}
	return edited
}

// diffJudge judges a Diff by all requests.
type diffJudge struct {
	*compareWorld
	most     int // scopes of a resource
	catalogs [2]*policy.Catalog
	diff     *policy.Diff
}

func (j *diffJudge) universeWith(set map[string]bool) *universe {
	u := j.universe([2]*policy.Table{policy.NewTable(j.catalogs[0], set), policy.NewTable(j.catalogs[1], set)})
	scopes := []string{"team:held", "queue:held", "team:beside", "queue:beside", "team:other", "queue:other"}
	if strings.Contains(j.versions[0]+j.versions[1], "site") {
		scopes = append(scopes, "site:held", "site:other")
	}
	u.scopes = slices.DeleteFunc(subsets(scopes...), func(s []string) bool { return len(s) > j.most })
	return u
}

func (j *diffJudge) drawHeld() []store.AssignmentKey {
	var keys []store.AssignmentKey
	for range j.IntN(4) {
		keys = append(keys, store.AssignmentKey{
			Role:  j.one("r1", "r2", "r3", "boss"),
			Scope: j.one("", "", "team:held", "team:beside", "queue:held", "queue:beside", "site:held"),
		})
	}
	return keys
}

// holders are what is held on both sides: what can't be held there is not.
func (j *diffJudge) holders(t *testing.T, u *universe, keys []store.AssignmentKey) (holders [2]*policy.Holder) {
	for side, c := range j.catalogs {
		var possible []store.AssignmentKey
		for _, key := range keys {
			for _, role := range c.Message().GetRoles() {
				scopeType, _, _ := strings.Cut(key.Scope, ":")
				if role.GetName() == key.Role && key.Role != c.Message().GetDefaultRole() &&
					(key.Scope == "" || slices.Contains(role.GetHeldIn(), scopeType)) && !slices.Contains(possible, key) {
					possible = append(possible, key)
				}
			}
		}
		holders[side] = u.holder(t, side, "user:ann", possible)
	}
	return holders
}

// eachChange visits the requests that are decided otherwise, with who is allowed by which role.
func (j *diffJudge) eachChange(u *universe, holders [2]*policy.Holder, visit func(permission string, r *policy.Resource, gained bool, role string) error) error {
	for resourceType, actions := range u.actions() {
		for _, resource := range u.resources(resourceType) {
			for _, action := range actions {
				var decisions [2]policy.Decision
				for side := range decisions {
					decisions[side], _ = u.tables[side].Decide(holders[side:side+1], &policy.Request{
						Subject: "user:ann", Action: action, Resource: resource.known[side],
					})
				}
				if decisions[0].Allow == decisions[1].Allow {
					continue
				}
				allowed := decisions[0]
				if decisions[1].Allow {
					allowed = decisions[1]
				}
				if err := visit(resourceType+":"+action, &resource.resource, decisions[1].Allow, allowed.Reason.Role); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (j *diffJudge) nothingMissing(t *testing.T, set map[string]bool, held []store.AssignmentKey) error {
	u := j.universeWith(set)
	return j.eachChange(u, j.holders(t, u, held), func(permission string, r *policy.Resource, gained bool, role string) error {
		for _, c := range j.diff.Decisions {
			if c.Effect.Permission == permission && c.Effect.Gained == gained && stands(c.While, set) && j.tells(u, c, held, r, role) {
				return nil
			}
		}
		return fmt.Errorf("toggles %v, held %v: %s on %+v is gained (%t) by %s, and nobody says so: %+v", set, held, permission, r, gained, role, j.diff.Decisions)
	})
}

// tells reports whether a change for some roles is one for whoever holds more, on a resource.
func (j *diffJudge) tells(u *universe, c policy.DecisionChange, held []store.AssignmentKey, r *policy.Resource, role string) bool {
	if len(c.Holder) == 0 {
		side := 0
		if c.Effect.Gained {
			side = 1
		}
		return role == j.catalogs[side].Message().GetDefaultRole() && u.inside(c.Effect, "user:ann", r)
	}
	areas := []policy.Effect{c.Effect}
	for _, h := range c.Holder {
		var found []policy.Effect
		for _, key := range held {
			scopeType, _, _ := strings.Cut(key.Scope, ":")
			wanted, _, _ := strings.Cut(h.Scope, ":")
			if key.Role != h.Role || scopeType != wanted {
				continue
			}
			e := c.Effect
			if e.Area.Kind == policy.AreaScope && e.Area.Name == h.Scope {
				e.Area.Name = key.Scope
				found = append(found, e)
			} else {
				found = append(found, areas...)
			}
		}
		areas = found
	}
	return slices.ContainsFunc(areas, func(e policy.Effect) bool { return u.inside(e, "user:ann", r) })
}

// stands reports whether the toggles stand as one of the alternatives says.
func stands(while []map[string]bool, set map[string]bool) bool {
	return len(while) == 0 || slices.ContainsFunc(while, func(alternative map[string]bool) bool {
		for toggle, on := range alternative {
			if set[toggle] != on {
				return false
			}
		}
		return true
	})
}

func (j *diffJudge) nothingInvented(t *testing.T) error {
	byHolder := map[string][]policy.DecisionChange{}
	for _, c := range j.diff.Decisions {
		key := fmt.Sprint(c.Holder)
		byHolder[key] = append(byHolder[key], c)
	}
	for _, t1 := range []bool{false, true} {
		for _, t2 := range []bool{false, true} {
			set := map[string]bool{"t1": t1, "t2": t2}
			u := j.universeWith(set)
			for _, changes := range byHolder {
				err := j.allHappen(t, u, set, changes)
				if err != nil { // it may take two scopes to allow, and two to forbid
					wider := *j
					wider.most = 4
					err = wider.allHappen(t, wider.universeWith(set), set, changes)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// allHappen looks for a request that shows it for each of the changes for one holder.
func (j *diffJudge) allHappen(t *testing.T, u *universe, set map[string]bool, changes []policy.DecisionChange) error {
	var keys []store.AssignmentKey
	for _, h := range changes[0].Holder {
		keys = append(keys, store.AssignmentKey{Role: h.Role, Scope: h.Scope})
	}
	open := slices.DeleteFunc(slices.Clone(changes), func(c policy.DecisionChange) bool { return !stands(c.While, set) })
	if len(open) == 0 {
		return nil
	}
	_ = j.eachChange(u, j.holders(t, u, keys), func(permission string, r *policy.Resource, gained bool, _ string) error {
		open = slices.DeleteFunc(open, func(c policy.DecisionChange) bool {
			return c.Effect.Permission == permission && c.Effect.Gained == gained && u.inside(c.Effect, "user:ann", r)
		})
		return nil
	})
	if len(open) > 0 {
		return fmt.Errorf("toggles %v: %+v does not happen", set, open[0])
	}
	return nil
}

// TestDiffBesideTheDefaultRole takes a role away whose permission the default role has, too: its
// holder loses it only beside a role that ends the default role.
func TestDiffBesideTheDefaultRole(t *testing.T) {
	const source = `name: desk
version: %d
scope_types: [team, queue]
holders: [user]
default_role: guest
resource_types:
  - {name: ticket, actions: [view, close]}
roles:
  - {name: guest, rules: [{allow: ["ticket:view"], reach: tenant}]}
  - {name: reader, held_in: [%s], rules: [{allow: ["ticket:view"], reach: any team}]}
  - {name: closer, rules: [{allow: ["ticket:close"], reach: tenant}]}
  - {name: boss, rules: [{allow: ["role:grant", "role:revoke"], reach: tenant}]}
administration: {protected_role: boss}
`
	var catalogs [2]*policy.Catalog
	for i, held := range []string{"team, queue", "queue"} {
		var err error
		if catalogs[i], err = policy.Parse("desk.yaml", fmt.Appendf(nil, source, i+1, held), nil); err != nil {
			t.Fatal(err)
		}
	}
	told := map[string]bool{}
	for _, c := range policy.NewDiff(catalogs[0], catalogs[1]).Decisions {
		if !c.Effect.Gained {
			told[fmt.Sprint(c.Holder)] = true
		}
	}
	if !told["[{reader team:held} {closer }]"] || !told["[{reader team:held} {boss }]"] || told["[{reader team:held}]"] {
		t.Errorf("it is lost by %v", told)
	}
}

func BenchmarkDiff(b *testing.B) {
	for _, name := range []string{"expertconnect", "liveagent", "goto_contact_center"} {
		catalog := builtIn(b, name)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				policy.NewDiff(catalog, catalog)
			}
		})
	}
}
