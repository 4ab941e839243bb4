package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// client is what every command has that calls a server: where it is, how long to wait,
// and how to print the answer.
type client struct {
	address  string
	timeout  time.Duration
	identity clientIdentity
	output   choice
}

func (c *client) addFlags(cmd *cobra.Command) {
	c.addConnectionFlags(cmd)
	addOutputFlag(cmd, &c.output)
}

func addOutputFlag(cmd *cobra.Command, output *choice) {
	*output = choice{word: "table", words: []string{"table", "json"}}
	cmd.Flags().VarP(output, "output", "o", "how to print the answer")
	complete(cmd, "output", output.completion())
}

// addConnectionFlags is for commands that print in one way only.
func (c *client) addConnectionFlags(cmd *cobra.Command) {
	flags := pflag.NewFlagSet("client", pflag.ContinueOnError)
	flags.StringVar(&c.address, "address", "127.0.0.1:7301", "where the server is: `HOST:PORT` or unix:///PATH")
	flags.DurationVar(&c.timeout, "timeout", 10*time.Second, "how long to wait for each answer of the server")
	c.identity.addFlags(flags)
	fromEnvironment(flags)
	cmd.Flags().AddFlagSet(flags)
}

// require makes flags of a command mandatory. It panics if there is no such flag.
func require(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
}

func (c *client) addTenantFlag(cmd *cobra.Command, tenant *string) {
	cmd.Flags().StringVar(tenant, "tenant", "", "the `TENANT`")
	require(cmd, "tenant")
	complete(cmd, "tenant", func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		return c.completeTenant(cmd, nil, word)
	})
}

// complete sets what a Tab offers for a flag. It panics if there is no such flag.
func complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err)
	}
}

// call asks the server and prints the answer: as JSON if that is wanted, else by table.
func call[M proto.Message](cmd *cobra.Command, c *client,
	ask func(context.Context, *grpc.ClientConn) (M, error), table func(io.Writer, M),
) error {
	return c.connect(cmd, func(ctx context.Context, conn *grpc.ClientConn) error {
		answer, err := ask(ctx, conn)
		if err != nil {
			return err
		}
		if c.output.word == "json" {
			return writeJSON(cmd.OutOrStdout(), answer)
		}
		table(cmd.OutOrStdout(), answer)
		return nil
	})
}

// connect lets use have a connection to the server, and explains its error.
func (c *client) connect(cmd *cobra.Command, use func(context.Context, *grpc.ClientConn) error) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	return c.explain(use(cmd.Context(), conn))
}

// dial doesn't connect yet: the first call does.
func (c *client) dial() (*grpc.ClientConn, error) {
	if c.timeout <= 0 {
		return nil, usagef("--timeout %s: it is longer than nothing, such as 10s", c.timeout)
	}
	if err := c.checkAddress(); err != nil {
		return nil, err
	}
	options, err := c.identity.dialOptions(c.address)
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient(c.address, append(options,
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)),
		grpc.WithUnaryInterceptor(c.limitTime))...)
	if err != nil {
		return nil, usagef("--address %q: %w", c.address, err)
	}
	return conn, nil
}

// checkAddress finds what would otherwise be looked up as the name of a host.
func (c *client) checkAddress() error {
	if strings.HasPrefix(c.address, "unix:") {
		return nil
	}
	if _, port, found := strings.Cut(c.address, ":"); !found || port == "" || strings.Contains(c.address, "/") {
		return usagef("--address %q: it is HOST:PORT, such as 127.0.0.1:7301, or unix:///PATH", c.address)
	}
	return nil
}

// limitTime gives every call of its own the timeout: a long list takes many.
func (c *client) limitTime(ctx context.Context, method string, req, resp any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	return invoke(ctx, method, req, resp, conn, options...)
}

// allPages calls fetch with the token of each page, until there are no more.
func allPages(fetch func(token string) (next string, err error)) error {
	for token := ""; ; {
		next, err := fetch(token)
		if err != nil || next == "" {
			return err
		}
		if next == token {
			return fmt.Errorf("the server names the same next page twice: the list would have no end")
		}
		token = next
	}
}
