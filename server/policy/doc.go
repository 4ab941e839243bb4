// Package policy decides. It is pure: no I/O, no clock, no context, no logger.
//
// The way from a catalog to an answer:
//
//	Parse    reads a YAML catalog, checks it and compiles it to a Catalog.
//	Table    is a Catalog with the state of a tenant's toggles.
//	Holder   is what one subject or group holds, for a while.
//	Decide   answers from a Table, some Holders and a Request.
//	Ask      is for several actions on one resource: each is decided as Decide does.
//	NewComparison finds what a change means for a subject: what it gains and loses.
//	Plan…    answers what a grant, a revoke or a toggle has to write, or refuses it.
//
// The combining rule: a forbid rule that matches is a veto; otherwise any allow rule
// that matches allows; otherwise the answer is deny, with the reason of the rule that
// got furthest. The zero value of everything is deny. docs/decisions.md is the
// specification.
package policy
