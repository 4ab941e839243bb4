package policy_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// TestMayGrantIsPlanGrant compares what a page shows with the grants of each role, in the
// tenant and in every scope, to somebody who holds nothing.
func TestMayGrantIsPlanGrant(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, catalog := range allCatalogs(t) {
		message := catalog.Message()
		table := policy.NewTable(catalog, nil)
		actors := []policy.Actor{operator, actorWith(t, catalog)}
		scopes := []string{}
		for _, scopeType := range message.GetScopeTypes() {
			scopes = append(scopes, scopeType+":a", scopeType+":b")
		}
		for _, role := range message.GetRoles() {
			held := []string{"user:actor " + role.GetName()}
			for _, scopeType := range role.GetHeldIn() {
				held = append(held, fmt.Sprintf("user:actor %s %s:b", role.GetName(), scopeType), fmt.Sprintf("group:g %s %s:a", role.GetName(), scopeType))
			}
			for i := range held {
				actors = append(actors, actorWith(t, catalog, held[i]), actorWith(t, catalog, held[i]+" until -1"), actorWith(t, catalog, held[i:]...))
			}
		}
		for _, actor := range actors {
			for _, role := range message.GetRoles() {
				grant := func(scope string) error {
					a := store.Assignment{AssignmentKey: store.AssignmentKey{Subject: "user:new", Role: role.GetName(), Scope: scope}}
					_, err := table.PlanGrant(actor, policy.Subject{Name: "user:new"}, a, shopNow)
					return err
				}
				everywhere, in, refusal := table.MayGrant(actor, role.GetName())
				err := grant("")
				if role.GetName() == message.GetDefaultRole() {
					if everywhere || in != nil || refusal == nil || refusal.Code != policy.NotAssignable {
						t.Errorf("%s: the default role: got %v, %q, %v, want NOT_ASSIGNABLE", catalog.Ref().Name, everywhere, in, refusal)
					}
					continue
				}
				if everywhere != (err == nil) || !everywhere && refusal.Error() != err.Error() {
					t.Errorf("%s: may %v grant %s: got %v, %v, want %v", catalog.Ref().Name, actor.Holders, role.GetName(), everywhere, refusal, err)
				}
				for _, scope := range scopes {
					may := slices.Contains(in, scope) || everywhere && slices.Contains(role.GetHeldIn(), scope[:len(scope)-2])
					if err := grant(scope); may != (err == nil) {
						t.Errorf("%s: grant %s in %s: MayGrant says %v and %q, PlanGrant %v", catalog.Ref().Name, role.GetName(), scope, everywhere, in, err)
					}
					compared++
				}
				if !slices.IsSorted(in) {
					t.Errorf("%s: %q are not in order", catalog.Ref().Name, in)
				}
			}
		}
	}
	if compared < 500 {
		t.Errorf("compared %d only", compared)
	}
}
