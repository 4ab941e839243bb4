package server

import (
	"context"
	"encoding/hex"
	"strconv"
	"time"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/store"
)

// ListHeads lists the newest links of all chains, a page at a time.
func (o operatorService) ListHeads(ctx context.Context, r *usherv1.ListHeadsRequest) (*usherv1.ListHeadsResponse, error) {
	filter := pageFilter("heads")
	after, err := filter.recordedTenant(r.GetPageToken())
	if err != nil {
		return nil, err
	}
	var response *usherv1.ListHeadsResponse
	err = o.server.store.View(ctx, func(reader store.Reader) error {
		response = &usherv1.ListHeadsResponse{}
		var last store.Tenant
		for t, err := range recordedTenants(reader, after) {
			if err != nil {
				return err
			}
			if len(response.Heads) == pageSize(r.GetPageSize()) {
				response.NextPageToken = filter.recordedTenantToken(last)
				break
			}
			last = t
			chain, err := reader.Chain(t.ID)
			if err != nil {
				return err
			}
			response.Heads = append(response.Heads, &usherv1.Head{
				TenantId: uint64(t.ID),
				Tenant:   t.Name,
				Length:   chain.Head.Length,
				Hash:     hex.EncodeToString(chain.Head.Hash[:]),
				Revision: store.Revision{Epoch: reader.Revision().Epoch, Number: chain.Head.Revision}.String(),
			})
		}
		return nil
	})
	return response, err
}

// recordedTenantToken makes the token of a page after a tenant, deleted or not.
func (f filter) recordedTenantToken(t store.Tenant) string {
	if t.DeletedAt.IsZero() {
		return f.token("", t.Name)
	}
	return f.token(strconv.FormatUint(uint64(t.ID), 10), "")
}

// recordedTenant reads a token. There is none before the first page.
func (f filter) recordedTenant(token string) (after *store.Tenant, err error) {
	position, err := f.position(token, 2)
	switch {
	case err != nil || token == "":
		return nil, err
	case position[0] == "":
		return &store.Tenant{Name: position[1]}, nil
	}
	id, err := strconv.ParseUint(position[0], 10, 64)
	if err != nil {
		return nil, notAToken()
	}
	return &store.Tenant{ID: store.TenantID(id), DeletedAt: time.Unix(0, 1)}, nil
}
