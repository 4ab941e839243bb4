// Package server is the service: the three gRPC services of usher.v1, the decision
// cache below them, and the HTTP side with metrics and probes.
//
// The way of a Check: interceptors (interceptors.go) → Check (decision_service.go) →
// the tenant's table and what the subject holds (facts.go), mostly from the cache
// (cache.go) → policy decides → answer.
//
// The way of a Grant: interceptors → Grant (admin_service.go) → a plan, in which policy
// decides on the actor and the rules → the store commits it and tells the cache →
// answer.
//
// The way of a change to those who watch: the store commits it and tells the cache, which
// wakes the watchers of the tenant (watchers.go) → each reads what has come since from the
// change record (watch.go) and sends it (send.go). States of the past are what there is now,
// with the changes since undone (as_of.go).
//
// Methods return errors of the domain; errors.go turns them into gRPC statuses.
package server
