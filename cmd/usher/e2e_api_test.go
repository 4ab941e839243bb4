package main

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// endToEndAPI asks the same over TCP and over a unix socket.
func endToEndAPI(t *testing.T, p tools) {
	socket := filepath.Join(t.TempDir(), "usher.sock")
	server := p.serve(t, "--demo", "--data-dir", t.TempDir(), "--unix-socket", socket)
	for _, way := range []struct {
		name    string
		grpcurl []string // the flags, then the address
		address string   // for usher
	}{
		{"TCP", []string{"-plaintext", server.grpc}, server.grpc},
		{"unix", []string{"-plaintext", "-unix", socket}, server.unix},
	} {
		t.Run(way.name, func(t *testing.T) {
			last := len(way.grpcurl) - 1
			grpcurl := func(data string, call ...string) result {
				args := append([]string{"-d", data}, way.grpcurl[:last]...)
				args = append(args, way.grpcurl[last])
				return runProgram(t, p.grpcurl, append(args, call...)...)
			}
			usher := func(args ...string) result {
				return runProgram(t, p.usher, append(args, "--address", way.address)...)
			}
			testServices(t, grpcurl)
			testRevokeIsEffective(t, grpcurl, usher)
		})
	}
	testHTTP(t, server)
	if status := server.stop(syscall.SIGTERM); status != 0 {
		t.Errorf("after SIGTERM the exit status is %d\n%s", status, &server.stderr)
	}
}

func testServices(t *testing.T, grpcurl func(data string, call ...string) result) {
	grpcurl("", "list").want(t, 0,
		"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
		"usher.v1.AdminService", "usher.v1.DecisionService", "usher.v1.OperatorService")
	grpcurl("", "describe", "usher.v1.DecisionService").want(t, 0, "rpc Check", "rpc BatchCheck")
	for _, service := range []string{"", "usher.v1.AdminService", "usher.v1.DecisionService", "usher.v1.OperatorService"} {
		grpcurl(`{"service": "`+service+`"}`, "grpc.health.v1.Health/Check").want(t, 0, "SERVING")
	}
	grpcurl(`{"tenant": "demo-dealer", "subject": "user:ann@dealer.example", "items": [
		{"resource": {"type": "ticket", "id": "1", "scopes": ["team:harvest"]}, "actions": ["view", "log_time"]},
		{"resource": {"type": "ticket", "id": "2", "scopes": ["team:parts"]}, "actions": ["view"]}]}`,
		"usher.v1.DecisionService/BatchCheck").want(t, 0, "DECISION_ALLOW", "DECISION_DENY")
	grpcurl(`{}`, "usher.v1.OperatorService/GetServerInfo").want(t, 0, `"goVersion": "go1.`)
}

// testRevokeIsEffective changes a role with each tool and asks with the other.
func testRevokeIsEffective(t *testing.T, grpcurl func(data string, call ...string) result, usher func(args ...string) result) {
	const question = `{"tenant": "demo-dealer", "subject": "user:carla@dealer.example", "action": "view",
		"resource": {"type": "ticket", "id": "1", "scopes": ["team:harvest"]}}`
	const assignment = `{"tenant": "demo-dealer", "subject": "user:carla@dealer.example", "role": "advisor",
		"scope": "team:harvest", "actor": {"subject": "user:grace@dealer.example"}}`
	check := []string{"check", "user:carla@dealer.example", "view", "ticket/1", "--tenant", "demo-dealer", "--scope", "team:harvest"}
	carla := []string{"user:carla@dealer.example", "advisor", "--tenant", "demo-dealer", "--scope", "team:harvest", "--as", "user:grace@dealer.example"}

	grpcurl(question, "usher.v1.DecisionService/Check").want(t, 0, "DECISION_DENY")
	usher(append([]string{"grant"}, carla...)...).want(t, 0, "changed")
	grpcurl(question, "usher.v1.DecisionService/Check").want(t, 0, "DECISION_ALLOW")
	usher(check...).want(t, 0, "GRANTED")
	grpcurl(assignment, "usher.v1.AdminService/Revoke").want(t, 0, "OUTCOME_CHANGED")
	usher(check...).want(t, 1, "OUT_OF_SCOPE")
	grpcurl(assignment, "usher.v1.AdminService/Grant").want(t, 0, "OUTCOME_CHANGED")
	usher(append([]string{"revoke"}, carla...)...).want(t, 0, "changed")
	grpcurl(question, "usher.v1.DecisionService/Check").want(t, 0, "DECISION_DENY")
}

func testHTTP(t *testing.T, server *process) {
	for path, text := range map[string]string{
		"/healthz": "",
		"/readyz":  "",
		"/metrics": `grpc_server_handled_total{grpc_code="OK",grpc_method="Check",grpc_service="usher.v1.DecisionService"`,
	} {
		resp, err := http.Get("http://" + server.http + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), text) {
			t.Errorf("GET %s: %s, %v, or it does not say %s:\n%s", path, resp.Status, err, text, body)
		}
	}
}
