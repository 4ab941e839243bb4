package main

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// explain turns the error of a call into text that says what is wrong, where, and what to
// do. Other errors it returns as they are.
func (c *client) explain(err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	details := st.Details()
	reason := reasonOf(details)
	switch {
	case reason == "" && st.Code() == codes.Unavailable && handshakeHelp(st.Message()) != "":
		return fmt.Errorf("no safe connection to %s: %s\n  %s", c.address, st.Message(), handshakeHelp(st.Message()))
	case reason == "" && st.Code() == codes.Unavailable:
		help := ""
		if c.identity.certFile != "" {
			help = "\n  If there is one, it hangs up on this client certificate: has an authority signed it that is in the server's tls-client-ca-file?"
		}
		return fmt.Errorf("no server answers at %s: %s\n"+
			"  Start one with 'usher serve --data-dir DIR', or say where it is with --address or USHER_ADDRESS%s",
			c.address, st.Message(), help)
	case reason == "" && st.Code() == codes.DeadlineExceeded:
		return fmt.Errorf("%s has not answered within %v (--timeout)\n"+
			"  A write may have been made or not: the same command again is safe", c.address, c.timeout)
	case reason == "" && st.Code() == codes.Unimplemented:
		return fmt.Errorf("what answers at %s is not an Usher of this version: %s", c.address, st.Message())
	}
	text := textOf(st.Message(), details)
	if reason == "UNAUTHENTICATED" {
		text = append(text, "  remedy: show who you are, with --token-file FILE, or with --cert-file, --key-file and --ca-file; over the unix socket your user or group may do")
	}
	text = append(text, strings.TrimRight(fmt.Sprintf("  code: %s %s", code.Code(st.Code()), reason), " ")) // #nosec G115 -- a gRPC code is below 17
	return errors.New(strings.Join(text, "\n"))
}

// handshakeHelp says what to do when the two sides don't agree on TLS, or don't trust each other. "" if that
// is not what is wrong.
func handshakeHelp(message string) string {
	const notAccepted = "The server doesn't accept the client certificate: has an authority signed it that is in the server's tls-client-ca-file?"
	for _, help := range []struct{ symptom, text string }{
		{"first record does not look like a TLS handshake", "The server speaks no TLS there: leave --ca-file (USHER_CA_FILE) out, if that is what you expect of it"},
		{"unknown authority", "Another authority has signed the server's certificate than those in --ca-file: ask those who run the server for the right file, and don't go on without"},
		{"certificate is valid for", "The server's certificate is for other names: use one of them in --address, or say with --server-name which is right"},
		{"certificate is not valid for any names", "The server's certificate has no names: it needs one that has"},
		{"certificate has expired or is not yet valid", "Renew the server's certificate, or set the clock of this machine right"},
		{"tls: bad certificate", notAccepted},
		{"tls: unknown certificate", notAccepted},
		{"error reading server preface", "The server hangs up: if it speaks TLS, name the authorities of its certificate with --ca-file"},
	} {
		if strings.Contains(message, help.symptom) {
			return help.text
		}
	}
	return ""
}

// reasonOf returns the stable reason of a status that comes from Usher itself, or "".
func reasonOf(details []any) string {
	for _, detail := range details {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "usher" {
			return info.GetReason()
		}
	}
	return ""
}

// textOf returns the lines that say what is wrong and what to do. The message of a status
// says it all in one line, for logs; what is in the details, too, gets lines of its own.
func textOf(message string, details []any) []string {
	remedy, inEnglish := remedyOf(details)
	var more []string
	for _, detail := range details {
		switch detail := detail.(type) {
		case *errdetails.BadRequest:
			return faultsOf(message, detail.GetFieldViolations())
		case *errdetails.PreconditionFailure:
			for _, v := range detail.GetViolations() {
				message = strings.TrimSuffix(message, ": "+v.GetDescription())
				switch {
				case v.GetType() == "CATALOG_CONFLICTS":
					more = append(more, fmt.Sprintf("  in the way: %s: %s", strings.Replace(v.GetSubject(), "/", " ", 1), v.GetDescription()))
				case v.GetDescription() != inEnglish:
					more = append(more, "  remedy: "+v.GetDescription())
				}
			}
		}
	}
	if remedy != "" {
		message = strings.TrimSuffix(message, ": "+inEnglish)
		more = append(more, "  remedy: "+remedy)
	}
	return append([]string{message}, more...)
}

// remedyOf returns what a refusal says to do instead: in the language of the reader, and in
// English, which is what the other details say.
func remedyOf(details []any) (text, inEnglish string) {
	for _, detail := range details {
		if remedy, ok := detail.(*usherv1.Remedy); ok {
			return inReadersLanguage(remedy.GetTexts()), remedy.GetTexts()["en"]
		}
	}
	return "", ""
}

func faultsOf(message string, violations []*errdetails.BadRequest_FieldViolation) []string {
	if len(violations) == 0 {
		return []string{message}
	}
	var lines []string
	for _, v := range violations {
		line := v.GetDescription()
		// A fault in a catalog has several lines and says where it is.
		if !strings.Contains(line, "\n") && v.GetField() != "" {
			line = v.GetField() + ": " + line
		}
		lines = append(lines, line)
	}
	if len(lines) > 1 {
		lines = append([]string{"the server does not accept this:"}, lines...)
	}
	return lines
}
