package server

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// maxAsked is how many subjects are asked about for one page at most, for the same reason as
// maxScanned.
const maxAsked = 2_000

// nobody is a subject who holds nothing and owns nothing. No other has that name.
const nobody = ":"

// ListSubjects answers who may do an action on a resource. Whoever may be listed is asked
// about as Check would, so that the two can't disagree.
func (d decisionService) ListSubjects(ctx context.Context, r *usherv1.ListSubjectsRequest) (*usherv1.ListSubjectsResponse, error) {
	if err := d.server.validator.Validate(r); err != nil {
		return nil, err
	}
	leave, err := d.server.overload.computing.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	var response *usherv1.ListSubjectsResponse
	err = d.server.store.View(ctx, func(reader store.Reader) error {
		now := d.server.now()
		t, err := d.server.readTenant(reader, r.GetTenant(), now)
		if err != nil {
			return err
		}
		response, err = listSubjects(ctx, &facts{server: d.server, now: now, reader: reader}, t, r)
		return err
	})
	return response, err
}

// listSubjects makes one page.
func listSubjects(ctx context.Context, f *facts, t *tenant, r *usherv1.ListSubjectsRequest) (*usherv1.ListSubjectsResponse, error) {
	filter, err := subjectFilter(t.ID, r)
	if err != nil {
		return nil, err
	}
	position, err := filter.position(r.GetPageToken(), 1)
	if err != nil {
		return nil, err
	}
	after := position[0]
	question := policy.Request{Subject: nobody, Action: r.GetAction(), Resource: resourceOf(r.GetResource())}
	everyone, err := t.table.Decide([]*policy.Holder{t.nobody}, &question)
	if err != nil {
		return nil, err
	}
	candidates, err := f.candidates(t, &question, everyone.Allow, after)
	if err != nil {
		return nil, err
	}
	response := &usherv1.ListSubjectsResponse{
		EveryoneWithoutARole: decisionMessage(everyone.Allow),
		Revision:             f.reader.Revision().String(),
	}
	recheckBy := everyone.RecheckBy
	listed, asked, scanned := 0, 0, 0
	for c, err := range candidates {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		if listed == pageSize(r.GetPageSize()) || asked == maxAsked || scanned >= maxScanned {
			response.NextPageToken = filter.token(after)
			break
		}
		after = c.subject
		asked++
		scanned += len(c.held)
		holder, err := policy.NewHolder(t.table.Catalog(), c.subject, c.held, f.now)
		if err != nil {
			return nil, err
		}
		question.Subject = c.subject
		decision, err := t.table.Decide([]*policy.Holder{holder}, &question)
		if err != nil {
			return nil, err
		}
		recheckBy = sooner(recheckBy, decision.RecheckBy)
		if !decision.Allow {
			continue
		}
		listed++
		m := &usherv1.ListedSubject{Subject: c.subject, Role: decision.Reason.Role, Scope: decision.Reason.Scope}
		if strings.HasPrefix(c.subject, groupPrefix) {
			response.Groups = append(response.Groups, m)
		} else {
			response.Subjects = append(response.Subjects, m)
		}
	}
	response.RecheckBy = timestampMessage(recheckBy)
	return response, nil
}

// subjectFilter is the digest of what a list of subjects is about.
func subjectFilter(tenant store.TenantID, r *usherv1.ListSubjectsRequest) (filter, error) {
	about := proto.CloneOf(r)
	about.PageSize, about.PageToken = 0, ""
	digest, err := digestOf(about)
	return pageFilter("subjects", tenant, digest), err
}
