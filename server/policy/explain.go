package policy

import (
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/usher-pdp/usher/store"
)

// Explanation is a decision and how it came about.
type Explanation struct {
	Decision Decision
	// Rules are all rules about the permission of all roles that are held, in force or
	// not, in the order of roles and rules in the catalog, the subject before its groups.
	Rules []RuleOutcome
}

// RuleOutcome is how one rule came out for one role that a subject or group holds.
type RuleOutcome struct {
	Role   string
	Holder string
	// Scopes are where the role is held, in byte order; "" is the tenant.
	Scopes []string
	Forbid bool
	// Reach and Widened are written as in a catalog. Widened is empty if there is no widening,
	// or its toggle stands the other way.
	Reach, Widened string
	// Condition is the text of the condition, or empty.
	Condition string
	// Unmet says, by language, what the catalog wants told if the condition is not met.
	Unmet map[string]string
	// Toggle is the rule's toggle, or empty, and ToggleWanted the state that lets it hold.
	Toggle       string
	ToggleWanted bool
	Result       RuleResult
	// Attribute is the first one that is missing, for Undecided.
	Attribute string
	// Starts is, for NotActive, when the role starts in the first of Scopes, and Ended when it
	// has ended there: at most one of them is set.
	Starts, Ended time.Time
}

// RuleResult is how a rule came out. The numbers are those of usher.v1.RuleResult.
type RuleResult uint8

// The results.
const (
	RuleMatches        RuleResult = 1
	RuleOutOfReach     RuleResult = 2
	RuleConditionFalse RuleResult = 3
	RuleUndecided      RuleResult = 4
	RuleToggled        RuleResult = 5
	RuleNotActive      RuleResult = 6
)

// Step is one change that helps to turn a deny into an allow.
type Step struct {
	Kind StepKind
	// Subject is whose roles are changed: who asks, or one of the groups.
	Subject string
	// Role is what is granted, revoked, or changed to; From what it is changed from.
	Role, From string
	// Scopes are where the role is granted, changed to or revoked from; empty: in the tenant.
	Scopes []string
	// Interval is that of the granted role. Zero: from now on, without an end.
	Interval store.Interval
	// Early is whether the role is held already from later on, and what is granted is that it
	// starts now.
	Early bool
	// Toggle is what is set, and On to what.
	Toggle string
	On     bool
	// Attributes are what the resource has to be like.
	Attributes map[string]*structpb.Value
}

// StepKind tells steps apart.
type StepKind uint8

// The kinds.
const (
	StepSetToggle  StepKind = iota + 1 // a toggle is switched
	StepGrant                          // a role is granted in one place, or starts now
	StepChangeRole                     // a role takes the place of another one
	StepRevoke                         // a role that forbids is taken away
	StepResource                       // the resource gets other attributes
)
