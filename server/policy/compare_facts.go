package policy

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/protobuf/types/known/structpb"
)

// facts are an id and attributes of a resource.
type facts struct {
	id         string
	attributes map[string]*structpb.Value
}

func (f facts) resource() *Resource { return &Resource{ID: f.id, Attributes: f.attributes} }

// findFacts finds facts for each way in which the conditions come out together. It reports
// false if there are too many. For a permission on roles or toggles they are all the ids,
// and none, which is the first.
func (k *cases) findFacts() (ok bool) {
	if !k.permission.administrative {
		k.facts, ok = factsOf(facts{}, k.conditions, unknownsOf(k.conditions))
		return ok
	}
	k.facts = []facts{{}}
	for _, side := range k.permission.sides {
		for _, id := range side.ids {
			if !slices.ContainsFunc(k.facts, func(f facts) bool { return f.id == id }) {
				k.facts = append(k.facts, facts{id: id})
			}
		}
	}
	return true
}

// maxFacts bounds in how many ways conditions come out together.
const maxFacts = 1 << 12

// factsOf settles one unknown after the other, beginning with what is known. Facts for which
// the conditions come to the same, as far as they are settled, are kept once.
func factsOf(known facts, conditions []*condition, unknowns []unknown) ([]facts, bool) {
	all := []facts{known}
	for settled := range unknowns {
		var next []facts
		seen := map[string]bool{}
		for _, f := range all {
			for _, more := range unknowns[settled].settle(f) {
				var rest strings.Builder
				for _, c := range conditions {
					rest.WriteString(c.root.rest(more.resource(), unknowns[settled+1:]))
					rest.WriteByte(';')
				}
				if !seen[rest.String()] {
					seen[rest.String()] = true
					next = append(next, more)
				}
			}
		}
		if all = next; len(all) > maxFacts {
			return nil, false
		}
	}
	return all, true
}

// unknown is something about a resource that conditions look at: the value of an
// attribute, or whether an attribute that is a list has an element.
type unknown struct {
	name string
	// leaves are the parts of the conditions that look at it.
	leaves    []*node
	isElement bool
	element   string
}

// unknownsOf returns what the conditions look at. The elements of a list come after it.
func unknownsOf(conditions []*condition) []unknown {
	var values, elements []unknown
	note := func(list []unknown, u unknown, n *node) []unknown {
		i := slices.IndexFunc(list, func(v unknown) bool { return v.name == u.name && v.element == u.element })
		if i < 0 {
			i, list = len(list), append(list, u)
		}
		list[i].leaves = append(list[i].leaves, n)
		return list
	}
	for _, c := range conditions {
		for n := range c.root.leaves {
			values = note(values, unknown{name: n.attribute.name}, n)
			if n.op == opContains {
				elements = note(elements, unknown{name: n.attribute.name, isElement: true, element: n.constant.s}, n)
			}
		}
	}
	return append(values, elements...)
}

// leaves visits the parts of a condition that look at an attribute, in the order of the
// text.
func (n *node) leaves(yield func(*node) bool) {
	n.eachLeaf(yield)
}

func (n *node) eachLeaf(yield func(*node) bool) bool {
	switch n.op {
	case opConstant:
		return true
	case opAnd, opOr:
		return n.left.eachLeaf(yield) && n.right.eachLeaf(yield)
	case opNot:
		return n.left.eachLeaf(yield)
	}
	return yield(n)
}

// rest writes what is left of a condition when what is not among the unknowns is put in:
// t, f, u for undecided, or something longer that is the same for what is the same.
func (n *node) rest(r *Resource, open []unknown) string {
	switch n.op {
	case opNot:
		of := n.left.rest(r, open)
		if i := strings.Index("tfu", of); len(of) == 1 {
			return "ftu"[i : i+1]
		}
		return "!" + of
	case opAnd:
		return joined(n, r, open, "t", "f", "&")
	case opOr:
		return joined(n, r, open, "f", "t", "|")
	}
	for i, u := range open {
		if !slices.Contains(u.leaves, n) {
			continue
		}
		if _, isThere := n.attribute.of(r); u.isElement && !isThere {
			break // what is missing has no elements
		}
		return "<" + strconv.Itoa(i) + "." + strconv.Itoa(slices.Index(u.leaves, n)) + ">"
	}
	switch n.eval(r) {
	case isTrue:
		return "t"
	case isFalse:
		return "f"
	}
	return "u"
}

