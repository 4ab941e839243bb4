package main

import (
	"github.com/spf13/cobra"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// behalf says on whose behalf a write is made. There is no default and no environment
// variable: acting as the operator is always visible on the command line.
type behalf struct {
	as         string
	groups     []string
	asOperator bool
}

func (b *behalf) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&b.as, "as", "", "the `ACTOR`, a person inside the tenant on whose behalf it is done")
	flags.StringArrayVar(&b.groups, "as-group", nil, "a `GROUP` that the actor is a member of (repeatable)")
	flags.BoolVar(&b.asOperator, "as-operator", false, "do it as the staff of the installation")
	cmd.MarkFlagsMutuallyExclusive("as", "as-operator")
	cmd.MarkFlagsMutuallyExclusive("as-group", "as-operator")
}

// by returns an actor or the operator: one of the two is nil.
func (b *behalf) by() (*usherv1.Actor, *usherv1.Operator, error) {
	switch {
	case b.asOperator:
		return nil, &usherv1.Operator{}, nil
	case b.as != "":
		return &usherv1.Actor{Subject: b.as, Groups: b.groups}, nil, nil
	}
	return nil, nil, usagef("on whose behalf? Write --as ACTOR for a person inside the tenant, " +
		"such as --as user:ann@dealer.example, or --as-operator for the staff of the installation")
}
