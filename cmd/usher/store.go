package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/usher-pdp/usher/store/bolt"
)

func newStore() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look after the file of the data, while no server runs on it",
		Long: `Look after the file of the data, while no server runs on it: find out whether it is whole, and
take out of it what is free.`,
		Example: `  usher store check --data-dir /var/lib/usher
  usher store compact --data-dir /var/lib/usher`,
	}
	cmd.AddCommand(newStoreCheck(), newStoreCompact())
	return cmd
}

func newStoreCheck() *cobra.Command {
	var data dataDirectory
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Find out whether the file of the data, or a backup, is whole",
		Long: `Find out whether FILE, such as a backup, or else the file of the data in --data-dir, is whole: its
pages, the checksum of every record, what is listed in indexes, and the chains of the records of
changes. Up to 1,000 faults are printed, each with its place, which may name persons. Nothing is
changed. A server must not have the file open: make a backup of that, and check it.

Exit status: 0 it is whole, 1 it is not, 2 it could not be looked at.`,
		Example: `  usher store check --data-dir /var/lib/usher
  usher store check /backup/usher-2026-12-24.db -o json`,
		Args: arguments("[FILE]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && data.directory == "" {
				return usagef("name a FILE, or a directory with --data-dir")
			}
			path, err := "", error(nil)
			if len(args) > 0 { // also where USHER_DATA_DIR says something
				path = args[0]
			} else if path, err = data.file(); err != nil {
				return err
			}
			progress := progressOn(cmd.ErrOrStderr())
			report, err := bolt.Check(cmd.Context(), path, steps(progress))
			progress("")
			if err != nil {
				return err
			}
			if err := data.print(cmd.OutOrStdout(), checkJSON(path, report), func() string { return checkText(path, report) }); err != nil {
				return err
			}
			if len(report.Findings) > 0 {
				return answeredNo{}
			}
			return nil
		},
	}
	data.addFlags(cmd)
	return cmd
}

func checkJSON(path string, report bolt.Report) any {
	type finding struct {
		Where string `json:"where"`
		Text  string `json:"text"`
	}
	findings := make([]finding, len(report.Findings))
	for i, f := range report.Findings {
		findings[i] = finding(f)
	}
	revision := ""
	if report.Revision.Epoch != "" {
		revision = report.Revision.String()
	}
	return struct {
		File        string    `json:"file"`
		Whole       bool      `json:"whole"`
		Format      int       `json:"format"`
		Revision    string    `json:"revision"`
		Bytes       int64     `json:"bytes"`
		FreeBytes   int64     `json:"free_bytes"`
		Tenants     int64     `json:"tenants"`
		Assignments int64     `json:"assignments"`
		Changes     int64     `json:"changes"`
		Findings    []finding `json:"findings"`
		More        bool      `json:"more_findings"`
	}{
		path, len(findings) == 0, report.Format, revision, report.Bytes, report.FreeBytes,
		report.Tenants, report.Assignments, report.Changes, findings, report.More,
	}
}

func checkText(path string, report bolt.Report) string {
	var text strings.Builder
	for _, f := range report.Findings {
		fmt.Fprintf(&text, "%s: %s\n", f.Where, f.Text)
	}
	switch n := len(report.Findings); {
	case report.More:
		fmt.Fprintf(&text, "damaged  %s: more than %s; restore a backup\n", path, count(n, "fault"))
	case n > 0:
		fmt.Fprintf(&text, "damaged  %s: %s; restore a backup\n", path, count(n, "fault"))
	default:
		fmt.Fprintf(&text, "whole  %s: format %d, revision %s, %s (%s free), %s, %s, %s\n", path, report.Format, report.Revision,
			bytesText(report.Bytes), bytesText(report.FreeBytes),
			count(int(report.Tenants), "tenant"), count(int(report.Assignments), "assignment"), count(int(report.Changes), "change"))
	}
	return text.String()
}

func newStoreCompact() *cobra.Command {
	var data dataDirectory
	cmd := &cobra.Command{
		Use:   "compact --data-dir DIRECTORY",
		Short: "Write the file of the data anew, without what is free in it",
		Long: `Write the file of the data anew, without what is free in it: it gets smaller, and nothing that was
erased or removed is in it any more. No server must run on it, and there has to be room for the
old file and the new one. Both are verified; the new one takes the place of the old one when it is
whole. Revisions stay as they are.`,
		Example: `  usher store compact --data-dir /var/lib/usher`,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := data.file()
			if err != nil {
				return err
			}
			progress := progressOn(cmd.ErrOrStderr())
			done, err := bolt.Compact(cmd.Context(), path, steps(progress))
			progress("")
			if err != nil {
				return err
			}
			return data.print(cmd.OutOrStdout(), struct {
				File     string `json:"file"`
				Revision string `json:"revision"`
				Before   int64  `json:"bytes_before"`
				After    int64  `json:"bytes_after"`
			}{path, done.Revision.String(), done.BytesBefore, done.BytesAfter}, func() string {
				return fmt.Sprintf("compacted  %s: from %s to %s\n", path, bytesText(done.BytesBefore), bytesText(done.BytesAfter))
			})
		},
	}
	data.addFlags(cmd)
	require(cmd, "data-dir")
	return cmd
}

// dataDirectory is what commands have that work on the file of the data themselves.
type dataDirectory struct {
	directory string
	output    choice
}

func (d *dataDirectory) addFlags(cmd *cobra.Command) {
	flags := pflag.NewFlagSet("data", pflag.ContinueOnError)
	flags.StringVar(&d.directory, "data-dir", "", "the `DIRECTORY` of the data")
	fromEnvironment(flags)
	cmd.Flags().AddFlagSet(flags)
	addOutputFlag(cmd, &d.output)
}

// file returns the path of the file, whose directory has to be there.
func (d *dataDirectory) file() (string, error) {
	info, err := os.Stat(d.directory)
	if err == nil && !info.IsDir() {
		err = errors.New("it is a file: name the directory that it is in")
	}
	if err != nil {
		return "", fmt.Errorf("--data-dir %s: %w", d.directory, err)
	}
	return (&settings{dataDir: d.directory}).file(), nil
}

// print prints an answer: as JSON if that is wanted, else as text.
func (d *dataDirectory) print(w io.Writer, answer any, text func() string) error {
	if d.output.word != "json" {
		_, err := io.WriteString(w, text())
		return err
	}
	return writeValue(w, answer)
}
