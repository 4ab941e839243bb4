package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/usher-pdp/usher/server/policy"
)

// reproduction is the commands that show a counterexample on a server.
type reproduction struct {
	Commands []reproducing `json:"commands"`
}

// reproducing is a command, and how its answer begins if that matters.
type reproducing struct {
	Arguments []string `json:"arguments"`
	Answer    string   `json:"answer,omitempty"`
}

// scripter writes counterexamples of a catalog as commands.
type scripter struct {
	catalog *policy.Catalog
	files   []string // to put on the server, in this order
}

// reproduce writes the commands for a proof that has a counterexample.
func (s scripter) reproduce(proof policy.Proof) *reproduction {
	x := proof.Counterexample
	ref, tenant := s.catalog.Ref(), fmt.Sprintf("counterexample-%d", proof.Index)
	if proof.Index < 0 {
		tenant = "counterexample"
	}
	r := &reproduction{}
	for _, file := range s.files {
		r.add("catalog", "put", "--unproved", file)
	}
	r.add("tenant", "create", tenant, "--catalog", ref.Name, "--catalog-version", fmt.Sprint(ref.Version),
		"--first-administrator", policy.FirstAdministrator)
	stand := map[string]bool{}
	for _, given := range x.Held {
		s.set(r, tenant, stand, given.Toggles)
		arguments := []string{"grant", given.Subject, given.Role, "--tenant", tenant}
		if given.Scope != "" {
			arguments = append(arguments, "--scope", given.Scope)
		}
		if given.By == "" {
			arguments = append(arguments, "--as-operator")
		} else {
			arguments = append(arguments, "--as", given.By)
		}
		for _, group := range given.ByGroups {
			arguments = append(arguments, "--as-group", group)
		}
		r.add(arguments...)
	}
	s.set(r, tenant, stand, x.Toggles)
	r.check(tenant, x.Request, x.Groups, x.Allow)
	if x.Other != nil {
		r.check(tenant, *x.Other, x.Groups, !x.Allow)
	}
	return r
}

func (r *reproduction) add(arguments ...string) {
	r.Commands = append(r.Commands, reproducing{Arguments: append([]string{"usher"}, arguments...)})
}

// set lets the toggles stand as wanted. In stand are those that do not stand as they start.
func (s scripter) set(r *reproduction, tenant string, stand, wanted map[string]bool) {
	for _, t := range s.catalog.Message().GetToggles() {
		name := t.GetName()
		_, changed := stand[name]
		on, change := wanted[name]
		if changed == change {
			continue
		}
		if !change {
			on = t.GetStartsOn()
		}
		state := "off"
		if on {
			state = "on"
		}
		r.add("toggle", "set", name, state, "--tenant", tenant, "--as-operator")
	}
	clear(stand)
	maps.Copy(stand, wanted)
}

func (r *reproduction) check(tenant string, ask policy.Request, groups []string, allow bool) {
	about := ask.Resource.Type
	if ask.Resource.ID != "" {
		about += "/" + ask.Resource.ID
	}
	arguments := []string{"check", ask.Subject, ask.Action, about, "--tenant", tenant}
	for _, group := range groups {
		arguments = append(arguments, "--group", group)
	}
	for _, scope := range ask.Resource.Scopes {
		arguments = append(arguments, "--scope", scope)
	}
	if ask.Resource.Owner != "" {
		arguments = append(arguments, "--owner", ask.Resource.Owner)
	}
	for _, name := range slices.Sorted(maps.Keys(ask.Resource.Attributes)) {
		value, err := json.Marshal(ask.Resource.Attributes[name].AsInterface())
		if err != nil {
			panic(err) // all are finite
		}
		arguments = append(arguments, "--attr", name+"="+string(value))
	}
	r.add(arguments...)
	r.Commands[len(r.Commands)-1].Answer = "deny"
	if allow {
		r.Commands[len(r.Commands)-1].Answer = "allow"
	}
}

// quoted writes the arguments for a shell.
func quoted(arguments []string) []string {
	all := make([]string, len(arguments))
	for i, a := range arguments {
		all[i] = a
		if a == "" || strings.ContainsFunc(a, needsQuotes) {
			all[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return all
}

func needsQuotes(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune("-_./:=@,", r)
}
