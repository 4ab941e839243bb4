package main

import (
	"bytes"
	"context"
	_ "embed" // for demo.yaml
	"fmt"
	"io"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// demo is the content of demo.yaml.
type demo struct {
	Tenants []demoTenant `yaml:"tenants"`
	Try     []demoTrial  `yaml:"try"`
}

type demoTenant struct {
	Name               string            `yaml:"name"`
	Catalog            string            `yaml:"catalog"`
	FirstAdministrator string            `yaml:"first_administrator"`
	Toggles            map[string]string `yaml:"toggles"`
	Staff              []demoMember      `yaml:"staff"`
}

// demoMember holds a role in each of the scopes, or in the tenant if there is none.
type demoMember struct {
	Subject string   `yaml:"subject"`
	Role    string   `yaml:"role"`
	Scopes  []string `yaml:"scopes"`
	// From and Until are counted from when the tenant is made; 0 is no limit.
	From  time.Duration `yaml:"from"`
	Until time.Duration `yaml:"until"`
}

// demoTrial is a command to try. ADDRESS in it stands for the server's.
type demoTrial struct {
	Why     string `yaml:"why"`
	Command string `yaml:"command"`
	Answer  string `yaml:"answer"`
}

// playDemo makes the tenants that there aren't yet, through the API like anybody else,
// and prints commands to try.
func playDemo(ctx context.Context, address string, out io.Writer) error {
	d, err := readDemo()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, t := range d.Tenants {
		if err := t.create(ctx, conn); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	d.print(out, address)
	return nil
}

//go:embed demo.yaml
var demoYAML []byte

func readDemo() (*demo, error) {
	d := &demo{}
	decoder := yaml.NewDecoder(bytes.NewReader(demoYAML))
	decoder.KnownFields(true)
	return d, decoder.Decode(d)
}

// create leaves a tenant alone that is there already: somebody may have played with it.
func (t *demoTenant) create(ctx context.Context, conn *grpc.ClientConn) error {
	_, err := usherv1.NewOperatorServiceClient(conn).CreateTenant(ctx, &usherv1.CreateTenantRequest{
		Tenant: t.Name, Catalog: t.Catalog, FirstAdministrator: t.FirstAdministrator,
	})
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	if err != nil {
		return err
	}
	admin := usherv1.NewAdminServiceClient(conn)
	for _, m := range t.Staff {
		if err := m.hire(ctx, admin, t); err != nil {
			return fmt.Errorf("%s as %s: %w", m.Subject, m.Role, err)
		}
	}
	for toggle, state := range t.Toggles {
		if err := t.set(ctx, admin, toggle, state); err != nil {
			return fmt.Errorf("%s %s: %w", toggle, state, err)
		}
	}
	return nil
}

func (d *demo) print(out io.Writer, address string) {
	fmt.Fprintf(out, "\nTry these in another terminal, in the checkout. The answers are those on fresh data (make clean\nremoves what was changed); … stands for what is new each time.\n")
	for _, t := range d.Try {
		fmt.Fprintf(out, "\n# %s\n$ %s\n%s\n", t.Why, strings.ReplaceAll(t.Command, "ADDRESS", address), strings.TrimSpace(t.Answer))
	}
	fmt.Fprintln(out)
}
