package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/policy/catalogs"
)

func newCatalogVerify() *cobra.Command {
	output := choice{word: "table", words: []string{"table", "json"}}
	cmd := &cobra.Command{
		Use:   "verify FILE|CATALOG...",
		Short: "Prove what catalogs state, without a server",
		Long: `Prove what catalogs state must never or always hold, without a server: for all states of the
toggles, wherever roles are held, and for every request. CATALOG is the name of a built-in one.
What is not true is shown by commands that reproduce it on a server, and the answer.

It exits with 0 if all is proved, and with 1 if something is not true or can't be decided.`,
		Example: `  usher catalog verify mine.yaml
  usher catalog verify expertconnect liveagent goto_contact_center -o json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("missing FILE|CATALOG")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			all := []*verified{}
			for _, name := range args {
				v, err := verifyCatalog(name, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				all = append(all, v)
			}
			if err := writeProofs(cmd.OutOrStdout(), all, output.word == "json"); err != nil {
				return err
			}
			for _, v := range all {
				if !v.proved() {
					return answeredNo{}
				}
			}
			return nil
		},
	}
	cmd.Flags().VarP(&output, "output", "o", "how to print the answer")
	complete(cmd, "output", output.completion())
	return cmd
}

// verified is what came of the statements of a catalog.
type verified struct {
	Catalog    string              `json:"catalog"`
	Version    uint32              `json:"version"`
	Statements []verifiedStatement `json:"statements"`
}

type verifiedStatement struct {
	// Statement is its index in the catalog, or -1 for what is asked of every catalog.
	Statement int          `json:"statement"`
	Title     string       `json:"title"`
	Result    provedResult `json:"result"`
	// Problem is why it can't be decided, and Counterexample what shows that it is not true. What
	// the extended catalog states can't be tried on a server, so that Problem tells it.
	Problem        string        `json:"problem,omitempty"`
	Counterexample *reproduction `json:"counterexample,omitempty"`
}

type provedResult string

const (
	isProved    provedResult = "PROVED"
	isNotTrue   provedResult = "NOT_TRUE"
	isUndecided provedResult = "UNDECIDED"
)

// words is how the result is printed for people.
var words = map[provedResult]string{isProved: "proved", isNotTrue: "NOT TRUE", isUndecided: "can't be decided"}

func (v *verified) proved() bool {
	for _, s := range v.Statements {
		if s.Result != isProved {
			return false
		}
	}
	return true
}

// verifyCatalog proves the statements of a file or of a built-in catalog.
func verifyCatalog(name string, stderr io.Writer) (*verified, error) {
	file, yaml, put := name, []byte(nil), true
	for _, source := range catalogs.All() {
		if source.Name == name+".yaml" {
			file, yaml, put = source.Name, source.YAML, false
		}
	}
	if put {
		var err error
		if yaml, err = os.ReadFile(name); err != nil { // #nosec G304 -- the file that the user names
			return nil, fmt.Errorf("%w; it is a file, or one of the built-in catalogs", err)
		}
	}
	bases := baseFinder{directory: filepath.Dir(file)}
	catalog, err := policy.Parse(file, yaml, bases.find)
	if err != nil {
		return nil, fmt.Errorf("the catalog has faults:\n%w", err)
	}
	v := &verified{Catalog: catalog.Ref().Name, Version: catalog.Ref().Version}
	script := scripter{catalog: catalog, files: bases.files}
	if put {
		script.files = append(script.files, name)
	}
	show := showProving(stderr, len(catalog.Message().GetStatements())+1)
	for proof, err := range catalog.Proofs() {
		s := verifiedStatement{Statement: proof.Index, Title: proof.Title, Result: isProved}
		switch {
		case err != nil:
			s.Result, s.Problem = isUndecided, err.Error()
		case proof.Counterexample != nil && proof.Extended:
			s.Result, s.Problem = isNotTrue, "the extended catalog states it, so no server takes this one: "+proof.Counterexample.String()
		case proof.Counterexample != nil:
			s.Result, s.Counterexample = isNotTrue, script.reproduce(proof)
		}
		v.Statements = append(v.Statements, s)
		show(len(v.Statements))
	}
	show(0)
	return v, nil
}

// showProving shows how many statements are done, on a line that is written again and again
// and in the end removed. For a file, it shows nothing.
func showProving(stderr io.Writer, all int) func(done int) {
	file, isFile := stderr.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return func(int) {}
	}
	return func(done int) {
		if done == 0 {
			fmt.Fprint(file, "\r\x1b[K")
			return
		}
		fmt.Fprintf(file, "\r%d of %d statements", done, all)
	}
}

func writeProofs(w io.Writer, all []*verified, asJSON bool) error {
	if asJSON {
		return writeValue(w, map[string]any{"catalogs": all})
	}
	for i, v := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s version %d\n", v.Catalog, v.Version)
		for _, s := range v.Statements {
			fmt.Fprintf(w, "  %-16s  %s\n", words[s.Result], s.Title)
			if s.Problem != "" {
				fmt.Fprintf(w, "      %s\n", s.Problem)
			}
			if s.Counterexample == nil {
				continue
			}
			for _, command := range s.Counterexample.Commands {
				fmt.Fprintf(w, "      $ %s\n", strings.Join(quoted(command.Arguments), " "))
				if command.Answer != "" {
					fmt.Fprintf(w, "      %s\n", command.Answer)
				}
			}
		}
	}
	return nil
}
