package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// ask puts a question to whoever sits at the terminal. If nobody does, the error says what
// else to write.
func ask(cmd *cobra.Command, question, otherwise string) (string, error) {
	stdin, isFile := cmd.InOrStdin().(*os.File)
	if !isFile || !term.IsTerminal(int(stdin.Fd())) {
		return "", usagef("there is no terminal to ask on: %s", otherwise)
	}
	fmt.Fprint(cmd.ErrOrStderr(), question)
	answer, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil {
		return "", errors.New("there was no answer: nothing was changed")
	}
	return strings.TrimSpace(answer), nil
}

// confirm asks whether to go on, and returns an error if not.
func confirm(cmd *cobra.Command, question string) error {
	answer, err := ask(cmd, question+" [y/N] ", "say --yes to do it")
	if err != nil {
		return err
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return errors.New("not done: nothing was changed")
}

func addYesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do it without a question")
}
