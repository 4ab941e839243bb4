package wording

import (
	"golang.org/x/text/language"
	"golang.org/x/text/message/catalog"
)

// key names a text, or a part of one.
type key string

// A text in the languages of the sentences. It has no words that would have to agree with a title
// in gender or case: titles stand in quotes after a noun, or after a colon.
type text struct {
	key        key
	en, de, fr string
}

// The openings of a decision. What may be done is in the language of the sentence, as in "view
// tickets", and follows a colon if it is not.
const (
	allowed      key = "allowed"       // 1: what
	allowedOther key = "allowed other" // 1: what
	denied       key = "denied"        // 1: what
	deniedOther  key = "denied other"  // 1: what
)

// What may be done about roles and settings.
const (
	grantRole  key = "grant role" // 1: title of the role
	grantRoles key = "grant roles"
	revokeRole key = "revoke role" // 1: title of the role
	revokeAny  key = "revoke roles"
	setToggle  key = "set toggle" // 1: title of the toggle
	setToggles key = "set toggles"
)

// Why: what follows the opening.
const (
	granted          key = "granted"            // 1: whose role
	forbidden        key = "forbidden"          // 1: whose role
	toggleOff        key = "toggle off"         // 1: title of the toggle
	toggleOn         key = "toggle on"          // 1: title of the toggle
	conditionNotMet  key = "condition not met"  // 1: whose role
	conditionDetails key = "condition details"  // 1: whose role, 2: facts
	otherRolesOnly   key = "other roles only"   // 1: whose role
	otherTogglesOnly key = "other toggles only" // 1: whose role
	missingAttribute key = "missing attribute"  // 1: what the attribute is called
	elsewhere        key = "elsewhere"          // 1: whose role, 2: places of the role, 3: places of the resource
	notThere         key = "not there"          // 1: whose role, 2: places of the role
	manyPlaces       key = "many places"        // 1: whose role
	noPlaceYet       key = "no place yet"       // 1: whose role, 2: types of scope
	noScope          key = "no scope"           // 1: whose role, 2: type of scope
	notOwner         key = "not owner"          // 1: whose role
	startsOn         key = "starts on"          // 1: whose role, 2: when
	endedOn          key = "ended on"           // 1: whose role, 2: when
	notActive        key = "not active"         // 1: whose role
	lacksPermission  key = "lacks permission"   // 1: whose role
	noRole           key = "no role"
)

// Steps.
const (
	switchOn   key = "switch on"   // 1: who can, 2: title of the toggle
	switchOff  key = "switch off"  // 1: who can, 2: title of the toggle
	grant      key = "grant"       // 1: who can, 2: give whom, 3: role
	changeRole key = "change role" // 1: who can, 2: give whom, 3: new role, 4: old role
	startNow   key = "start now"   // 1: who can, 2: whose role
	revoke     key = "revoke"      // 1: who can, 2: whose role
	endsOn     key = "ends on"     // 1: when
	resource   key = "resource"    // 1: facts
	steps      key = "steps"
)

// Parts of sentences.
const (
	yourRole     key = "your role"    // 1: role
	groupsRole   key = "group's role" // 1: role, 2: id of the group
	role         key = "role"         // 1: title
	roleAt       key = "role at"      // 1: title, 2: places
	manyAreas    key = "many areas"
	place        key = "place"     // 1: type of scope, 2: id
	holderOf     key = "holder of" // 1: roles
	support      key = "support"
	giveYou      key = "give you"
	giveGroup    key = "give group" // 1: id of the group
	fact         key = "fact"       // 1: what the attribute is called, 2: value
	valueTrue    key = "true"
	valueFalse   key = "false"
	valueMissing key = "value missing"
	and          key = "and"
	or           key = "or"
)

