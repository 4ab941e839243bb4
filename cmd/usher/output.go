package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// writeJSON writes the message for scripts: every field is there, lists as [] when empty,
// and the same message always gives the same bytes, which protojson alone doesn't promise.
func writeJSON(w io.Writer, m proto.Message) error {
	compact, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, compact, "", "  "); err != nil {
		return err
	}
	text.WriteByte('\n')
	_, err = text.WriteTo(w)
	return err
}

// writeTable aligns the rows under the headings.
func writeTable(w io.Writer, headings string, rows [][]string) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.ReplaceAll(headings, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	table.Flush()
}

// word turns the name of an enum's value, "TOGGLE_STATE_ON", into what people read: "on".
func word(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}

// instant is how times are printed: in UTC, to the second; "-" for none.
func instant(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Format(time.RFC3339)
}

// dash stands for an empty cell, so that columns can be told apart.
func dash(cell string) string {
	if cell == "" {
		return "-"
	}
	return cell
}

// place says where an assignment holds.
func place(scope string) string {
	if scope == "" {
		return "the tenant"
	}
	return scope
}
