package policy

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// Bounds of the search for what a resource would have to be like.
const (
	maxChangedAttributes = 3
	resourceEffort       = 5_000
	// maxElements is how many elements of a list are tried in all combinations.
	maxElements = 4
)

// resources are the steps that change as few attributes of the resource as possible and are
// enough: one step for each set of attributes.
func (s *search) resources(at state) (steps []Step) {
	if s.left < 0 {
		return nil
	}
	choices := s.choices(at)
	least := max(0, s.left-resourceEffort)
	for size := 1; size <= min(len(choices), maxChangedAttributes) && len(steps) == 0; size++ {
		for some := range subsets(choices, size) {
			if s.left < least {
				return nil
			}
			changed := map[string]*structpb.Value{}
			if s.settle(at, some, changed, least) {
				steps = append(steps, Step{Kind: StepResource, Attributes: changed})
			}
		}
	}
	return steps
}

// choice is an attribute with the values that make a difference: as conditions look at it, they
// differ from the one that it has and from each other.
type choice struct {
	name   string
	values []*structpb.Value
}

// settle finds values of all of the attributes with which the request is allowed, as long as there
// is more effort left than least.
func (s *search) settle(at state, rest []choice, changed map[string]*structpb.Value, least int) bool {
	if len(rest) == 0 {
		return s.allowed(at.with(changed))
	}
	for _, v := range rest[0].values {
		changed[rest[0].name] = v
		if s.settle(at, rest[1:], changed, least) {
			return true
		}
		if s.left < least {
			return false
		}
	}
	return false
}

// with returns the state with other attributes of the resource.
func (at state) with(changed map[string]*structpb.Value) state {
	resource := *at.resource
	resource.Attributes = maps.Clone(at.resource.Attributes)
	if resource.Attributes == nil {
		resource.Attributes = map[string]*structpb.Value{}
	}
	maps.Copy(resource.Attributes, changed)
	at.resource = &resource
	return at
}

// choices are the attributes on which it depends whether the request is allowed: those in
// the conditions of rules that would hold otherwise. The id is not among them, as a
// resource with another one is another one.
func (s *search) choices(at state) (choices []choice) {
	var conditions []*condition
	q := s.question(at)
	for h := range q.inForce {
		rules := s.permission.rules[h.role.index]
		for i := range rules {
			r := &rules[i]
			if r.condition == nil || !at.table.open(r.gate) || slices.Contains(conditions, r.condition) {
				continue
			}
			if _, reached := q.reaches(r, h); reached {
				conditions = append(conditions, r.condition)
			}
		}
	}
	s.left -= 8 * len(conditions)
	for _, u := range unknownsOf(conditions) {
		if u.isElement || u.name == idAttribute {
			continue
		}
		seen := map[string]bool{u.truths(at.resource): true}
		c := choice{name: u.name}
		for _, v := range u.values(at.resource, s.constantTexts(u.name)) {
			if s.left -= 1 + len(u.leaves)*(1+len(v.GetListValue().GetValues()))/64; s.left < 0 {
				return nil
			}
			truths := u.truths(at.with(map[string]*structpb.Value{u.name: v}).resource)
			if !seen[truths] {
				seen[truths] = true
				c.values = append(c.values, v)
			}
		}
		if len(c.values) > 0 {
			choices = append(choices, c)
		}
	}
	return choices
}

// truths is the same for resources that the conditions don't tell apart by the attribute.
func (u unknown) truths(r *Resource) string {
	var truths strings.Builder
	for _, n := range u.leaves {
		truths.WriteByte('1' + byte(n.eval(r))) // #nosec G115 -- -1, 0 or 1
	}
	return truths.String()
}

