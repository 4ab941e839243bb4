package policy

import "strings"

// RemedyKind tells remedies apart. The numbers are those of usher.v1.RemedyKind.
type RemedyKind uint8

// The kinds.
const (
	AskSomebody       RemedyKind = 1
	CorrectRequest    RemedyKind = 2
	RevokeFirst       RemedyKind = 3
	GrantAnotherFirst RemedyKind = 4
	FileRequest       RemedyKind = 5
	InviteAgain       RemedyKind = 6
	NoRemedy          RemedyKind = 7
)

// remedy is what to do instead, with places for a {role} and {types}.
type remedy struct {
	kind  RemedyKind
	texts map[string]string // by language
}

// either is the word between alternatives.
var either = map[string]string{"en": " or ", "de": " oder ", "fr": " ou "}

// fill returns the texts with what they are about.
func (m remedy) fill(role string, types []string) map[string]string {
	filled := make(map[string]string, len(m.texts))
	for language, text := range m.texts {
		places := strings.NewReplacer("{role}", role, "{types}", strings.Join(types, either[language]))
		filled[language] = places.Replace(text)
	}
	return filled
}

// The remedies of refusals that don't come from a catalog.
var (
	remedyAllowed = remedy{AskSomebody, map[string]string{
		"en": "let somebody do it whose role may, or the operator",
		"de": "lassen Sie es jemanden tun, dessen Rolle es erlaubt, oder den Betreiber",
		"fr": "demandez-le à quelqu’un dont le rôle le permet, ou à l’opérateur",
	}}
	remedyAnother = remedy{AskSomebody, map[string]string{
		"en": "let another administrator do it",
		"de": "lassen Sie es einen anderen Administrator tun",
		"fr": "demandez-le à un autre administrateur",
	}}
	remedyRevokeOthers = remedy{RevokeFirst, map[string]string{
		"en": "revoke the subject's other roles instead",
		"de": "entziehen Sie stattdessen die anderen Rollen",
		"fr": "retirez plutôt les autres rôles",
	}}
	remedyHolder = remedy{CorrectRequest, map[string]string{
		"en": "name a subject of type {types}",
		"de": "geben Sie ein Subjekt des Typs {types} an",
		"fr": "indiquez un sujet de type {types}",
	}}
	remedyScope = remedy{CorrectRequest, map[string]string{
		"en": "name a scope of type {types}",
		"de": "geben Sie einen Bereich des Typs {types} an",
		"fr": "indiquez un périmètre de type {types}",
	}}
	remedyNoScope = remedy{CorrectRequest, map[string]string{
		"en": "grant it without a scope",
		"de": "vergeben Sie die Rolle „{role}“ ohne Bereich",
		"fr": "attribuez le rôle « {role} » sans périmètre",
	}}
	remedyHeldScope = remedy{CorrectRequest, map[string]string{
		"en": "name one of these scopes, or revoke it everywhere",
		"de": "geben Sie einen der Bereiche an, in denen die Rolle „{role}“ vergeben ist, oder entziehen Sie sie überall",
		"fr": "indiquez l’un des périmètres où le rôle « {role} » est attribué, ou retirez-le partout",
	}}
	remedyHeldRole = remedy{CorrectRequest, map[string]string{
		"en": "name the role that is held, or grant the new one",
		"de": "geben Sie die Rolle an, die tatsächlich vergeben ist, oder vergeben Sie die neue",
		"fr": "indiquez le rôle réellement attribué, ou attribuez le nouveau",
	}}
	remedyRevokeFirst = remedy{RevokeFirst, map[string]string{
		"en": `revoke "{role}" first, or let the new role start when it ends`,
		"de": "entziehen Sie zuerst die Rolle „{role}“, oder lassen Sie die neue beginnen, wenn diese endet",
		"fr": "retirez d’abord le rôle « {role} », ou faites commencer le nouveau quand il prend fin",
	}}
	remedyAnotherHolder = remedy{GrantAnotherFirst, map[string]string{
		"en": "grant it to another user first, in the tenant and without an end",
		"de": "vergeben Sie die Rolle „{role}“ zuerst an eine andere Person, in der ganzen Organisation und unbefristet",
		"fr": "attribuez d’abord le rôle « {role} » à un autre utilisateur, dans toute l’organisation et sans date de fin",
	}}
	remedyRevokeSome = remedy{RevokeFirst, map[string]string{
		"en": "revoke some, or grant the role in the tenant instead of scope by scope",
		"de": "entziehen Sie einige Rollen, oder vergeben Sie die Rolle in der ganzen Organisation statt Bereich für Bereich",
		"fr": "retirez quelques rôles, ou attribuez le rôle dans toute l’organisation plutôt que périmètre par périmètre",
	}}
	remedyLocked = remedy{NoRemedy, map[string]string{
		"en": "it can't be changed in this catalog",
		"de": "dieser Schalter lässt sich in diesem Katalog nicht ändern",
		"fr": "ce réglage ne peut pas être modifié dans ce catalogue",
	}}
	remedyAllAlike = remedy{NoRemedy, map[string]string{
		"en": `there is nothing to do: all who hold the role "{role}" are alike`,
		"de": "hier ist nichts zu tun: alle mit der Rolle „{role}“ sind einander gleichgestellt",
		"fr": "il n’y a rien à faire : tous ceux qui ont le rôle « {role} » sont sur le même plan",
	}}
	remedyNameHolder = remedy{CorrectRequest, map[string]string{
		"en": "name a user who does, or grant the role first",
		"de": "geben Sie eine Person an, die die Rolle „{role}“ jetzt und unbefristet hat, oder vergeben Sie die Rolle zuerst",
		"fr": "indiquez un utilisateur qui a le rôle « {role} » maintenant et sans date de fin, ou attribuez d’abord le rôle",
	}}
)
