// Package server is the service: the three gRPC services of usher.v1, the decision
// cache below them, and the HTTP side with metrics and probes (http.go).
//
// The way of a call: a connection is accepted and counted (connections.go), and shows who is at its
// other end (package access) → a check that is one too many is turned away before it is read
// (admissions.go) → the request is decoded (register.go) → the call is counted (metrics.go) → its caller
// is found and may make it (authorize.go) → the interceptors of its service (interceptors.go) → the
// method. Those of administrative calls write a line of the log (call_log.go), have the call wait for
// its turn (gate.go), and apply the rules in the proto.
//
// The way of a Check, from there: Check (decision_service.go) → the tenant's table and what the subject
// holds (facts.go), mostly from the cache (cache.go) → policy decides → the decision is counted, traced
// (tracing.go) and given to the decision log (decision_log.go), as far as these are wanted → answer.
//
// The way of a Grant: Grant (admin_service.go) → a plan, in which policy
// decides on the actor and the rules → the store commits it and tells the cache →
// answer.
//
// The way of a change to those who watch: the store commits it and tells the cache, which
// wakes the watchers of the tenant (watchers.go) → each reads what has come since from the
// change record (watch.go) and sends it (send.go). States of the past are what there is now,
// with the changes since undone (as_of.go).
//
// What is long is written to a file before it is sent (spool.go): exports and backups.
//
// Methods return errors of the domain; errors.go turns them into gRPC statuses.
package server
