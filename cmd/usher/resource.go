package main

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// resourceFlags are the flags that say what a resource is like.
type resourceFlags struct {
	scopes     []string
	owner      string
	attributes []string
}

func (f *resourceFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.scopes, "scope", nil, "a `SCOPE` that the resource lies in, such as team:harvest (repeatable)")
	flags.StringVar(&f.owner, "owner", "", "the `SUBJECT` who owns the resource")
	flags.StringArrayVar(&f.attributes, "attr", nil, "a fact about the resource, `KEY=VALUE` (repeatable)")
}

// resource is the resource that is written TYPE/ID, or TYPE alone, with what the flags say.
func (f *resourceFlags) resource(name string) (*usherv1.Resource, error) {
	attributes, err := parseAttributes(f.attributes)
	if err != nil {
		return nil, err
	}
	resourceType, id, _ := strings.Cut(name, "/")
	return &usherv1.Resource{Type: resourceType, Id: id, Scopes: f.scopes, Owner: f.owner, Attributes: attributes}, nil
}

func addGroupFlag(cmd *cobra.Command, groups *[]string) {
	cmd.Flags().StringArrayVar(groups, "group", nil, "a `GROUP` that the subject is a member of, such as group:tier2 (repeatable)")
}

// parseAttributes reads KEY=VALUE pairs. It returns nil if there are none.
func parseAttributes(pairs []string) (*structpb.Struct, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	fields := make(map[string]*structpb.Value, len(pairs))
	for _, pair := range pairs {
		key, text, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, usagef("--attr %q: it is KEY=VALUE, such as status=open", pair)
		}
		if _, twice := fields[key]; twice {
			return nil, usagef("--attr %s is given twice", key)
		}
		var value any
		if json.Unmarshal([]byte(text), &value) != nil {
			value = text
		}
		v, err := structpb.NewValue(value)
		if err != nil {
			return nil, usagef("--attr %q: %w", pair, err)
		}
		fields[key] = v
	}
	return &structpb.Struct{Fields: fields}, nil
}
