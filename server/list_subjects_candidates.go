package server

import (
	"iter"
	"strings"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/store"
)

// maxSources is from how many places in the store subjects are merged at most. Each takes a
// search for every page.
const maxSources = 200

// behindAll comes after all names of roles and all subjects, which begin with a letter.
const behindAll = "\U0010FFFF"

// candidate is a subject who may be allowed something, with all that it holds.
type candidate struct {
	subject string
	held    []store.Assignment
}

// candidates yields, in byte order, subjects after one, among them all who are allowed
// something. If everyone is allowed, they are all who hold anything.
func (f *facts) candidates(t *tenant, question *policy.Request, everyone bool, after string) (iter.Seq2[candidate, error], error) {
	owner := question.Resource.Owner
	if owner <= after || strings.HasPrefix(owner, groupPrefix) {
		owner = ""
	}
	if everyone {
		return f.allSubjects(t.ID, owner, after), nil
	}
	sources, err := f.sources(t, question, after)
	if err != nil {
		return nil, err
	}
	if len(sources) > maxSources {
		return f.allSubjects(t.ID, owner, after), nil
	}
	if owner != "" {
		sources = append(sources, func(yield func(string, error) bool) { yield(owner, nil) })
	}
	return f.lookUp(t.ID, merged(sources)), nil
}

// allSubjects yields all who hold something and come after a subject, and the owner unless
// it is empty.
func (f *facts) allSubjects(tenant store.TenantID, owner, after string) iter.Seq2[candidate, error] {
	from := store.AssignmentKey{}
	if after != "" {
		from = store.AssignmentKey{Subject: after, Role: behindAll}
	}
	return func(yield func(candidate, error) bool) {
		for held, err := range subjectsOf(f.reader.Assignments(tenant, from)) {
			if err != nil {
				yield(candidate{}, err)
				return
			}
			subject := held[0].Subject
			if owner != "" && owner < subject && !yield(candidate{subject: owner}, nil) {
				return
			}
			if owner <= subject {
				owner = ""
			}
			if !yield(candidate{subject, held}, nil) {
				return
			}
		}
		if owner != "" {
			yield(candidate{subject: owner}, nil)
		}
	}
}

// lookUp finds what each subject holds.
func (f *facts) lookUp(tenant store.TenantID, subjects iter.Seq2[string, error]) iter.Seq2[candidate, error] {
	return func(yield func(candidate, error) bool) {
		for subject, err := range subjects {
			var held []store.Assignment
			if err == nil {
				held, err = collect(f.reader.AssignmentsOf(tenant, subject))
			}
			if !yield(candidate{subject, held}, err) || err != nil {
				return
			}
		}
	}
}

// sources are who holds each of the roles that may allow it, where that helps, after a subject. If
// there are more than maxSources, they are not all.
func (f *facts) sources(t *tenant, question *policy.Request, after string) (sources []iter.Seq2[string, error], err error) {
	grounds, err := t.table.Grounds(question.Action, &question.Resource)
	if err != nil {
		return nil, err
	}
	for _, ground := range grounds {
		scopes := ground.Scopes
		if ground.Anywhere {
			if scopes, err = f.scopesOf(t.ID, ground.Role, maxSources+1); err != nil {
				return nil, err
			}
		}
		for _, scope := range scopes {
			sources = append(sources, f.holdersIn(t.ID, ground.Role, scope, after))
		}
		if len(sources) > maxSources {
			break
		}
	}
	return sources, nil
}

// scopesOf finds so many of the scopes in which a role is held; "" is the tenant.
func (f *facts) scopesOf(tenant store.TenantID, role string, most int) (scopes []string, err error) {
	for from := (store.AssignmentKey{}); len(scopes) < most; {
		found := len(scopes)
		for a, err := range f.reader.AssignmentsByRole(tenant, role, from) {
			if err != nil {
				return nil, err
			}
			scopes, from = append(scopes, a.Scope), store.AssignmentKey{Scope: a.Scope, Subject: behindAll}
			break
		}
		if len(scopes) == found {
			break
		}
	}
	return scopes, nil
}

// holdersIn yields who holds a role in a scope, after a subject.
func (f *facts) holdersIn(tenant store.TenantID, role, scope, after string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for a, err := range f.reader.AssignmentsByRole(tenant, role, store.AssignmentKey{Scope: scope, Subject: after}) {
			if err == nil && a.Scope != scope || !yield(a.Subject, err) || err != nil {
				return
			}
		}
	}
}

// merged yields what sequences yield that are in byte order: in that order, and each once.
func merged(sequences []iter.Seq2[string, error]) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		type head struct {
			text string
			err  error
			next func() (string, error, bool)
		}
		var heads []head
		for _, sequence := range sequences {
			next, stop := iter.Pull2(sequence)
			defer stop()
			if text, err, ok := next(); ok {
				heads = append(heads, head{text, err, next})
			}
		}
		for len(heads) > 0 {
			least := heads[0]
			for _, h := range heads[1:] {
				if h.err != nil || least.err == nil && h.text < least.text {
					least = h
				}
			}
			if !yield(least.text, least.err) || least.err != nil {
				return
			}
			rest := heads[:0]
			for _, h := range heads {
				ok := true
				if h.text == least.text {
					h.text, h.err, ok = h.next()
				}
				if ok {
					rest = append(rest, h)
				}
			}
			heads = rest
		}
	}
}
