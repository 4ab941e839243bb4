package policy

import (
	"slices"
	"strings"
)

// without returns what is left of rules if some permissions are taken from those that
// allow. It is a fault if a pattern takes none.
func (c *compiler) without(path string, patterns []string, rules []ruleSource) []ruleSource {
	taken := make([]bool, len(patterns))
	var left []ruleSource
	for _, s := range rules {
		if !s.rule.forbid {
			s.permissions = slices.DeleteFunc(slices.Clone(s.permissions), func(p string) bool {
				takes := false
				for i, pattern := range patterns {
					if matchesPattern(pattern, p) {
						takes, taken[i] = true, true
					}
				}
				return takes
			})
		}
		if len(s.permissions) > 0 {
			left = append(left, s)
		}
	}
	for i, pattern := range patterns {
		where := path + "." + at("without", i)
		switch typeName, action, _ := strings.Cut(pattern, ":"); {
		case taken[i] && (typeName != "*" || action != "*"):
		case typeName == "*" && (action == "*" || action == ""):
			c.fault(where, faultWithout, "%q would take everything: name a type, an action, or both, such as ticket:*, *:view or ticket:view", pattern)
		case typeName != "*" && action != "*" && c.permissionNamed(where, pattern) == nil:
		default:
			c.fault(where, faultWithout, "the role has no rule that allows %q: remove it here", pattern)
		}
	}
	return left
}

// matchesPattern reports whether a pattern such as "ticket:*" or "*:view" covers a permission.
func matchesPattern(pattern, permission string) bool {
	patternType, patternAction, _ := strings.Cut(pattern, ":")
	typeName, action, _ := strings.Cut(permission, ":")
	return (patternType == "*" || patternType == typeName) && (patternAction == "*" || patternAction == action)
}
