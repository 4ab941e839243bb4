package server

import (
	"context"
	"path/filepath"
	"testing"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// BenchmarkPreview previews a switch that takes something from 100,000 advisors: the first
// page, with all counts, and a page in the middle.
func BenchmarkPreview(b *testing.B) {
	const subjects = 100_000
	s, _ := benchServer(b, filepath.Join(b.TempDir(), "usher.db"), subjects)
	ctx := context.Background()
	request := func() *usherv1.PreviewChangeRequest {
		return &usherv1.PreviewChangeRequest{
			Tenant: "bench", By: &usherv1.PreviewChangeRequest_Operator{Operator: &usherv1.Operator{}},
			Acts: []*usherv1.Act{{Act: &usherv1.Act_SetToggle{SetToggle: &usherv1.SetToggleAct{
				Toggle: "advisor_ticket_create", State: usherv1.ToggleState_TOGGLE_STATE_OFF,
			}}}},
		}
	}
	preview := func(r *usherv1.PreviewChangeRequest) *usherv1.PreviewChangeResponse {
		response, err := adminService{server: s}.PreviewChange(ctx, r)
		if err != nil {
			b.Fatal(err)
		}
		return response
	}
	first := preview(request())
	if n := first.GetCounts()[0].GetLosing(); n != subjects {
		b.Fatalf("%d of %d lose it", n, subjects)
	}
	b.Run("page=first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			preview(request())
		}
	})
	b.Run("page=second", func(b *testing.B) {
		b.ReportAllocs()
		second := request()
		second.PageToken = first.GetNextPageToken()
		for b.Loop() {
			preview(second)
		}
	})
}
