package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func newExplain() *cobra.Command {
	var (
		c                client
		q                question
		locale, asOf     string
		forAdministrator bool
	)
	cmd := &cobra.Command{
		Use:   "explain SUBJECT ACTION TYPE/ID --tenant TENANT",
		Short: "Ask why a subject may or may not do something, and what would help",
		Long: `Ask what 'usher check' asks, and be told more: in words for the person who was told no,
what would help and who can do it, and how each rule came out.

The text and what would help can be shown to anybody: they name no other person. With
--for-administrator, persons are named who can do it.

It exits with 0 for allow, 1 for deny and 2 when there is no answer. ` + aboutQuestions,
		Example: `  usher explain user:ann@dealer.example view ticket/4712 --tenant demo-dealer --scope team:parts
  usher explain user:ann@dealer.example reassign ticket/4711 --tenant demo-dealer \
      --scope team:harvest --locale de-CH --for-administrator
  usher explain user:ann@dealer.example view ticket/4711 --tenant demo-dealer \
      --scope team:harvest --as-of 7d`,
		Args:              arguments(questionArguments...),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			check, err := q.ask(args)
			if err != nil {
				return err
			}
			req := &usherv1.ExplainRequest{
				Check: check, Locale: locale, AsOf: parseAsOf(asOf, time.Now()), Audience: usherv1.Audience_AUDIENCE_END_USER,
			}
			if !cmd.Flags().Changed("locale") {
				req.Locale = readersLanguage()
			}
			if forAdministrator {
				req.Audience = usherv1.Audience_AUDIENCE_ADMINISTRATOR
			}
			allowed := false
			err = call(cmd, &c, func(ctx context.Context, conn *grpc.ClientConn) (*usherv1.ExplainResponse, error) {
				resp, err := usherv1.NewDecisionServiceClient(conn).Explain(ctx, req)
				allowed = resp.GetAnswer().GetDecision() == usherv1.Decision_DECISION_ALLOW
				return resp, err
			}, writeExplanation)
			if err == nil && !allowed {
				return answeredNo{}
			}
			return err
		},
	}
	c.addFlags(cmd)
	q.addFlags(cmd, &c)
	addAsOfFlag(cmd, &asOf)
	flags := cmd.Flags()
	flags.StringVar(&locale, "locale", "", "the `LANGUAGE` of the text, such as de-CH (default: what LANG names)")
	flags.BoolVar(&forAdministrator, "for-administrator", false, "name persons who can do what would help")
	return cmd
}

func writeExplanation(w io.Writer, resp *usherv1.ExplainResponse) {
	answer := resp.GetAnswer()
	fmt.Fprintf(w, "%s  %s\n%s\n", word(answer.GetDecision(), "DECISION_"),
		strings.TrimPrefix(answer.GetReason().GetCode().String(), "REASON_CODE_"), resp.GetText())
	if remedies := resp.GetRemedies(); len(remedies) > 0 {
		fmt.Fprintln(w, "\nwhat would help:")
		for _, remedy := range remedies {
			writeRemedy(w, remedy)
		}
	}
	if rules := resp.GetRules(); len(rules) > 0 {
		fmt.Fprintln(w)
		writeRules(w, rules)
	}
}

func writeRemedy(w io.Writer, remedy *usherv1.Remediation) {
	fmt.Fprintf(w, "  - %s\n", remedy.GetText())
	for i, step := range remedy.GetSteps() {
		by := step.GetBy()
		if len(by.GetSubjects()) == 0 {
			continue
		}
		which := "by"
		if len(remedy.GetSteps()) > 1 {
			which = fmt.Sprintf("step %d by", i+1)
		}
		others := ""
		if by.GetMoreSubjects() {
			others = " and others"
		}
		fmt.Fprintf(w, "    %s %s%s\n", which, strings.Join(by.GetSubjects(), ", "), others)
	}
}

func writeRules(w io.Writer, rules []*usherv1.RuleOutcome) {
	var rows [][]string
	for _, r := range rules {
		rows = append(rows, []string{
			r.GetRole(), r.GetHolder(), heldAt(r), word(r.GetEffect(), "RULE_EFFECT_"), reachOf(r),
			dash(r.GetCondition()), toggleOf(r), resultOf(r),
		})
	}
	writeTable(w, "ROLE HELD_BY IN RULE REACH CONDITION TOGGLE RESULT", rows)
}

func heldAt(r *usherv1.RuleOutcome) string {
	scopes := make([]string, len(r.GetScopes()))
	for i, scope := range r.GetScopes() {
		scopes[i] = place(scope)
	}
	text := strings.Join(scopes, ", ")
	if more := int(r.GetScopeCount()) - len(scopes); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func reachOf(r *usherv1.RuleOutcome) string {
	if r.GetWidenedReach() == "" {
		return r.GetReach()
	}
	return r.GetReach() + " or " + r.GetWidenedReach()
}

func toggleOf(r *usherv1.RuleOutcome) string {
	if r.GetToggle() == "" {
		return "-"
	}
	return r.GetToggle() + " " + word(r.GetToggleWanted(), "TOGGLE_STATE_")
}

// resultOf says how a rule came out, in words.
func resultOf(r *usherv1.RuleOutcome) string {
	switch r.GetResult() {
	case usherv1.RuleResult_RULE_RESULT_MATCHES:
		return "matches"
	case usherv1.RuleResult_RULE_RESULT_OUT_OF_REACH:
		return "out of reach"
	case usherv1.RuleResult_RULE_RESULT_CONDITION_FALSE:
		return "condition not met"
	case usherv1.RuleResult_RULE_RESULT_UNDECIDED:
		return r.GetAttribute() + " is missing"
	case usherv1.RuleResult_RULE_RESULT_TOGGLE:
		return "switched the other way"
	case usherv1.RuleResult_RULE_RESULT_NOT_ACTIVE:
		return "not in force"
	}
	return "the server gives a result that this client does not know"
}
