package server

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// BenchmarkListSubjects lists the first page of who may among 100,000 advisors in 50 teams:
// those of a team, all, two managers, and all who hold anything because everyone may.
func BenchmarkListSubjects(b *testing.B) {
	const subjects = 100_000
	s, _ := benchServer(b, filepath.Join(b.TempDir(), "usher.db"), subjects)
	t := benchTenant(b, s)
	_, err := s.store.Commit(context.Background(), store.Write{Tenant: "bench", By: store.By{Operator: true}, Plan: func(store.Reader) ([]store.Change, error) {
		var changes []store.Change
		for i := range 2 {
			changes = append(changes, store.SetAssignment{Tenant: t.ID, Assignment: store.Assignment{
				AssignmentKey: store.AssignmentKey{Subject: fmt.Sprintf("user:%d", i), Role: "manager"},
			}})
		}
		return changes, nil
	}})
	if err != nil {
		b.Fatal(err)
	}
	for _, ask := range []struct {
		name    string
		request *usherv1.ListSubjectsRequest
		want    int
	}{
		{"reach=assigned", &usherv1.ListSubjectsRequest{Action: "view", Resource: &usherv1.Resource{Type: "ticket", Scopes: []string{"team:7"}}}, 100},
		{"reach=tenant", &usherv1.ListSubjectsRequest{Action: "create", Resource: &usherv1.Resource{Type: "ticket"}}, 100},
		{"reach=tenant/few", &usherv1.ListSubjectsRequest{Action: "create", Resource: &usherv1.Resource{Type: "team"}}, 2},
		{"reach=own", &usherv1.ListSubjectsRequest{Action: "view", Resource: &usherv1.Resource{Type: "ticket", Owner: "user:pat@farm.example"}}, 3},
		{"everyone", &usherv1.ListSubjectsRequest{Action: "search", Resource: &usherv1.Resource{Type: "directory"}}, 0},
	} {
		b.Run(ask.name, func(b *testing.B) {
			ask.request.Tenant = "bench"
			for b.Loop() {
				page, err := decisionService{server: s}.ListSubjects(context.Background(), ask.request)
				if err != nil || len(page.GetSubjects()) != ask.want {
					b.Fatalf("%d of %d, %v", len(page.GetSubjects()), ask.want, err)
				}
			}
		})
	}
}