// joined writes a conjunction or disjunction, in which one truth says nothing and
// another one settles it.
func joined(n *node, r *Resource, open []unknown, nothing, settles, sign string) string {
	left, right := n.left.rest(r, open), n.right.rest(r, open)
	switch {
	case left == settles || right == settles:
		return settles
	case left == nothing || left == right:
		return right
	case right == nothing:
		return left
	}
	return "(" + left + sign + right + ")"
}

// settle returns the facts with each value that makes a difference to the unknown.
func (u unknown) settle(f facts) []facts {
	if u.isElement {
		list, isList := f.attributes[u.name].GetKind().(*structpb.Value_ListValue)
		if !isList {
			return []facts{f}
		}
		longer := append(slices.Clone(list.ListValue.GetValues()), structpb.NewStringValue(u.element))
		return []facts{f, f.with(u.name, structpb.NewListValue(&structpb.ListValue{Values: longer}))}
	}
	var all []facts
	seen := map[string]bool{}
	for _, v := range u.candidates(f) {
		var truths strings.Builder
		for _, n := range u.leaves {
			truths.WriteByte('1' + byte(n.eval(v.resource()))) // #nosec G115 -- -1, 0 or 1
		}
		if !seen[truths.String()] {
			seen[truths.String()] = true
			all = append(all, v)
		}
	}
	return all
}

// with returns the facts with another value of an attribute.
func (f facts) with(name string, v *structpb.Value) facts {
	attributes := map[string]*structpb.Value{name: v}
	for other, v := range f.attributes {
		if other != name {
			attributes[other] = v
		}
	}
	return facts{f.id, attributes}
}

// candidates returns the facts with each constant of the leaves, with the values next to
// them, and with one of each type: a value of another type than the declared one is missing.
// Many come to the same.
func (u unknown) candidates(f facts) []facts {
	var all []facts
	if u.name == idAttribute {
		for _, s := range u.texts(" ") { // an id has no control characters
			if !strings.ContainsFunc(s, unicode.IsControl) {
				all = append(all, facts{s, f.attributes})
			}
		}
		return all
	}
	for _, s := range u.texts("\x00") {
		all = append(all, f.with(u.name, structpb.NewStringValue(s)))
	}
	for _, d := range u.numbers() {
		all = append(all, f.with(u.name, structpb.NewNumberValue(d)))
	}
	return append(all,
		f.with(u.name, structpb.NewBoolValue(true)),
		f.with(u.name, structpb.NewBoolValue(false)),
		f.with(u.name, structpb.NewListValue(&structpb.ListValue{})),
	)
}

// texts returns the smallest texts, the constants, and the text next to each: the smallest
// of what is greater, where the least of the characters is given.
func (u unknown) texts(least string) []string {
	texts := []string{"", least}
	for c := range u.constants {
		texts = append(texts, c.s, c.s+least)
	}
	return texts
}

// numbers returns the constants, the whole and the fractional numbers next to each, and
// one number of each type.
func (u unknown) numbers() []float64 {
	numbers := []float64{0, 0.5}
	for c := range u.constants {
		for _, d := range []float64{float64(c.i), c.d} {
			numbers = append(numbers, d, math.Nextafter(d, math.Inf(1)), math.Nextafter(d, math.Inf(-1)),
				math.Floor(d), math.Ceil(d), math.Floor(d)-1, math.Ceil(d)+1)
		}
	}
	return numbers
}

// constants visits the constants with which the leaves compare.
func (u unknown) constants(yield func(value) bool) {
	for _, n := range u.leaves {
		if !yield(n.constant) {
			return
		}
		for _, c := range n.constants {
			if !yield(c) {
				return
			}
		}
	}
}
