package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/usher-pdp/usher/server/access"
)

func newToken() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Make tokens with which callers show who they are",
		Example: `  usher token new ticketing`,
	}
	cmd.AddCommand(newTokenNew())
	return cmd
}

func newTokenNew() *cobra.Command {
	var output choice
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a token, and print it once",
		Long: `Make a token, and print it once, with the line that has to be added to the server's tokens
file. The server keeps only the hash, and this command nothing: the token is for the caller
alone. NAME is what the access file calls it, token:NAME. No server is asked.

While a token is replaced, the file has two lines of one name.`,
		Example: `  usher token new ticketing
  usher token new ticketing -o json`,
		Args: arguments("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, hash := access.NewToken()
			line := args[0] + " " + hash
			if _, err := access.ParseTokens([]byte(line)); err != nil || strings.HasPrefix(line, "#") {
				return usagef("%q can't be the name of a token: it is of letters, digits, ., _ and -, such as ticketing", args[0])
			}
			w := cmd.OutOrStdout()
			if output.word == "json" {
				return writeValue(w, map[string]string{"token": token, "line": line})
			}
			_, err := fmt.Fprintf(w, "The token, for the caller, in a file that nobody else can read (it is not shown again):\n\n%s\n\n"+
				"The line to add to the tokens file of the server:\n\n%s\n", token, line)
			return err
		},
	}
	addOutputFlag(cmd, &output)
	return cmd
}
