package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"runtime"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// operatorService implements usher.v1.OperatorService.
type operatorService struct {
	usherv1.UnsafeOperatorServiceServer
	server *Server
}

// CreateTenant makes a tenant.
func (o operatorService) CreateTenant(ctx context.Context, r *usherv1.CreateTenantRequest) (*usherv1.CreateTenantResponse, error) {
	committed, err := o.server.store.Commit(ctx, store.Write{
		Tenant: r.GetTenant(),
		By:     asOperator(ctx),
		Plan: func(reader store.Reader) ([]store.Change, error) {
			switch _, err := reader.Tenant(r.GetTenant()); {
			case err == nil:
				return nil, &existsError{"TENANT", r.GetTenant(), "choose another name"}
			case !errors.Is(err, store.ErrNotFound):
				return nil, err
			}
			ref, err := findCatalog(reader, r.GetCatalog(), r.GetCatalogVersion())
			if err != nil {
				return nil, err
			}
			catalog, err := o.server.readCatalog(reader, ref)
			if err != nil {
				return nil, err
			}
			administrator, err := catalog.PlanFirstAdministrator(r.GetFirstAdministrator())
			if err != nil {
				return nil, err
			}
			return append([]store.Change{store.CreateTenant{Name: r.GetTenant(), Catalog: ref}}, administrator...), nil
		},
	})
	if err != nil {
		return nil, err
	}
	created, err := o.GetTenant(ctx, &usherv1.GetTenantRequest{Tenant: r.GetTenant()})
	if err != nil {
		return nil, err
	}
	return &usherv1.CreateTenantResponse{Tenant: created.GetTenant(), Revision: committed.Revision.String()}, nil
}

