package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// plantedCatalog states something false of every kind.
const plantedCatalog = `name: planted
version: 1
scope_types: [team, queue]
holders: [user, group]
default_role: guest
resource_types:
  - name: ticket
    actions: [view, close, reopen]
    attributes:
      - {name: status, type: string}
      - {name: age, type: int}
      - {name: tags, type: string_list}
  - {name: invitation, actions: [send]}
roles:
  - name: guest
    rules:
      - {allow: ["ticket:view"], reach: own}
  - name: agent
    held_in: [team]
    rules:
      - {allow: ["ticket:view"], reach: assigned, widen: {reach: any queue, while_on: open_house}}
      - allow: ["ticket:close"]
        reach: assigned
        condition: resource.status != "it's closed" && resource.age > 2 && !("vip" in resource.tags)
        while_off: freeze
      - {allow: ["ticket:reopen"], reach: assigned, condition: resource.status != "it's closed"}
  - name: lead
    held_in: [team]
    holders: [group]
    rules:
      - {allow: ["role:grant"], reach: assigned, while_on: open_house, condition: resource.id == "chief"}
  - name: chief
    held_in: [team]
    rules:
      - {allow: ["role:grant"], reach: assigned, while_off: open_house, condition: resource.id == "agent"}
      - {allow: ["invitation:send"], reach: tenant}
  - name: muted
    holders: [group]
    rules:
      - {forbid: ["ticket:reopen"], reach: tenant}
  - name: suspended
    rules:
      - {forbid: ["role:grant", "role:revoke"], reach: tenant}
  - name: admin
    rules:
      - {allow: ["role:grant", "role:revoke", "toggle:set", "ticket:close", "ticket:reopen"], reach: tenant}
toggles:
  - {name: open_house, starts_on: false}
  - {name: freeze, starts_on: true}
administration:
  protected_role: admin
statements:
  - {title: False never, never: ["ticket:view"], beyond: own, role: agent, unless: has(resource.status), within: any queue}
  - {title: False only, except: [admin], only: ["ticket:view", "ticket:reopen", "role:*", "invitation:*"]}
  - {title: False always, role: agent, within: assigned, always: ["ticket:close"], while_off: freeze, where: resource.age > 2}
  - {title: False always of a forbidden act, role: admin, always: ["role:grant", "ticket:close", "ticket:view"]}
  - {title: False likeness of one resource, alike: {permission: "ticket:view", as: "ticket:reopen"}, where: resource.status == "new"}
  - {title: False likeness through a group, except: [agent, guest], alike: {permission: "ticket:close", as: "ticket:reopen"}}
  - {title: False likeness of a grant, alike: {permission: "invitation:send", as: "role:grant", of: agent}}
  - {title: A false chain, granted: {roles: [agent], only_by: [admin, chief]}}
  - {title: True, never: ["toggle:set"], except: [admin]}
`

// TestCounterexamplesReproduce runs the commands that `usher catalog verify` prints for false
// statements of every kind, and those of a tenant that can be locked out, and compares the
// answers with what is told.
func TestCounterexamplesReproduce(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "it's planted.yaml")
	if err := os.WriteFile(file, []byte(plantedCatalog), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := startProcess("usher", "--data-dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop(syscall.SIGTERM)
	run := func(command string) (string, int) {
		cmd := exec.Command("bash", "-c", command)
		cmd.Env = append(withoutSettings(os.Environ()), "USHER_ADDRESS="+p.grpc)
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	listed, status := run(`usher catalog verify "` + file + `"`)
	if status != 1 {
		t.Fatalf("exit status %d, want 1\n%s", status, listed)
	}
	t.Log("\n" + listed)
	for title, result := range map[string]string{
		"False never": "NOT TRUE", "False only": "NOT TRUE", "False always": "NOT TRUE", "False always of a forbidden act": "NOT TRUE",
		"False likeness of one resource": "NOT TRUE", "False likeness through a group": "NOT TRUE", "False likeness of a grant": "NOT TRUE",
		"A false chain": "NOT TRUE", "True": "proved  ", "a tenant can always be administered": "NOT TRUE",
	} {
		if !strings.Contains(listed, "\n  "+result+"          "+title+"\n") {
			t.Errorf("it does not say %q of %q", result, title)
		}
	}
	answers := 0
	lines := strings.Split(listed, "\n")
	for i, line := range lines {
		command, isCommand := strings.CutPrefix(line, "      $ ")
		if !isCommand {
			continue
		}
		got, status := run(command)
		if !strings.HasPrefix(command, "usher check ") {
			if status != 0 {
				t.Errorf("$ %s\nexit status %d\n%s", command, status, got)
			}
			continue
		}
		answers++
		want := strings.TrimSpace(lines[i+1])
		if !strings.HasPrefix(got, want+"  ") || (want != "allow" && want != "deny") {
			t.Errorf("$ %s\nanswers %s\nand not %s", command, got, want)
		}
	}
	if answers != 12 {
		t.Errorf("%d checks were made, want 12: two for each likeness", answers)
	}
}

// TestUnprovedCatalogsAreRefused puts a catalog that states something false.
func TestUnprovedCatalogsAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "planted.yaml")
	if err := os.WriteFile(file, []byte(plantedCatalog), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := startProcess("usher", "--data-dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop(syscall.SIGTERM)
	usher := func(args ...string) (string, int) {
		cmd := exec.Command("usher", append(args, "--address", p.grpc)...)
		cmd.Env = withoutSettings(os.Environ())
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	got, status := usher("catalog", "put", file)
	for _, part := range []string{"INVALID_CATALOG", `statements[0], "False never": it is not true: `, `statements[7], "A false chain"`} {
		if status != 2 || !strings.Contains(got, part) {
			t.Fatalf("exit status %d, want 2 and %q\n%s", status, part, got)
		}
	}
	if strings.Contains(got, "statements[8]") {
		t.Errorf("it refuses the true one too:\n%s", got)
	}
	if got, status := usher("tenant", "create", "acme", "--catalog", "planted", "--first-administrator", "user:ann"); status != 2 {
		t.Errorf("it was stored nevertheless:\n%s", got)
	}
	for _, want := range []string{"changed  planted", "unchanged  planted"} {
		args := []string{"catalog", "put", file, "--unproved"}
		if got, status := usher(args[:len(args)-strings.Count(want, "un")]...); status != 0 || !strings.HasPrefix(got, want) {
			t.Errorf("exit status %d and %q, want %q", status, got, want)
		}
	}
}
