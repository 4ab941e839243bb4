package main

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// TestApplyDoesWhatWasShown changes something between what `usher apply` shows and what it
// does.
func TestApplyDoesWhatWasShown(t *testing.T) {
	p, err := startProcess("usher", "--demo", "--data-dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(syscall.SIGTERM) })
	admin := usherv1.NewAdminServiceClient(dial(t, p.grpc))
	for _, test := range []struct {
		name, requestID, meanwhile string
		want                       codes.Code
	}{
		{"nothing has changed", "", "", codes.OK},
		{"somebody else has been changed", "", "user:b@desk.example", codes.OK},
		{"the subject has been changed", "", "user:a@desk.example", codes.Aborted},
		// Such a request has to stay the same, for the sake of its repetition.
		{"the subject has been changed, and the request has an id", "r", "user:a@desk.example", codes.OK},
	} {
		b, err := readBatch("f", strings.NewReader("tenant: demo-desk\nacts:\n"+
			"  - {grant: 'user:a@desk.example', role: agent}\n  - {revoke: 'user:a@desk.example', role: agent}\n"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		w := &writing{behalf: behalf{asOperator: true}, tenant: b.tenant, requestID: test.requestID}
		req := &usherv1.BatchWriteRequest{Acts: b.acts}
		if err := w.sign(req); err != nil {
			t.Fatal(err)
		}
		if _, err := b.try(t.Context(), admin, w, req, io.Discard, io.Discard); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if test.meanwhile != "" {
			for _, hold := range []bool{true, false} {
				if err := write(t.Context(), admin, test.meanwhile, hold); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := admin.BatchWrite(t.Context(), req); status.Code(err) != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}