// GetTenant answers what is known of a tenant.
func (o operatorService) GetTenant(ctx context.Context, r *usherv1.GetTenantRequest) (*usherv1.GetTenantResponse, error) {
	var found *tenant
	revision, err := o.server.consistently(ctx, func(f *facts) (err error) {
		found, err = f.tenant(ctx, r.GetTenant())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &usherv1.GetTenantResponse{Tenant: tenantMessage(found.Tenant), Revision: revision.String()}, nil
}

// ListTenants lists the tenants that the caller sees, a page at a time. Nothing in a page tells of others:
// it is as long as if there were none, and its token names the last tenant that it shows.
func (o operatorService) ListTenants(ctx context.Context, r *usherv1.ListTenantsRequest) (*usherv1.ListTenantsResponse, error) {
	filter := pageFilter("tenants", r.GetDeleted())
	position, err := filter.position(r.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	list := func(reader store.Reader) iter.Seq2[store.Tenant, error] { return reader.Tenants(position[0]) }
	token := func(t store.Tenant) string { return filter.token(t.Name) }
	if r.GetDeleted() {
		after, err := strconv.ParseUint(cmp.Or(position[0], "0"), 10, 64)
		if err != nil {
			return nil, notAToken()
		}
		list = func(reader store.Reader) iter.Seq2[store.Tenant, error] {
			return reader.DeletedTenants(store.TenantID(after))
		}
		token = func(t store.Tenant) string { return filter.token(strconv.FormatUint(uint64(t.ID), 10)) }
	}
	caller := access.CallerOf(ctx)
	var response *usherv1.ListTenantsResponse
	err = o.server.store.View(ctx, func(reader store.Reader) error {
		response = &usherv1.ListTenantsResponse{}
		var last store.Tenant
		for t, err := range list(reader) {
			if err == nil {
				err = ctx.Err() // there may be many that are not shown
			}
			if err != nil {
				return err
			}
			if !caller.Sees(t.Name) {
				continue
			}
			if len(response.Tenants) == pageSize(r.GetPageSize()) {
				response.NextPageToken = token(last)
				break
			}
			last = t
			response.Tenants = append(response.Tenants, tenantMessage(t))
		}
		return nil
	})
	return response, err
}

// PutCatalog checks a catalog and stores it.
func (o operatorService) PutCatalog(ctx context.Context, r *usherv1.PutCatalogRequest) (*usherv1.PutCatalogResponse, error) {
	return o.server.putCatalog(ctx, "catalog.yaml", []byte(r.GetYaml()), r.GetUnproved())
}

// putCatalog checks a catalog, proves it and stores it, unless it is there. It refuses if the
// version is there with other content.
func (s *Server) putCatalog(ctx context.Context, file string, yaml []byte, unproved bool) (*usherv1.PutCatalogResponse, error) {
	var catalog *policy.Catalog
	err := s.store.View(ctx, func(r store.Reader) (err error) {
		catalog, err = policy.Parse(file, yaml, s.basesIn(r))
		return err
	})
	if err != nil {
		return nil, err
	}
	ref := catalog.Ref()
	isStored := false
	err = s.store.View(ctx, func(r store.Reader) error {
		_, err := r.Catalog(ref)
		if isStored = !errors.Is(err, store.ErrNotFound); isStored {
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !isStored { // a version never changes, so it is proved once; and not while others wait to write
		if err := prove(ctx, catalog, unproved); err != nil {
			return nil, err
		}
	}
	committed, err := s.store.Commit(ctx, store.Write{
		By: asOperator(ctx),
		Plan: func(r store.Reader) ([]store.Change, error) {
			stored, err := r.Catalog(ref)
			if errors.Is(err, store.ErrNotFound) {
				return []store.Change{store.PutCatalog{Ref: ref, YAML: yaml}}, nil
			}
			if err != nil {
				return nil, err
			}
			if bytes.Equal(stored, yaml) {
				return nil, nil
			}
			old, err := s.readCatalog(r, ref)
			if err != nil || !proto.Equal(old.Written(), catalog.Written()) {
				return nil, &immutableError{ref}
			}
			return nil, nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &usherv1.PutCatalogResponse{Outcome: outcomeOf(committed.Changed), Name: ref.Name, Version: ref.Version}, nil
}

// GetCatalog answers a catalog.
func (o operatorService) GetCatalog(ctx context.Context, r *usherv1.GetCatalogRequest) (*usherv1.GetCatalogResponse, error) {
	var response *usherv1.GetCatalogResponse
	err := o.server.store.View(ctx, func(reader store.Reader) error {
		ref, err := findCatalog(reader, r.GetName(), r.GetVersion())
		if err != nil {
			return err
		}
		source, err := reader.Catalog(ref)
		if err != nil {
			return err
		}
		catalog, err := o.server.readCatalog(reader, ref)
		if err != nil {
			return err
		}
		response = &usherv1.GetCatalogResponse{Catalog: catalog.Message(), Yaml: string(source)}
		return nil
	})
	return response, err
}

// ListCatalogs lists the catalogs, a page at a time.
func (o operatorService) ListCatalogs(ctx context.Context, r *usherv1.ListCatalogsRequest) (*usherv1.ListCatalogsResponse, error) {
	filter := pageFilter("catalogs")
	position, err := filter.position(r.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	after := store.CatalogRef{Name: position[0]}
	if position[1] != "" {
		version, err := strconv.ParseUint(position[1], 10, 32)
		if err != nil {
			return nil, notAToken()
		}
		after.Version = uint32(version)
	}
	var response *usherv1.ListCatalogsResponse
	err = o.server.store.View(ctx, func(reader store.Reader) error {
		response = &usherv1.ListCatalogsResponse{}
		after := after
		for ref, err := range reader.Catalogs(after) {
			if err != nil {
				return err
			}
			if len(response.Catalogs) == pageSize(r.GetPageSize()) {
				response.NextPageToken = filter.token(after.Name, strconv.FormatUint(uint64(after.Version), 10))
				break
			}
			after = ref
			catalog, err := o.server.readCatalog(reader, ref)
			if err != nil {
				return err
			}
			response.Catalogs = append(response.Catalogs, summaryOf(catalog))
		}
		return nil
	})
	return response, err
}

// GetServerInfo answers what server this is.
func (o operatorService) GetServerInfo(ctx context.Context, _ *usherv1.GetServerInfoRequest) (*usherv1.GetServerInfoResponse, error) {
	return &usherv1.GetServerInfoResponse{
		Version:   o.server.version,
		GoVersion: runtime.Version(),
		Revision:  o.server.store.Revision().String(),
		StartedAt: timestamppb.New(o.server.startedAt),
		Caller:    access.CallerOf(ctx).Name(),
	}, nil
}

// findCatalog finds a version of a catalog; version 0 is the newest.
func findCatalog(r store.Reader, name string, version uint32) (store.CatalogRef, error) {
	var newest store.CatalogRef
	for ref, err := range r.Catalogs(store.CatalogRef{Name: name}) {
		if err != nil {
			return store.CatalogRef{}, err
		}
		if ref.Name != name {
			break
		}
		if ref.Version == version {
			return ref, nil
		}
		newest = ref
	}
	switch {
	case newest.Name == "":
		return newest, &notFoundError{kind: "CATALOG", name: name, remedy: "ListCatalogs says which there are"}
	case version != 0:
		return newest, &notFoundError{
			kind: "CATALOG", name: name + " version " + strconv.FormatUint(uint64(version), 10),
			remedy: "the newest version is " + strconv.FormatUint(uint64(newest.Version), 10),
		}
	}
	return newest, nil
}

func tenantMessage(t store.Tenant) *usherv1.Tenant {
	return &usherv1.Tenant{
		Name:           t.Name,
		Catalog:        t.Catalog.Name,
		CatalogVersion: t.Catalog.Version,
		CreatedAt:      timestamppb.New(t.CreatedAt),

		PrimaryAdministrator: t.Primary,
		Id:                   uint64(t.ID),
		DeletedAt:            timestampMessage(t.DeletedAt),
	}
}

func summaryOf(c *policy.Catalog) *usherv1.CatalogSummary {
	m := c.Message()
	summary := &usherv1.CatalogSummary{Name: m.GetName(), Version: m.GetVersion(), Titles: m.GetTitles()}
	for _, role := range m.GetRoles() {
		summary.Roles = append(summary.Roles, role.GetName())
	}
	return summary
}
