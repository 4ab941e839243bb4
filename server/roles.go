package server

import (
	"maps"
	"slices"

	"golang.org/x/text/language"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

// maxGrantScopes is how many scopes are named in which a role may be granted.
const maxGrantScopes = 1_000

// roles describes every role of the tenant's catalog to whoever asks.
func (p *planning) roles(locale string) (roles []*usherv1.RoleInfo) {
	catalog := p.tenant.table.Catalog()
	message := catalog.Message()
	for _, role := range message.GetRoles() {
		holders := role.GetHolders()
		if len(holders) == 0 {
			holders = message.GetHolders()
		}
		info := &usherv1.RoleInfo{
			Name:        role.GetName(),
			Title:       textIn(locale, role.GetTitles(), role.GetName()),
			Aliases:     role.GetAliases(),
			HeldIn:      role.GetHeldIn(),
			Holders:     holders,
			IsDefault:   role.GetName() == message.GetDefaultRole(),
			IsProtected: role.GetName() == catalog.ProtectedRole(),
			IsExclusive: slices.Contains(message.GetAdministration().GetExclusiveRoles(), role.GetName()),
		}
		everywhere, scopes, refusal := p.tenant.table.MayGrant(p.actor, role.GetName())
		info.MayGrant, info.MayGrantIn, info.MayGrantInCount = everywhere, scopes[:min(len(scopes), maxGrantScopes)], int32(len(scopes))
		if refusal != nil {
			info.Refusal, info.RefusalText, info.Remedy = string(refusal.Code), refusal.Text, remedyMessage(refusal)
		}
		roles = append(roles, info)
	}
	return roles
}

// textIn returns the text in the language nearest to a locale, in English if none is near,
// or else the name of what it is about.
func textIn(locale string, texts map[string]string, name string) string {
	if len(texts) == 0 {
		return name
	}
	// The first language is what the matcher falls back to.
	names := slices.Sorted(maps.Keys(texts))
	if i := slices.Index(names, "en"); i > 0 {
		names[0], names[i] = names[i], names[0]
	}
	tags := make([]language.Tag, len(names))
	for i, n := range names {
		tags[i] = language.Make(n)
	}
	_, i := language.MatchStrings(language.NewMatcher(tags), locale)
	return texts[names[i]]
}
