package server

import (
	"slices"

	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
	"github.com/usher-pdp/usher/server/wording"
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
			Title:       wording.Title(role.GetTitles(), locale, role.GetName()),
			Aliases:     role.GetAliases(),
			HeldIn:      role.GetHeldIn(),
			Holders:     holders,
			IsDefault:   role.GetName() == message.GetDefaultRole(),
			IsProtected: role.GetName() == catalog.ProtectedRole(),
			IsExclusive: slices.Contains(message.GetAdministration().GetExclusiveRoles(), role.GetName()),
		}
		everywhere, scopes, refusal := p.tenant.table.MayGrant(p.actor, role.GetName())
		info.MayGrant, info.MayGrantIn, info.MayGrantInCount = everywhere, scopes[:min(len(scopes), maxGrantScopes)], int32(len(scopes)) // #nosec G115 -- as many scopes as an actor holds
		if refusal != nil {
			info.Refusal, info.RefusalText, info.Remedy = string(refusal.Code), refusal.Text, remedyMessage(refusal)
		}
		roles = append(roles, info)
	}
	return roles
}
