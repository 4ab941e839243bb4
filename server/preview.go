package server

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// PreviewChange answers who would gain and lose what.
func (a adminService) PreviewChange(ctx context.Context, r *usherv1.PreviewChangeRequest) (*usherv1.PreviewChangeResponse, error) {
	by, err := behalf(ctx, r)
	if err != nil {
		return nil, err
	}
	leave, err := a.server.overload.computing.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	switch move := isMove(r); {
	case move && len(r.GetActs()) > 0:
		return nil, malformed("catalog_version", "preview acts or another catalog or version, not both")
	case !move && len(r.GetActs()) == 0:
		return nil, malformed("acts", "say what would be done: acts, or another catalog or version")
	case move && !by.Operator:
		return nil, malformed("operator", "only the operator moves a tenant to another catalog or version")
	}
	var response *usherv1.PreviewChangeResponse
	err = a.server.store.View(ctx, func(reader store.Reader) error {
		p, err := a.server.newPlanning(reader, r.GetTenant(), by, a.server.now())
		if err != nil {
			return err
		}
		v, err := p.preview(ctx, r)
		if err != nil {
			return err
		}
		response, err = v.page(r)
		return err
	})
	return response, err
}

// isMove reports whether a preview is about another catalog or version.
func isMove(r *usherv1.PreviewChangeRequest) bool {
	return r.GetCatalog() != "" || r.GetCatalogVersion() != 0
}

// preview compares a tenant with what acts, or another version of its catalog, would make
// of it.
type preview struct {
	*planning
	ctx      context.Context // of the call, which may end before all is compared
	is, will *policy.Table
	// everybody is whether the change is about all who hold something, not only about those
	// whose assignments change.
	everybody bool
	conflicts iter.Seq2[*usherv1.Conflict, error]
	warnings  []*usherv1.Warning
}

func (p *planning) preview(ctx context.Context, r *usherv1.PreviewChangeRequest) (*preview, error) {
	v := &preview{ctx: ctx, planning: p, is: p.tenant.table, conflicts: func(func(*usherv1.Conflict, error) bool) {}}
	if !isMove(r) {
		if _, err := p.do(ctx, r.GetActs(), true); err != nil {
			return nil, err
		}
		v.will = p.tenant.table
		v.everybody = v.will != v.is
		var err error
		v.warnings, err = p.consequences()
		return v, err
	}
	ref, err := p.server.findTarget(p.draft, p.tenant.Tenant, r.GetCatalog(), r.GetCatalogVersion())
	if err != nil {
		return nil, err
	}
	catalog, err := p.server.readCatalog(p.draft, ref)
	if err != nil {
		return nil, err
	}
	toggles, err := p.draft.Toggles(p.tenant.ID)
	if err != nil {
		return nil, err
	}
	v.will, v.everybody = policy.NewTable(catalog, toggles), true
	v.conflicts = p.server.conflicts(p.draft, p.tenant.Tenant, ref)
	return v, nil
}

// page makes one page: first what stands against the change, then its effects.
func (v *preview) page(r *usherv1.PreviewChangeRequest) (*usherv1.PreviewChangeResponse, error) {
	at, err := v.place(r)
	if err != nil {
		return nil, err
	}
	response := &usherv1.PreviewChangeResponse{Revision: v.draft.Revision().String(), Warnings: v.warnings}
	if at.subject == "" {
		if err := v.addConflicts(response, at, pageSize(r.GetPageSize())); err != nil {
			return nil, err
		}
	}
	if r.GetPageToken() == "" {
		if response.Counts, err = v.counts(); err != nil {
			return nil, err
		}
	}
	if response.NextPageToken == "" {
		err = v.addEffects(response, at, pageSize(r.GetPageSize()))
	}
	return response, err
}

// previewPlace is where a page of a preview begins.
type previewPlace struct {
	filter filter
	head   string // the number of the tenant's newest change
	// conflicts is how many have been shown, and subject the last that has been: nobodyShown
	// if that was all who hold nothing, "" while conflicts are being shown.
	conflicts int
	subject   string
}

