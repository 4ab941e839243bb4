package server

import (
	"context"
	"crypto/sha256"
	"slices"

	"google.golang.org/protobuf/proto"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/access"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// writeRequest is what the requests of all writes have.
type writeRequest interface {
	proto.Message
	GetTenant() string
	GetJustification() string
	GetValidateOnly() bool
	behalfed
}

// behalfed is what says on whose behalf it is.
type behalfed interface {
	GetActor() *usherv1.Actor
	GetOperator() *usherv1.Operator
}

// repeatable is a request that may be known by an id.
type repeatable interface{ GetRequestId() string }

// written is what has come of a write.
type written struct {
	store.Committed
	outcomes []usherv1.Outcome
	warnings []*usherv1.Warning
}

// write is what a call does.
type write struct {
	acts []*usherv1.Act
	// batch is whether errors have to say which act they are about.
	batch bool
	// plan does what is no act; nil: nothing.
	plan func(*planning) error
	// show reads what the answer shows beside the outcome, from the draft; nil: nothing. If
	// the answer is that of an earlier request, it reads what there is now.
	show func(*planning) error
}

// administer makes a write, or finds out what it would come to. The plan may run more than
// once.
func (s *Server) administer(ctx context.Context, request writeRequest, does write) (*written, error) {
	by, err := behalf(ctx, request)
	if err != nil {
		return nil, err
	}
	var w *written
	var used *policy.Catalog
	plan := func(r store.Reader) ([]store.Change, error) {
		// Now, not when the call came: it may have waited, and the actor's roles have ended.
		p, err := s.newPlanning(r, request.GetTenant(), by, s.now())
		if err != nil {
			return nil, err
		}
		w, used = &written{}, p.tenant.table.Catalog()
		if w.outcomes, err = p.do(ctx, does.acts, does.batch); err != nil {
			return nil, err
		}
		if does.plan != nil {
			if err := does.plan(p); err != nil {
				return nil, err
			}
		}
		if does.show != nil {
			if err := does.show(p); err != nil {
				return nil, err
			}
		}
		w.warnings, err = p.consequences()
		return p.draft.changes, err
	}
	if request.GetValidateOnly() {
		err := s.store.View(ctx, func(r store.Reader) error {
			changes, err := plan(r)
			if err == nil {
				w.Committed = store.Committed{Revision: r.Revision(), Changed: len(changes) > 0}
			}
			return err
		})
		return w, err
	}
	commit := store.Write{Tenant: request.GetTenant(), By: by, Justification: request.GetJustification(), Plan: plan}
	if id, may := request.(repeatable); may && id.GetRequestId() != "" {
		commit.RequestID = id.GetRequestId()
		if commit.Digest, err = digestOf(request); err != nil {
			return nil, err
		}
	}
	lost := s.cache.lost.Load()
	committed, err := s.store.Commit(ctx, commit)
	if err != nil {
		return nil, err
	}
	if committed.Changed && !committed.Repeated {
		s.cache.keepStored(used.Ref(), used, lost)
	}
	if !committed.Repeated {
		w.Committed = committed
		return w, nil
	}
	w = &written{Committed: committed}
	if does.show == nil {
		return w, nil
	}
	return w, s.store.View(ctx, func(r store.Reader) error {
		p, err := s.newPlanning(r, request.GetTenant(), by, s.now())
		if err != nil {
			return err
		}
		return does.show(p)
	})
}

// digestOf is a digest of all that a request asks for. The order of the fields in the
// encoding is that of their numbers; two versions of the server may disagree on it only
// if a client sends fields that one of them does not know.
func digestOf(request proto.Message) (digest [sha256.Size]byte, err error) {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return digest, err
	}
	name := request.ProtoReflect().Descriptor().FullName()
	return sha256.Sum256(slices.Concat([]byte(name), []byte{0}, encoded)), nil
}

// consequences adds what the acts entail to the draft, and returns what somebody should
// know of them.
func (p *planning) consequences() ([]*usherv1.Warning, error) {
	d := p.draft
	more, found, err := p.tenant.table.Catalog().Consequences(p.tenant.Tenant, d.changes, d.Reader, d, p.now)
	if err != nil {
		return nil, err
	}
	d.apply(more)
	var warnings []*usherv1.Warning
	for _, w := range found {
		warnings = append(warnings, &usherv1.Warning{
			Code: usherv1.WarningCode(usherv1.WarningCode_value["WARNING_CODE_"+string(w.Code)]), Text: w.Texts["en"], Texts: w.Texts,
		})
	}
	return warnings, nil
}

// behalf reads on whose behalf a write is made.
func behalf(ctx context.Context, r behalfed) (store.By, error) {
	switch {
	case r.GetOperator() != nil:
		return asOperator(ctx), nil
	case r.GetActor() != nil:
		return store.By{
			Subject: r.GetActor().GetSubject(), Groups: r.GetActor().GetGroups(), Caller: access.CallerOf(ctx).Name(),
		}, nil
	}
	return store.By{}, invalid("by", reasonActorRequired, "say on whose behalf: set actor (who asks for the change) or operator (the installation's own staff)")
}

func outcomeOf(changed bool) usherv1.Outcome {
	if changed {
		return usherv1.Outcome_OUTCOME_CHANGED
	}
	return usherv1.Outcome_OUTCOME_UNCHANGED
}