// values are values of the attribute between which the conditions tell, those first that say
// most to people: constants of these conditions, then texts of others and further values, and at
// last that it is missing.
func (u unknown) values(r *Resource, texts []string) []*structpb.Value {
	a := u.leaves[0].attribute
	var values []*structpb.Value
	switch a.kind {
	case kindBool:
		values = append(values, structpb.NewBoolValue(true), structpb.NewBoolValue(false))
	case kindString:
		for _, s := range slices.Concat(u.constantTexts(), texts, u.texts(" ")) {
			values = append(values, structpb.NewStringValue(s))
		}
	case kindStringList:
		values = u.lists(r)
	default:
		for _, d := range u.roundNumbers(a.kind) {
			values = append(values, structpb.NewNumberValue(d))
		}
		values = slices.DeleteFunc(values, func(v *structpb.Value) bool {
			_, ok := a.of(&Resource{Attributes: map[string]*structpb.Value{a.name: v}})
			return !ok
		})
	}
	return append(values, structpb.NewNullValue())
}

// constantTexts are the texts that are not empty and with which the leaves compare.
func (u unknown) constantTexts() (texts []string) {
	for c := range u.constants {
		if c.s != "" {
			texts = append(texts, c.s)
		}
	}
	return texts
}

// constantTexts are the texts with which some condition about the type compares the attribute,
// each once.
func (s *search) constantTexts(name string) []string {
	texts, known := s.texts[name]
	if known {
		return texts
	}
	for _, action := range slices.Sorted(maps.Keys(s.permission.of.actions)) {
		for _, rules := range s.permission.of.actions[action].rules {
			for _, r := range rules {
				if r.condition == nil {
					continue
				}
				for n := range r.condition.root.leaves {
					if n.attribute.name != name {
						continue
					}
					for _, text := range (unknown{leaves: []*node{n}}).constantTexts() {
						if !slices.Contains(texts, text) {
							texts = append(texts, text)
						}
					}
				}
			}
		}
	}
	s.texts[name] = texts
	return texts
}

// roundNumbers are the constants with which the leaves compare, and numbers between and beside
// them.
func (u unknown) roundNumbers(k kind) []float64 {
	var numbers []float64
	for c := range u.constants {
		d := c.d
		if k == kindInt {
			d = float64(c.i)
		}
		numbers = append(numbers, d, d+1, d-1)
	}
	if k == kindDouble {
		sorted := slices.Sorted(slices.Values(numbers))
		for i := range len(sorted) - 1 {
			numbers = append(numbers, sorted[i]/2+sorted[i+1]/2)
		}
	}
	for c := range u.constants { // of numbers so large that one more is the same
		numbers = append(numbers, c.d*2, c.d/2)
	}
	return append(numbers, 0)
}

// lists are the list that the attribute is, if it is one, with other elements.
func (u unknown) lists(r *Resource) []*structpb.Value {
	var elements []string
	for c := range u.constants {
		if !slices.Contains(elements, c.s) {
			elements = append(elements, c.s)
		}
	}
	var rest, had []string
	if _, isList := (attribute{name: u.name, kind: kindStringList}).of(r); isList {
		for _, v := range r.Attributes[u.name].GetListValue().GetValues() {
			if slices.Contains(elements, v.GetStringValue()) {
				had = append(had, v.GetStringValue())
			} else {
				rest = append(rest, v.GetStringValue())
			}
		}
	}
	var lists []*structpb.Value
	add := func(elements []string) {
		values := &structpb.ListValue{}
		for _, element := range slices.Concat(rest, elements) {
			values.Values = append(values.Values, structpb.NewStringValue(element))
		}
		lists = append(lists, structpb.NewListValue(values))
	}
	for _, element := range elements { // one more
		add(append(slices.Clone(had), element))
	}
	for _, element := range elements { // one less
		add(slices.DeleteFunc(slices.Clone(had), func(e string) bool { return e == element }))
	}
	for size := 0; size <= len(elements) && len(elements) <= maxElements; size++ {
		for some := range subsets(elements, size) {
			add(some)
		}
	}
	add(elements)
	add(nil)
	return lists
}

// subsets visits the subsets of a size, in the order of their elements.
func subsets[E any](all []E, size int) func(func([]E) bool) {
	return func(yield func([]E) bool) {
		var choose func(chosen []E, from int) bool
		choose = func(chosen []E, from int) bool {
			if len(chosen) == size {
				return yield(slices.Clone(chosen))
			}
			for i := from; i < len(all); i++ {
				if !choose(append(slices.Clip(chosen), all[i]), i+1) {
					return false
				}
			}
			return true
		}
		choose(nil, 0)
	}
}