var texts = []text{
	{
		allowed,
		"You can %[1]s here.",
		"Sie dürfen hier %[1]s.",
		"Ici, vous pouvez %[1]s.",
	}, {
		allowedOther,
		"You can do this here: %[1]s.",
		"Das dürfen Sie hier: %[1]s.",
		"Cela vous est permis ici : %[1]s.",
	}, {
		denied,
		"You can’t %[1]s here.",
		"Das ist Ihnen hier nicht möglich: %[1]s.",
		"Cela ne vous est pas possible ici : %[1]s.",
	}, {
		deniedOther,
		"You can’t do this here: %[1]s.",
		"Das ist Ihnen hier nicht möglich: %[1]s.",
		"Cela ne vous est pas possible ici : %[1]s.",
	},

	{
		grantRole,
		"give somebody the role “%[1]s”",
		"jemandem die Rolle „%[1]s“ geben",
		"donner à quelqu’un le rôle « %[1]s »",
	}, {
		grantRoles,
		"give roles to people",
		"Rollen vergeben",
		"attribuer des rôles",
	}, {
		revokeRole,
		"take the role “%[1]s” away from somebody",
		"jemandem die Rolle „%[1]s“ entziehen",
		"retirer à quelqu’un le rôle « %[1]s »",
	}, {
		revokeAny,
		"take roles away from people",
		"Rollen entziehen",
		"retirer des rôles",
	}, {
		setToggle,
		"switch the setting “%[1]s” on or off",
		"die Einstellung „%[1]s“ ein- oder ausschalten",
		"activer ou désactiver le réglage « %[1]s »",
	}, {
		setToggles,
		"switch settings on or off",
		"Einstellungen ein- oder ausschalten",
		"activer ou désactiver des réglages",
	},

	{
		granted,
		"%[1]s allows it.",
		"%[1]s erlaubt es.",
		"%[1]s le permet.",
	}, {
		forbidden,
		"%[1]s forbids it, even if another role allows it.",
		"%[1]s verbietet es, auch wenn eine andere Rolle es erlaubt.",
		"%[1]s l’interdit, même si un autre rôle le permet.",
	}, {
		toggleOff,
		"The setting “%[1]s” is switched off in your organization.",
		"Die Einstellung „%[1]s“ ist in Ihrer Organisation ausgeschaltet.",
		"Le réglage « %[1]s » est désactivé dans votre organisation.",
	}, {
		toggleOn,
		"The setting “%[1]s” is switched on in your organization.",
		"Die Einstellung „%[1]s“ ist in Ihrer Organisation eingeschaltet.",
		"Le réglage « %[1]s » est activé dans votre organisation.",
	}, {
		conditionNotMet,
		"%[1]s allows it only in certain cases, and this is not one of them.",
		"%[1]s erlaubt es nur in bestimmten Fällen, und dieser gehört nicht dazu.",
		"%[1]s ne le permet que dans certains cas, et celui-ci n’en fait pas partie.",
	}, {
		conditionDetails,
		"%[1]s allows it only in certain cases, and this is not one of them (%[2]s).",
		"%[1]s erlaubt es nur in bestimmten Fällen, und dieser gehört nicht dazu (%[2]s).",
		"%[1]s ne le permet que dans certains cas, et celui-ci n’en fait pas partie (%[2]s).",
	}, {
		otherRolesOnly,
		"%[1]s allows it for some other roles, but not for this one.",
		"%[1]s erlaubt es bei manchen anderen Rollen, bei dieser aber nicht.",
		"%[1]s le permet pour certains autres rôles, mais pas pour celui-ci.",
	}, {
		otherTogglesOnly,
		"%[1]s allows it for some other settings, but not for this one.",
		"%[1]s erlaubt es bei manchen anderen Einstellungen, bei dieser aber nicht.",
		"%[1]s le permet pour certains autres réglages, mais pas pour celui-ci.",
	}, {
		missingAttribute,
		"The program that you use left out a detail without which this can’t be decided (“%[1]s”). " +
			"You have done nothing wrong: please tell those who look after the program.",
		"Das Programm, das Sie benutzen, hat eine Angabe ausgelassen, ohne die sich das nicht entscheiden lässt („%[1]s“). " +
			"Sie haben nichts falsch gemacht: Bitte melden Sie es denen, die das Programm betreuen.",
		"Le programme que vous utilisez a omis une indication sans laquelle on ne peut pas décider (« %[1]s »). " +
			"Vous n’avez rien fait de mal : veuillez le signaler à ceux qui s’occupent du programme.",
	}, {
		elsewhere,
		"%[1]s covers only %[2]s, but this is about %[3]s.",
		"%[1]s gilt nur für %[2]s, hier geht es aber um %[3]s.",
		"%[1]s ne vaut que pour : %[2]s. Or il s’agit ici de : %[3]s.",
	}, {
		notThere,
		"%[1]s covers only %[2]s, and this does not belong there.",
		"%[1]s gilt nur für %[2]s, und das hier gehört nicht dazu.",
		"%[1]s ne vaut que pour : %[2]s. Or cela n’en fait pas partie.",
	}, {
		manyPlaces,
		"%[1]s covers only certain areas, and this does not belong to any of them.",
		"%[1]s gilt nur in bestimmten Bereichen, und das hier gehört zu keinem davon.",
		"%[1]s ne vaut que pour certains périmètres, et cela ne relève d’aucun d’eux.",
	}, {
		noPlaceYet,
		"%[1]s has not been assigned to any area yet (%[2]s).",
		"%[1]s ist noch keinem Bereich zugeordnet (%[2]s).",
		"%[1]s n’est encore rattaché à aucun périmètre (%[2]s).",
	}, {
		noScope,
		"%[1]s covers only what belongs to an area (%[2]s), and this does not.",
		"%[1]s gilt nur für das, was zu einem Bereich gehört (%[2]s), und das ist hier nicht der Fall.",
		"%[1]s ne vaut que pour ce qui relève d’un périmètre (%[2]s), et ce n’est pas le cas ici.",
	}, {
		notOwner,
		"%[1]s covers only what is your own, and this is not.",
		"%[1]s gilt nur für das, was Ihnen selbst gehört, und das ist hier nicht der Fall.",
		"%[1]s ne vaut que pour ce qui est à vous, et ce n’est pas le cas ici.",
	}, {
		startsOn,
		"%[1]s has not started yet: it starts on %[2]s.",
		"%[1]s hat noch nicht begonnen: Sie beginnt am %[2]s.",
		"%[1]s n’a pas encore commencé : il commence le %[2]s.",
	}, {
		endedOn,
		"%[1]s ended on %[2]s.",
		"%[1]s ist am %[2]s abgelaufen.",
		"%[1]s a pris fin le %[2]s.",
	}, {
		notActive,
		"%[1]s is not in force now: it has not started yet, or it has ended.",
		"%[1]s gilt zurzeit nicht: Sie hat noch nicht begonnen oder ist abgelaufen.",
		"%[1]s n’est pas en vigueur : il n’a pas encore commencé, ou il a pris fin.",
	}, {
		lacksPermission,
		"%[1]s does not include this.",
		"%[1]s umfasst das nicht.",
		"%[1]s ne le prévoit pas.",
	}, {
		noRole,
		"You have no role in this organization.",
		"Sie haben in dieser Organisation keine Rolle.",
		"Vous n’avez aucun rôle dans cette organisation.",
	},

	{
		switchOn,
		"%[1]s can switch on the setting “%[2]s”.",
		"%[1]s kann die Einstellung „%[2]s“ einschalten.",
		"%[1]s peut activer le réglage « %[2]s ».",
	}, {
		switchOff,
		"%[1]s can switch off the setting “%[2]s”.",
		"%[1]s kann die Einstellung „%[2]s“ ausschalten.",
		"%[1]s peut désactiver le réglage « %[2]s ».",
	}, {
		grant,
		"%[1]s can %[2]s the role %[3]s.",
		"%[1]s kann %[2]s die Rolle %[3]s geben.",
		"%[1]s peut %[2]s le rôle %[3]s.",
	}, {
		changeRole,
		"%[1]s can %[2]s the role %[3]s instead of the role %[4]s.",
		"%[1]s kann %[2]s die Rolle %[3]s anstelle der Rolle %[4]s geben.",
		"%[1]s peut %[2]s le rôle %[3]s à la place du rôle %[4]s.",
	}, {
		startNow,
		"%[1]s can let %[2]s start now.",
		"%[1]s kann %[2]s schon jetzt beginnen lassen.",
		"%[1]s peut faire commencer %[2]s dès maintenant.",
	}, {
		revoke,
		"%[1]s can take away %[2]s, which forbids this.",
		"%[1]s kann %[2]s aufheben, die das verbietet.",
		"%[1]s peut retirer %[2]s, qui l’interdit.",
	}, {
		endsOn,
		"The role would end on %[1]s.",
		"Die Rolle würde am %[1]s enden.",
		"Le rôle prendrait fin le %[1]s.",
	}, {
		resource,
		"This becomes possible when the following is so: %[1]s.",
		"Möglich wird es, wenn Folgendes gilt: %[1]s.",
		"Cela devient possible dans le cas suivant : %[1]s.",
	}, {
		steps,
		"This takes more than one step, in this order:",
		"Dazu braucht es mehr als einen Schritt, in dieser Reihenfolge:",
		"Il faut plus d’une étape, dans cet ordre :",
	},

	{
		yourRole,
		"your role %[1]s",
		"Ihre Rolle %[1]s",
		"votre rôle %[1]s",
	}, {
		groupsRole,
		"the role %[1]s of your group “%[2]s”",
		"die Rolle %[1]s Ihrer Gruppe „%[2]s“",
		"le rôle %[1]s de votre groupe « %[2]s »",
	}, {
		role,
		"“%[1]s”",
		"„%[1]s“",
		"« %[1]s »",
	}, {
		roleAt,
		"“%[1]s” in %[2]s",
		"„%[1]s“ (%[2]s)",
		"« %[1]s » (%[2]s)",
	}, {
		manyAreas,
		"several areas",
		"mehrere Bereiche",
		"plusieurs périmètres",
	}, {
		place,
		"%[1]s “%[2]s”",
		"%[1]s „%[2]s“",
		"%[1]s « %[2]s »",
	}, {
		holderOf,
		"somebody with the role %[1]s",
		"jemand mit der Rolle %[1]s",
		"une personne qui a le rôle %[1]s",
	}, {
		support,
		"only the vendor’s support",
		"nur der Support des Anbieters",
		"seule l’assistance du fournisseur",
	}, {
		giveYou,
		"give you",
		"Ihnen",
		"vous donner",
	}, {
		giveGroup,
		"give your group “%[1]s”",
		"Ihrer Gruppe „%[1]s“",
		"donner à votre groupe « %[1]s »",
	}, {
		fact,
		"“%[1]s: %[2]s”",
		"„%[1]s: %[2]s“",
		"« %[1]s : %[2]s »",
	},
	{valueTrue, "yes", "ja", "oui"},
	{valueFalse, "no", "nein", "non"},
	{valueMissing, "not stated", "ohne Angabe", "non indiqué"},
	{and, "and", "und", "et"},
	{or, "or", "oder", "ou"},
}

// messages has the texts by language.
var messages = buildMessages()

func buildMessages() *catalog.Builder {
	b := catalog.NewBuilder(catalog.Fallback(language.English))
	for _, t := range texts {
		for tag, format := range map[language.Tag]string{language.English: t.en, language.German: t.de, language.French: t.fr} {
			if err := b.SetString(tag, string(t.key), format); err != nil {
				panic(err) // The texts are part of the program.
			}
		}
	}
	return b
}
