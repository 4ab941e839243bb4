package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/usher-pdp/usher/server/policy"
)

func newCatalogDiff() *cobra.Command {
	var (
		output choice
		words  bool
	)
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Find every decision that two catalogs make differently",
		Long: `Find every decision that two catalogs make differently, without a server: who gains (+) and
loses (-) what, where, and while which toggles stand how. OLD and NEW are files or the names of
built-in catalogs. First comes who holds one role, in the tenant or in a scope of each type; then
who holds two of which one forbids what it did not, or no longer does. No other change of
decisions is possible, whatever is held. After that come the rules of administration,
toggles, and what is stated; texts for people with --words.

The exit status is 0 if nothing is different, 1 if something is, and 2 if that can't be found out.`,
		Example: `  usher catalog diff expertconnect mine.yaml
  usher catalog diff old.yaml new.yaml --words -o json`,
		Args: arguments("OLD", "NEW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			old, err := openCatalog(args[0])
			if err != nil {
				return err
			}
			new, err := openCatalog(args[1])
			if err != nil {
				return err
			}
			diff := policy.NewDiff(old, new)
			if !words {
				diff.Words = nil
			}
			w := cmd.OutOrStdout()
			if output.word == "json" {
				if err := writeCatalogDiffJSON(w, diff); err != nil {
					return err
				}
			} else {
				writeCatalogDiff(w, diff)
			}
			switch {
			case len(diff.Undecided) > 0:
				return fmt.Errorf("it can't be found out what changes for %s: their rules look at too many attributes or toggles", strings.Join(diff.Undecided, ", "))
			case !diff.Same() || len(diff.Statements)+len(diff.Words) > 0:
				return answeredNo{}
			}
			return nil
		},
	}
	addOutputFlag(cmd, &output)
	cmd.Flags().BoolVar(&words, "words", false, "compare the texts for people, too")
	return cmd
}

func writeCatalogDiff(w io.Writer, d *policy.Diff) {
	if d.Same() && len(d.Statements)+len(d.Words) == 0 {
		fmt.Fprintln(w, "nothing is different")
		return
	}
	parts := 0
	heading := func(text string) {
		if parts++; parts > 1 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, text)
	}
	rest := d.Decisions
	for len(rest) > 0 {
		n := 1
		for n < len(rest) && slices.Equal(rest[n].Holder, rest[0].Holder) {
			n++
		}
		heading(holderText(rest[0].Holder))
		for _, c := range rest[:n] {
			fmt.Fprintf(w, "  %s\n", decisionLine(c))
		}
		rest = rest[n:]
	}
	for _, part := range []struct {
		heading string
		changes []policy.SettingChange
	}{{"rules", d.Rules}, {"statements", d.Statements}, {"words", d.Words}} {
		if len(part.changes) == 0 {
			continue
		}
		heading(part.heading)
		for _, c := range part.changes {
			fmt.Fprintf(w, "  %s\n", settingText(c))
		}
	}
}

// holderText says who asks.
func holderText(held []policy.HeldRole) string {
	if len(held) == 0 {
		return "whoever holds no role"
	}
	texts := make([]string, len(held))
	for i, h := range held {
		texts[i] = h.Role + " in the tenant"
		if h.Scope != "" {
			texts[i] = h.Role + " in one " + scopeTypeOf(h.Scope)
		}
	}
	return strings.Join(texts, ", beside ")
}

func scopeTypeOf(scope string) string {
	scopeType, _, _ := strings.Cut(scope, ":")
	return scopeType
}

// decisionLine is a line about a decision that changes.
func decisionLine(c policy.DecisionChange) string {
	sign := "-"
	if c.Effect.Gained {
		sign = "+"
	}
	text := fmt.Sprintf("%s %s %s", sign, c.Effect.Permission, areaOfChange(c))
	if c.Effect.Condition != "" {
		text += fmt.Sprintf(", if %s", c.Effect.Condition)
	}
	if while := whileText(c.While); while != "" {
		text += ", while " + while
	}
	if len(c.Holder) != 1 || c.Effect.Role != c.Holder[0].Role {
		text += ", by the role " + c.Effect.Role
	}
	return text
}

func areaOfChange(c policy.DecisionChange) string {
	switch area := c.Effect.Area; area.Kind {
	case policy.AreaAnyScope:
		return "in any " + area.Name
	case policy.AreaOwn:
		return "on what is their own"
	case policy.AreaScope:
		text := "in that " + scopeTypeOf(area.Name)
		if len(c.Holder) > 1 {
			i := slices.IndexFunc(c.Holder, func(h policy.HeldRole) bool { return h.Scope == area.Name })
			text += " of the " + c.Holder[i].Role
		}
		return text
	case policy.AreaResource:
		return "on " + area.Name
	}
	return "everywhere"
}

// whileText says how toggles stand; "" for always.
func whileText(while []map[string]bool) string {
	alternatives := make([]string, len(while))
	for i, stands := range while {
		var parts []string
		for _, toggle := range slices.Sorted(maps.Keys(stands)) {
			state := "off"
			if stands[toggle] {
				state = "on"
			}
			parts = append(parts, toggle+" is "+state)
		}
		alternatives[i] = strings.Join(parts, " and ")
	}
	return strings.Join(alternatives, ", or while ")
}

func settingText(c policy.SettingChange) string {
	switch {
	case c.Old == "":
		return fmt.Sprintf("+ %s, %s: %s", c.About, c.Setting, c.New)
	case c.New == "":
		return fmt.Sprintf("- %s, %s: %s", c.About, c.Setting, c.Old)
	}
	return fmt.Sprintf("~ %s, %s: %s, was %s", c.About, c.Setting, c.New, c.Old)
}

// areaNames are the kinds of areas for programs.
var areaNames = map[policy.AreaKind]string{
	policy.AreaTenant:   "tenant",
	policy.AreaAnyScope: "any_scope",
	policy.AreaOwn:      "own",
	policy.AreaScope:    "scope",
	policy.AreaResource: "resource",
}

func writeCatalogDiffJSON(w io.Writer, d *policy.Diff) error {
	decisions := make([]map[string]any, len(d.Decisions))
	for i, c := range d.Decisions {
		holder := make([]map[string]any, len(c.Holder))
		for k, h := range c.Holder {
			holder[k] = map[string]any{"role": h.Role, "scope_type": scopeTypeOf(h.Scope)}
		}
		area := map[string]any{"kind": areaNames[c.Effect.Area.Kind], "name": c.Effect.Area.Name}
		if c.Effect.Area.Kind == policy.AreaScope {
			area["name"] = scopeTypeOf(c.Effect.Area.Name)
		}
		decisions[i] = map[string]any{
			"holder": holder, "gained": c.Effect.Gained, "permission": c.Effect.Permission, "area": area,
			"condition": c.Effect.Condition, "role": c.Effect.Role, "while": append([]map[string]bool{}, c.While...),
		}
	}
	settings := func(changes []policy.SettingChange) []map[string]any {
		all := make([]map[string]any, len(changes))
		for i, c := range changes {
			all[i] = map[string]any{"about": c.About, "setting": c.Setting, "old": c.Old, "new": c.New}
		}
		return all
	}
	return writeValue(w, map[string]any{
		"decisions": decisions, "undecided": append([]string{}, d.Undecided...),
		"rules": settings(d.Rules), "statements": settings(d.Statements), "words": settings(d.Words),
	})
}
