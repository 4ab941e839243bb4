package server

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// Checks of Check and BatchCheck requests, by hand because these calls have to be fast.
// They accept what the rules in the proto accept; a fuzz test compares the two.

// Bounds, as in the proto.
const (
	maxIDBytes       = 256
	maxNameBytes     = 64
	maxTenantBytes   = 128
	maxGroups        = 100
	maxScopes        = 100
	maxAttributes    = 100
	maxBatchItems    = 1_000
	maxItemActions   = 100
	maxBatchAnswers  = 10_000
	maxBatchReasons  = 5_000
	groupPrefix      = "group:"
	nameHelp         = "a name has lower-case letters, digits and _, begins with a letter, and has up to 64 bytes"
	idHelp           = "it is written type:id, such as user:ann, without control characters and with up to 256 bytes"
	tenantHelp       = "a tenant has letters, digits, '.', '_' and '-', begins with a letter or digit, and has up to 128 bytes"
	resourceIDHelp   = "it has no control characters and up to 256 bytes"
	groupHelp        = "a group is written group:id, without control characters and with up to 256 bytes"
	resourceRequired = "name the resource, at least its type"
)

// patternHelp says in words what the patterns in the proto ask for.
var patternHelp = map[string]string{
	`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`:    tenantHelp,
	`^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$`: tenantHelp,
	`^[a-z][a-z0-9_]{0,63}$`:                nameHelp,
	`^([a-z][a-z0-9_]{0,63})?$`:             nameHelp,
	`^[a-z][a-z0-9_]{0,63}:[^\p{Cc}]+$`:     idHelp,
	`^([a-z][a-z0-9_]{0,63}:[^\p{Cc}]+)?$`:  idHelp,
	`^group:[^\p{Cc}]+$`:                    groupHelp,
	`^[^\p{Cc}]*$`:                          "it has no control characters",
	`^([0-9a-f]{64})?$`:                     "it has 64 lower-case hexadecimal digits, as sha256sum prints it",
	`^[0-9a-f]{64}$`:                        "it has 64 lower-case hexadecimal digits, as ListHeads answers it",
}

func malformed(field, format string, args ...any) error {
	return invalid(field, reasonMalformed, format, args...)
}

func checkTenant(tenant string) error {
	if !isTenant(tenant) {
		return malformed("tenant", "%s", tenantHelp)
	}
	return nil
}

func checkAsker(subject string, groups []string) error {
	if !isID(subject) {
		return malformed("subject", "%s", idHelp)
	}
	return checkGroups(groups)
}

func checkGroups(groups []string) error {
	if len(groups) > maxGroups {
		return malformed("groups", "at most %d groups", maxGroups)
	}
	for i, g := range groups {
		if !isID(g) || !strings.HasPrefix(g, groupPrefix) {
			return malformed(fmt.Sprintf("groups[%d]", i), "%s", groupHelp)
		}
	}
	return nil
}

func checkResource(r *usherv1.Resource) error {
	switch {
	case r == nil:
		return malformed("resource", "%s", resourceRequired)
	case !isName(r.GetType()):
		return malformed("resource.type", "%s", nameHelp)
	case len(r.GetId()) > maxIDBytes || !isPrintable(r.GetId()):
		return malformed("resource.id", "%s", resourceIDHelp)
	case len(r.GetScopes()) > maxScopes:
		return malformed("resource.scopes", "at most %d scopes", maxScopes)
	case r.GetOwner() != "" && !isID(r.GetOwner()):
		return malformed("resource.owner", "%s", idHelp)
	case len(r.GetAttributes().GetFields()) > maxAttributes:
		return malformed("resource.attributes", "at most %d attributes", maxAttributes)
	}
	for i, scope := range r.GetScopes() {
		if !isID(scope) {
			return malformed(fmt.Sprintf("resource.scopes[%d]", i), "%s", idHelp)
		}
	}
	return nil
}

func checkCheck(r *usherv1.CheckRequest) error {
	if err := checkTenant(r.GetTenant()); err != nil {
		return err
	}
	if err := checkAsker(r.GetSubject(), r.GetGroups()); err != nil {
		return err
	}
	if !isName(r.GetAction()) {
		return malformed("action", "%s", nameHelp)
	}
	return checkResource(r.GetResource())
}

// checkBatch checks what concerns the whole batch.
func checkBatch(r *usherv1.BatchCheckRequest) error {
	if err := checkTenant(r.GetTenant()); err != nil {
		return err
	}
	if r.GetSubject() != "" && !isID(r.GetSubject()) {
		return malformed("subject", "%s", idHelp)
	}
	if err := checkGroups(r.GetGroups()); err != nil {
		return err
	}
	if r.GetSubject() == "" && len(r.GetGroups()) > 0 {
		return malformed("groups", "they are those of the request's subject: name it too, or give each item groups of its own")
	}
	if n := len(r.GetItems()); n == 0 || n > maxBatchItems {
		return malformed("items", "1 to %d items", maxBatchItems)
	}
	if _, known := usherv1.Detail_name[int32(r.GetDetail())]; !known {
		return malformed("detail", "it is DETAIL_DECISIONS or DETAIL_REASONS")
	}
	answers := 0
	for _, item := range r.GetItems() {
		answers += len(item.GetActions())
	}
	most := maxBatchAnswers
	if r.GetDetail() == usherv1.Detail_DETAIL_REASONS {
		most = maxBatchReasons
	}
	if answers > most {
		return malformed("items", "at most %d actions in all items together; there are %d: make several calls", most, answers)
	}
	return nil
}

// checkItem checks one item of a batch, for which the request's subject may be needed.
// The fields that it names are those of the item.
func checkItem(r *usherv1.BatchCheckRequest, item *usherv1.BatchCheckItem) error {
	if item.GetSubject() == "" {
		if len(item.GetGroups()) > 0 {
			return malformed("groups", "an item with groups has to name its subject too")
		}
		if r.GetSubject() == "" {
			return malformed("subject", "neither the item nor the request names a subject")
		}
	} else if err := checkAsker(item.GetSubject(), item.GetGroups()); err != nil {
		return err
	}
	if n := len(item.GetActions()); n == 0 || n > maxItemActions {
		return malformed("actions", "1 to %d actions", maxItemActions)
	}
	for i, action := range item.GetActions() {
		if !isName(action) {
			return malformed(fmt.Sprintf("actions[%d]", i), "%s", nameHelp)
		}
	}
	return checkResource(item.GetResource())
}

// isTenant is ^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$.
func isTenant(s string) bool {
	if s == "" || len(s) > maxTenantBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return true
}

// isName is ^[a-z][a-z0-9_]{0,63}$.
func isName(s string) bool {
	if s == "" || len(s) > maxNameBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// isID is ^[a-z][a-z0-9_]{0,63}:[^\p{Cc}]+$ with at most 256 bytes.
func isID(s string) bool {
	if len(s) > maxIDBytes {
		return false
	}
	colon := strings.IndexByte(s, ':')
	return colon > 0 && isName(s[:colon]) && colon+1 < len(s) && isPrintable(s[colon+1:])
}

// isPrintable is ^[^\p{Cc}]*$.
func isPrintable(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == 0x7f {
			return false
		}
		if c >= utf8.RuneSelf {
			return !strings.ContainsFunc(s[i:], unicode.IsControl)
		}
	}
	return true
}
