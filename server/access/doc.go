// Package access tells callers apart and says what each of them may call: the services that ask
// Usher, not the people they ask about.
//
// A Peer is what a connection shows of who is at its other end (transport.go): a client
// certificate, or the process at a unix socket. A bearer token comes with each call (tokens.go). The
// access file (policy.go) gives these identities names and says what each Caller may: services,
// tenants, reading or writing, naming actors, acting as the operator. Whoever it doesn't name may
// nothing. The Guard (guard.go) brings them together: who is the caller of this call?
//
// The files are read again when they change (reload.go). A new content that is wrong changes nothing.
package access
