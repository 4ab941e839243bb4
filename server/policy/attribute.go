package policy

import (
	"math"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"
)

// kind is the type of an attribute or of a constant in a condition.
type kind uint8

const (
	kindBool kind = iota
	kindString
	kindInt
	kindDouble
	kindStringList
)

// kinds are the types of attributes by the name that catalogs use.
var kinds = map[string]kind{
	"bool":        kindBool,
	"string":      kindString,
	"int":         kindInt,
	"double":      kindDouble,
	"string_list": kindStringList,
}

// idAttribute is the attribute that every resource type has: the resource's id.
const idAttribute = "id"

// attribute is a fact about a resource that a condition may look at.
type attribute struct {
	name string
	kind kind
}

// value is a bool, string, int or double; which one, the attribute or constant says.
// Lists stay where they are.
type value struct {
	b bool
	s string
	i int64
	d float64
}

// maxInt is the largest integer up to which a JSON number is exact.
const maxInt = 1 << 53

// of reads the attribute's value from a request. It reports false if the value is
// missing, which a value of another type than the declared one is, too.
func (a attribute) of(r *Resource) (value, bool) {
	if a.name == idAttribute {
		return value{s: r.ID}, r.ID != ""
	}
	v, found := r.Attributes[a.name]
	if !found {
		return value{}, false
	}
	switch k := v.GetKind().(type) {
	case *structpb.Value_BoolValue:
		return value{b: k.BoolValue}, a.kind == kindBool
	case *structpb.Value_StringValue:
		return value{s: k.StringValue}, a.kind == kindString
	case *structpb.Value_NumberValue:
		n := k.NumberValue
		switch a.kind {
		case kindInt:
			integral := n == math.Trunc(n) && math.Abs(n) <= maxInt
			if !integral {
				return value{}, false
			}
			return value{i: int64(n)}, true
		case kindDouble:
			return value{d: n}, !math.IsNaN(n) && !math.IsInf(n, 0)
		}
	case *structpb.Value_ListValue:
		return value{}, a.kind == kindStringList && !slices.ContainsFunc(k.ListValue.GetValues(), notString)
	}
	return value{}, false
}

// contains reports whether the list attribute has the element. It is for lists that
// are not missing.
func (a attribute) contains(r *Resource, element string) bool {
	for _, v := range r.Attributes[a.name].GetListValue().GetValues() {
		if v.GetStringValue() == element {
			return true
		}
	}
	return false
}

func notString(v *structpb.Value) bool {
	_, ok := v.GetKind().(*structpb.Value_StringValue)
	return !ok
}
