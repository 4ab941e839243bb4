package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// writing is what every command has that changes something inside a tenant.
type writing struct {
	client
	behalf
	tenant    string
	reason    string
	requestID string
	expect    string
	dryRun    bool
}

func (w *writing) addFlags(cmd *cobra.Command) {
	w.client.addFlags(cmd)
	w.behalf.addFlags(cmd)
	flags := cmd.Flags()
	addReasonFlag(cmd, &w.reason)
	flags.StringVar(&w.requestID, "request-id", "", "an `ID` that makes it safe to repeat: within 24 hours it is done once")
	flags.BoolVar(&w.dryRun, "dry-run", false, "only find out what would happen")
}

func addReasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why, a `TEXT` for the record")
}

// addExpectFlag is for what is about one subject or one toggle.
func addExpectFlag(cmd *cobra.Command, revision *string) {
	cmd.Flags().StringVar(revision, "expect", "", "the `REVISION` of the answer that it rests on: refuse it if this has changed since")
}

// sign writes into the request what every write says.
func (w *writing) sign(req proto.Message) error {
	if err := w.behalf.sign(req); err != nil {
		return err
	}
	fields := req.ProtoReflect()
	set := func(name protoreflect.Name, value protoreflect.Value) {
		fields.Set(fields.Descriptor().Fields().ByName(name), value)
	}
	set("tenant", protoreflect.ValueOf(w.tenant))
	set("justification", protoreflect.ValueOf(w.reason))
	set("request_id", protoreflect.ValueOf(w.requestID))
	set("validate_only", protoreflect.ValueOf(w.dryRun))
	if w.expect != "" {
		set("expected_revision", protoreflect.ValueOf(w.expect))
	}
	return nil
}

// deed is what a command of its own does, `usher preview` tries and `usher apply` finds in a
// file: what is written about it.
type deed interface {
	addFlags(*cobra.Command)
	// act reads the arguments and the flags. Durations are counted from now.
	act(args []string, now time.Time) (*usherv1.Act, error)
}

// writeAnswer is the response of a write.
type writeAnswer interface {
	proto.Message
	GetOutcome() usherv1.Outcome
	GetWarnings() []*usherv1.Warning
}

// do signs the request, makes the write and prints what came of it.
func do[A writeAnswer](cmd *cobra.Command, w *writing, req proto.Message,
	ask func(context.Context, usherv1.AdminServiceClient) (A, error), table func(io.Writer, A),
) error {
	if err := w.sign(req); err != nil {
		return err
	}
	return call(cmd, &w.client, func(ctx context.Context, conn *grpc.ClientConn) (A, error) {
		answer, err := ask(ctx, usherv1.NewAdminServiceClient(conn))
		if err == nil {
			printWarnings(cmd.ErrOrStderr(), answer.GetWarnings())
		}
		return answer, err
	}, table)
}

func printWarnings(stderr io.Writer, warnings []*usherv1.Warning) {
	for _, warning := range warnings {
		text := inReadersLanguage(warning.GetTexts())
		if text == "" {
			text = warning.GetText()
		}
		fmt.Fprintln(stderr, "usher: warning:", text)
	}
}

// outcome is the first word about a write: whether it changed, or would change, anything.
func outcome(o usherv1.Outcome, dryRun bool) string {
	if dryRun && o == usherv1.Outcome_OUTCOME_CHANGED {
		return "would change"
	}
	return word(o, "OUTCOME_")
}

// refuseRelative is for intervals in requests that have an id: the same command line would
// be another request the next time.
func (w *writing) refuseRelative(i *interval) error {
	if w.requestID != "" && i.isRelative() {
		return usagef("--request-id: write times and no durations, which mean another time with each repetition")
	}
	return nil
}