func (at previewPlace) token(conflicts int, subject string) string {
	return at.filter.token(at.head, strconv.Itoa(conflicts), subject)
}

// place finds where the page begins, and refuses to go on if the tenant has changed since the
// first one.
func (v *preview) place(r *usherv1.PreviewChangeRequest) (at previewPlace, err error) {
	about := proto.Clone(r).(*usherv1.PreviewChangeRequest)
	about.PageToken = ""
	digest, err := digestOf(about)
	if err != nil {
		return at, err
	}
	at.filter = pageFilter("preview", v.tenant.ID, digest)
	position, err := at.filter.position(r.GetPageToken(), 3)
	if err != nil {
		return at, err
	}
	chain, err := v.draft.Chain(v.tenant.ID)
	if err != nil {
		return at, err
	}
	at.head = strconv.FormatUint(chain.Head.Revision, 10)
	if r.GetPageToken() != "" && position[0] != at.head {
		return at, &changedError{about: "the tenant", at: store.Revision{Epoch: v.draft.Revision().Epoch, Number: chain.Head.Revision}}
	}
	at.conflicts, _ = strconv.Atoi(position[1]) // of our own making, as the filter shows
	at.subject = position[2]
	return at, nil
}

func (v *preview) addConflicts(response *usherv1.PreviewChangeResponse, at previewPlace, most int) error {
	n := 0
	for conflict, err := range v.conflicts {
		if err == nil {
			err = v.ctx.Err()
		}
		if err != nil {
			return err
		}
		if n++; n <= at.conflicts {
			continue
		}
		if len(response.Conflicts) == most {
			response.NextPageToken = at.token(n-1, "")
			break
		}
		response.Conflicts = append(response.Conflicts, conflict)
	}
	return nil
}

func (v *preview) addEffects(response *usherv1.PreviewChangeResponse, at previewPlace, most int) error {
	last, bytes := at.subject, 0
	for effect, err := range v.effects(strings.TrimPrefix(last, nobodyShown), last == "") {
		if err != nil {
			return err
		}
		if len(response.Effects) == most || bytes >= maxPageBytes {
			response.NextPageToken = at.token(0, last)
			break
		}
		last = cmp.Or(effect.subject, nobodyShown)
		m := effect.message()
		bytes += proto.Size(m)
		response.Effects = append(response.Effects, m)
	}
	return nil
}

const nobodyShown = "*"

// subjectEffect is what the change means for one subject; "" is all who hold nothing.
type subjectEffect struct {
	subject string
	effects []policy.Effect
}

// maxReaches is how many permissions and places the effect on one subject names.
const maxReaches = 2_000

func (e subjectEffect) message() *usherv1.SubjectEffect {
	m := &usherv1.SubjectEffect{Subject: e.subject, MoreCount: int32(max(0, len(e.effects)-maxReaches))} // #nosec G115 -- as many as one subject has effects
	for _, effect := range e.effects[:min(len(e.effects), maxReaches)] {
		if effect.Gained {
			m.Gained = append(m.Gained, reachMessage(effect))
		} else {
			m.Lost = append(m.Lost, reachMessage(effect))
		}
	}
	return m
}

func reachMessage(e policy.Effect) *usherv1.Reach {
	m := &usherv1.Reach{Permission: e.Permission, Condition: e.Condition, Role: e.Role}
	switch e.Area.Kind {
	case policy.AreaTenant:
		m.Where = &usherv1.Reach_Tenant{Tenant: true}
	case policy.AreaAnyScope:
		m.Where = &usherv1.Reach_AnyScopeOfType{AnyScopeOfType: e.Area.Name}
	case policy.AreaOwn:
		m.Where = &usherv1.Reach_Own{Own: true}
	case policy.AreaScope:
		m.Where = &usherv1.Reach_Scope{Scope: e.Area.Name}
	case policy.AreaResource:
		m.Where = &usherv1.Reach_ResourceId{ResourceId: e.Area.Name}
	}
	return m
}

