package wording

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"
	"google.golang.org/protobuf/types/known/structpb"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy"
)

// The resource types of administration, which every catalog has.
const (
	roleType   = "role"
	toggleType = "toggle"
)

// activity says what is asked for, such as "view tickets", and whether it is in the language of
// the sentences.
func (w *Writer) activity(question policy.Request) (string, bool) {
	id := question.Resource.ID
	switch name := question.Resource.Type + ":" + question.Action; name {
	case "role:grant":
		return w.administering(grantRole, grantRoles, id, w.roleTitle(id)), true
	case "role:revoke":
		return w.administering(revokeRole, revokeAny, id, w.roleTitle(id)), true
	case "toggle:set":
		return w.administering(setToggle, setToggles, id, w.toggle(id)), true
	default:
		words, in, found := nearest(w.words(name), w.titles)
		if !found {
			return name, false
		}
		return words, baseOf(in) == baseOf(w.sentences)
	}
}

func baseOf(tag language.Tag) language.Base {
	base, _ := tag.Base()
	return base
}

// administering names a role or toggle, if one is asked about.
func (w *Writer) administering(one, all key, id, title string) string {
	if id == "" {
		return w.say(all)
	}
	return w.say(one, title)
}

// whoseRole names a role, whose it is and where it is held, if that is to be said.
func (w *Writer) whoseRole(subject, holder, name string, at []string) string {
	if holder == subject {
		return w.say(yourRole, w.role(name, at))
	}
	return w.say(groupsRole, w.role(name, at), idOf(holder))
}

// role names a role and where it is held; the tenant, and nothing, is not said.
func (w *Writer) role(name string, at []string) string {
	switch {
	case len(at) == 0 || at[0] == "":
		return w.say(role, w.roleTitle(name))
	case len(at) > maxPlaces:
		return w.say(roleAt, w.roleTitle(name), w.say(manyAreas))
	}
	return w.say(roleAt, w.roleTitle(name), w.list(w.places(at), and))
}

func (w *Writer) roleTitle(name string) string {
	return titleIn(w.declared(name).GetTitles(), w.titles, name)
}

func (w *Writer) toggle(name string) string {
	toggles := w.catalog.GetToggles()
	if i := slices.IndexFunc(toggles, func(t *catalogv1.Toggle) bool { return t.GetName() == name }); i >= 0 {
		return titleIn(toggles[i].GetTitles(), w.titles, name)
	}
	return name
}

// declared returns the role of that name, or nil.
func (w *Writer) declared(name string) *catalogv1.Role {
	roles := w.catalog.GetRoles()
	if i := slices.IndexFunc(roles, func(r *catalogv1.Role) bool { return r.GetName() == name }); i >= 0 {
		return roles[i]
	}
	return nil
}

// heldIn are the types of the scopes in which a role can be held.
func (w *Writer) heldIn(name string) []string { return w.declared(name).GetHeldIn() }

// words are what the catalog calls a scope type, a permission or an attribute, by language.
func (w *Writer) words(name string) map[string]string {
	words := w.catalog.GetWords()
	if i := slices.IndexFunc(words, func(word *catalogv1.Word) bool { return word.GetName() == name }); i >= 0 {
		return words[i].GetTitles()
	}
	return nil
}

func (w *Writer) scopeType(name string) string { return titleIn(w.words(name), w.titles, spoken(name)) }

func (w *Writer) scopeTypes(names []string) []string {
	types := make([]string, len(names))
	for i, name := range names {
		types[i] = w.scopeType(name)
	}
	return types
}

func (w *Writer) places(scopes []string) []string {
	places := make([]string, len(scopes))
	for i, scope := range scopes {
		scopeType, id, _ := strings.Cut(scope, ":")
		places[i] = w.say(place, w.scopeType(scopeType), id)
	}
	return places
}

// mentioned finds the attributes in the text of a condition.
var mentioned = regexp.MustCompile(`\bresource\.([a-z][a-z0-9_]*)`)

// factsOf says what is known about a resource, of what a condition asks for.
func (w *Writer) factsOf(condition string, about policy.Resource) []string {
	var facts []string
	for _, match := range mentioned.FindAllStringSubmatch(condition, -1) {
		value, known := about.Attributes[match[1]]
		if !known {
			continue
		}
		if f := w.fact(about.Type, match[1], value); !slices.Contains(facts, f) {
			facts = append(facts, f)
		}
	}
	return facts
}

func (w *Writer) fact(resourceType, name string, value *structpb.Value) string {
	return w.say(fact, w.attribute(resourceType, name), w.value(value))
}

func (w *Writer) attribute(resourceType, name string) string {
	return titleIn(w.words(resourceType+"."+name), w.titles, spoken(name))
}

func (w *Writer) value(value *structpb.Value) string {
	switch v := value.GetKind().(type) {
	case *structpb.Value_StringValue:
		return v.StringValue
	case *structpb.Value_NumberValue:
		return strconv.FormatFloat(v.NumberValue, 'f', -1, 64)
	case *structpb.Value_BoolValue:
		if v.BoolValue {
			return w.say(valueTrue)
		}
		return w.say(valueFalse)
	case *structpb.Value_ListValue:
		items := make([]string, len(v.ListValue.GetValues()))
		for i, item := range v.ListValue.GetValues() {
			items[i] = w.value(item)
		}
		return w.list(items, and)
	}
	return w.say(valueMissing)
}

// spoken makes words of a name, which people read who have not seen the catalog.
func spoken(name string) string { return strings.ReplaceAll(name, "_", " ") }

// idOf is the id of a subject without its type.
func idOf(subject string) string {
	_, id, _ := strings.Cut(subject, ":")
	return id
}
