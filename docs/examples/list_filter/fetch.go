package listfilter

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// attempts is how often Fetch begins, if the answer changes between two pages.
const attempts = 5

// Fetch asks for a filter, and returns all its pages as one.
func Fetch(ctx context.Context, usher usherv1.DecisionServiceClient, request *usherv1.ListScopesRequest) (*usherv1.ListScopesResponse, error) {
	for attempt := 1; ; attempt++ {
		filter, err := fetchOnce(ctx, usher, request)
		if status.Code(err) != codes.Aborted || attempt == attempts {
			return filter, err
		}
	}
}

func fetchOnce(ctx context.Context, usher usherv1.DecisionServiceClient, request *usherv1.ListScopesRequest) (*usherv1.ListScopesResponse, error) {
	request = proto.CloneOf(request)
	filter := &usherv1.ListScopesResponse{}
	for {
		page, err := usher.ListScopes(ctx, request)
		if err != nil {
			return nil, err
		}
		filter.Allow = append(filter.Allow, page.GetAllow()...)
		filter.Forbid = append(filter.Forbid, page.GetForbid()...)
		filter.Revision, filter.RecheckBy = page.GetRevision(), page.GetRecheckBy()
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return filter, nil
		}
	}
}