// counts counts who gains and loses each permission, by role.
func (v *preview) counts() ([]*usherv1.EffectCount, error) {
	type key struct {
		role, permission string
		gained           bool
	}
	counts := map[[2]string]*usherv1.EffectCount{}
	for effect, err := range v.effects("", true) {
		if err != nil {
			return nil, err
		}
		counted := map[key]bool{}
		for _, e := range effect.effects {
			k := key{e.Role, e.Permission, e.Gained}
			if effect.subject == "" || counted[k] {
				continue // nobody knows how many hold nothing
			}
			counted[k] = true
			c := counts[[2]string{e.Role, e.Permission}]
			if c == nil {
				c = &usherv1.EffectCount{Role: e.Role, Permission: e.Permission}
				counts[[2]string{e.Role, e.Permission}] = c
			}
			if e.Gained {
				c.Gaining++
			} else {
				c.Losing++
			}
		}
	}
	return slices.SortedFunc(maps.Values(counts), func(a, b *usherv1.EffectCount) int {
		return strings.Compare(a.GetRole()+" "+a.GetPermission(), b.GetRole()+" "+b.GetPermission())
	}), nil
}

// effects yields what the change means for the subjects after one, in byte order, and
// before them, if wanted, for those who hold nothing.
func (v *preview) effects(after string, nobody bool) iter.Seq2[subjectEffect, error] {
	return func(yield func(subjectEffect, error) bool) {
		comparison := policy.NewComparison(v.is, v.will)
		compare := func(subject string, is, will []store.Assignment, changed bool) bool {
			if err := v.ctx.Err(); err != nil {
				return yield(subjectEffect{}, err) && false
			}
			effects, err := v.compare(comparison, subject, is, will, changed)
			if err == nil && len(effects) == 0 {
				return true
			}
			return yield(subjectEffect{subject, effects}, err) && err == nil
		}
		if v.everybody && nobody && !compare("", nil, nil, false) {
			return
		}
		changed := v.draft.subjects()
		changed = slices.DeleteFunc(changed, func(s string) bool { return s <= after })
		// upTo compares the changed ones within a limit, and returns the last of them.
		upTo := func(limit func(string) bool) (last string, ok bool) {
			for ok = true; ok && len(changed) > 0 && limit(changed[0]); changed = changed[1:] {
				last = changed[0]
				is, err := collect(v.draft.Reader.AssignmentsOf(v.tenant.ID, last))
				if err != nil {
					yield(subjectEffect{}, err)
					return last, false
				}
				will, err := collect(v.draft.AssignmentsOf(v.tenant.ID, last))
				if err != nil {
					yield(subjectEffect{}, err)
					return last, false
				}
				ok = compare(last, is, will, true)
			}
			return last, ok
		}
		if v.everybody {
			// This comes behind all that the subject holds: names of roles are ASCII.
			from := store.AssignmentKey{}
			if after != "" {
				from = store.AssignmentKey{Subject: after, Role: "\U0010FFFF"}
			}
			for held, err := range subjectsOf(v.draft.Reader.Assignments(v.tenant.ID, from)) {
				if err != nil {
					yield(subjectEffect{}, err)
					return
				}
				last, ok := upTo(func(s string) bool { return s <= held[0].Subject })
				if !ok || last != held[0].Subject && !compare(held[0].Subject, held, held, false) {
					return
				}
			}
		}
		upTo(func(string) bool { return true })
	}
}

// compare finds what the change means for one subject.
func (v *preview) compare(c *policy.Comparison, subject string, is, will []store.Assignment, changed bool) ([]policy.Effect, error) {
	held, err := policy.NewHolder(v.is.Catalog(), subject, is, v.now)
	if err != nil {
		return nil, err
	}
	if !changed && v.is.Catalog() == v.will.Catalog() {
		return c.Effects(held, held)
	}
	// What the other catalog does not have stands against the move, and is shown as such.
	known := slices.DeleteFunc(slices.Clone(will), func(a store.Assignment) bool { return v.will.Catalog().CheckRole("role", a.Role) != nil })
	then, err := policy.NewHolder(v.will.Catalog(), subject, known, v.now)
	if err != nil {
		return nil, err
	}
	return c.Effects(held, then)
}
