package main

import (
	"fmt"
	"io"
	"regexp"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check and print the settings of a server",
		Example: `  usher config check --config /etc/usher/usher.yaml
  usher config print --config /etc/usher/usher.yaml`,
	}
	cmd.AddCommand(newConfigCheck(), newConfigPrint())
	return cmd
}

func newConfigCheck() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find what 'usher serve' would refuse to start with",
		Long: `Find what 'usher serve' would refuse to start with: wrong and missing settings, addresses
that it may not listen on, and files that are missing or wrong. It takes the settings as
'usher serve' does, from flags, variables and the file. Neither the store nor a port is
opened. It exits with 0 if all is right, else with 2.`,
		Example: `  usher config check --config /etc/usher/usher.yaml`,
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			known, err := s.prepare()
			if err != nil {
				return err
			}
			for _, sentence := range append(s.warnings(), known.remarks()...) {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", sentence)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "the settings are right")
			return nil
		},
	}
	s.addFlags(cmd)
	return cmd
}

func newConfigPrint() *cobra.Command {
	var (
		s      settings
		output choice
	)
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print the settings that a server would run with, and where each is from",
		Long: `Print the settings that a server would run with, as a file for --config. A comment says
where each is from: a flag, a variable, a line of the file, or default. Passwords in
addresses are masked. Nothing is checked but whether the settings can be read.`,
		Example: `  usher config print
  USHER_CACHE_SIZE=1GiB usher config print --config /etc/usher/usher.yaml -o json`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.readFile(); err != nil {
				return err
			}
			if output.word == "json" {
				return s.printJSON(cmd.OutOrStdout())
			}
			return s.printYAML(cmd.OutOrStdout())
		},
	}
	s.addFlags(cmd)
	output = choice{word: "yaml", words: []string{"yaml", "json"}}
	cmd.Flags().VarP(&output, "output", "o", "how to print them")
	complete(cmd, "output", output.completion())
	return cmd
}

func (s *settings) printYAML(w io.Writer) error {
	mapping := &yaml.Node{Kind: yaml.MappingNode}
	s.each(func(f *pflag.Flag) {
		name, value := &yaml.Node{}, &yaml.Node{Kind: yaml.ScalarNode, Value: f.Value.String()}
		name.SetString(f.Name)
		if f.Value.Type() == "string" {
			value.SetString(masked(f.Value.String()))
		}
		value.LineComment = sourceOf(f)
		mapping.Content = append(mapping.Content, name, value)
	})
	encoder := yaml.NewEncoder(w)
	if err := encoder.Encode(mapping); err != nil {
		return err
	}
	return encoder.Close()
}

// printedSetting is a setting in JSON. Values are written as in a variable.
type printedSetting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

func (s *settings) printJSON(w io.Writer) error {
	var all []printedSetting
	s.each(func(f *pflag.Flag) {
		all = append(all, printedSetting{Name: f.Name, Value: masked(f.Value.String()), From: sourceOf(f)})
	})
	return writeValue(w, map[string]any{"settings": all})
}

// password matches what comes up to the end of USER:PASSWORD@ in an address, also in one that isn't right.
var password = regexp.MustCompile(`^((?:[a-z]+://)?[^/:@]*:).+@`)

// masked hides the password in an address.
func masked(value string) string { return password.ReplaceAllString(value, "${1}xxxxx@") }
