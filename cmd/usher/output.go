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
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return err
	}
	return writeIndented(w, text)
}

// writeValue writes, for scripts, what is no message of the API.
func writeValue(w io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return writeIndented(w, text)
}

func writeIndented(w io.Writer, text []byte) error {
	var indented bytes.Buffer
	if err := json.Indent(&indented, text, "", "  "); err != nil {
		return err
	}
	indented.WriteByte('\n')
	_, err := indented.WriteTo(w)
	return err
}

// writeJSONLine is writeJSON for messages that are printed one to a line.
func writeJSONLine(w io.Writer, m proto.Message) error {
	text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return err
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return err
	}
	line.WriteByte('\n')
	_, err = line.WriteTo(w)
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

// limits says from when until when; "" if there are no limits.
func limits(starts, expires *timestamppb.Timestamp) string {
	var texts []string
	if starts != nil {
		texts = append(texts, "from "+instant(starts))
	}
	if expires != nil {
		texts = append(texts, "until "+instant(expires))
	}
	return strings.Join(texts, ", ")
}

// count says how many there are of something, such as "2 changes".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

// places is place for several scopes.
func places(scopes []string) string {
	if len(scopes) == 0 {
		return place("")
	}
	return strings.Join(scopes, ", ")
}
