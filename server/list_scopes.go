package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/policy"
)

// maxPageScopes is how many scopes a page of a filter has at most.
const maxPageScopes = 10_000

// ListScopes answers on which resources a subject may do an action.
func (d decisionService) ListScopes(ctx context.Context, r *usherv1.ListScopesRequest) (*usherv1.ListScopesResponse, error) {
	if err := d.server.validator.Validate(r); err != nil {
		return nil, err
	}
	var (
		t   *tenant
		all policy.Filter
	)
	revision, err := d.server.consistently(ctx, func(f *facts) (err error) {
		if t, err = f.tenant(ctx, r.GetTenant()); err != nil {
			return err
		}
		holders, err := f.holders(ctx, t, r.GetSubject(), r.GetGroups())
		if err != nil {
			return err
		}
		all, err = t.table.Filter(holders, r.GetSubject(), r.GetAction(), r.GetResourceType())
		return err
	})
	if err != nil {
		return nil, err
	}
	p := scopesPage{
		answer: &usherv1.ListScopesResponse{Revision: revision.String(), RecheckBy: timestampMessage(all.RecheckBy)},
		about:  pageFilter("scopes", t.ID, r.GetSubject(), r.GetGroups(), r.GetAction(), r.GetResourceType()),
		digest: filterDigest(&all),
	}
	if p.room = int(r.GetPageSize()); p.room == 0 {
		p.room = maxPageScopes
	}
	position, err := p.about.position(r.GetPageToken(), 2)
	if err != nil {
		return nil, err
	}
	if r.GetPageToken() != "" {
		if position[0] != p.digest {
			return nil, errAnswerChanged
		}
		begin, err := strconv.ParseUint(position[1], 10, 31)
		if err != nil {
			return nil, notAToken()
		}
		p.begin, p.skip = int(begin), int(begin)
	}
	p.add(&p.answer.Allow, all.Allow)
	p.add(&p.answer.Forbid, all.Forbid)
	if p.shown == 0 && p.begin > 0 {
		return nil, notAToken() // there is nothing behind that place
	}
	return p.answer, nil
}

// errAnswerChanged is returned where the pages of an answer would not fit together.
var errAnswerChanged = errors.New("the answer has changed since the page before: begin again without a token, and drop the pages that there are")

// scopesPage is a page of a filter that is being made. It begins behind so many places: each
// scope is one, and an alternative without scopes is one.
type scopesPage struct {
	answer *usherv1.ListScopesResponse
	about  filter
	digest string
	begin  int // how many places come before the page
	skip   int // how many of them are still to be skipped
	shown  int // how many are on the page
	room   int // how many more it takes
	bytes  int // about how long the answer is
}

// add adds alternatives as far as they belong to the page. Where it is full it names the next
// one. Alternatives with scopes may go on there with the rest of them.
func (p *scopesPage) add(to *[]*usherv1.Alternative, alternatives []policy.Alternative) {
	for i := range alternatives {
		a := &alternatives[i]
		if p.answer.NextPageToken != "" {
			return
		}
		places := max(1, len(a.Scopes)+len(a.LimitedTo)) // it has only one of the two
		if p.skip >= places {
			p.skip -= places
			continue
		}
		if p.room == 0 || p.bytes >= maxPageBytes {
			p.answer.NextPageToken = p.about.token(p.digest, strconv.Itoa(p.begin+p.shown))
			return
		}
		n := p.fitting(a, p.skip, places)
		m := alternativeMessage(a, p.skip, p.skip+n)
		*to = append(*to, m)
		p.bytes += proto.Size(m)
		p.shown += n
		p.room -= n
		if p.skip += n; p.skip < places {
			p.answer.NextPageToken = p.about.token(p.digest, strconv.Itoa(p.begin+p.shown))
			return
		}
		p.skip = 0
	}
}

// fitting returns how many places of an alternative fit on the page.
func (p *scopesPage) fitting(a *policy.Alternative, from, places int) int {
	n := min(places-from, p.room)
	bytes := p.bytes
	for i := range n {
		if bytes >= maxPageBytes {
			return i
		}
		switch {
		case len(a.Scopes) > 0:
			bytes += len(a.Scopes[from+i])
		case len(a.LimitedTo) > 0:
			bytes += len(a.LimitedTo[from+i])
		}
	}
	return n
}

// filterDigest tells filters apart.
func filterDigest(f *policy.Filter) string {
	hash := sha256.New()
	for _, list := range [][]policy.Alternative{f.Allow, f.Forbid} {
		fmt.Fprintf(hash, "%d\n", len(list))
		for _, a := range list {
			fmt.Fprintf(hash, "%d %q %q %q %q\n", a.Reach, a.Scopes, a.ScopeType, a.LimitedTo, a.Condition)
		}
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:16])
}
