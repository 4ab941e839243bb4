package main

import (
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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

// sign writes into a request, which has fields for it, on whose behalf it is made.
func (b *behalf) sign(req proto.Message) error {
	fields := req.ProtoReflect()
	switch {
	case b.asOperator:
		fields.Set(fields.Descriptor().Fields().ByName("operator"), protoreflect.ValueOf((&usherv1.Operator{}).ProtoReflect()))
	case b.as != "":
		actor := &usherv1.Actor{Subject: b.as, Groups: b.groups}
		fields.Set(fields.Descriptor().Fields().ByName("actor"), protoreflect.ValueOf(actor.ProtoReflect()))
	default:
		return usagef("on whose behalf? Write --as ACTOR for a person inside the tenant, " +
			"such as --as user:ann@dealer.example, or --as-operator for the staff of the installation")
	}
	return nil
}
