package main

import (
	"fmt"
	"io"
	"strings"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	usherv1 "github.com/usher-pdp/usher/gen/usher/v1"
)

func writeCatalogs(w io.Writer, all *usherv1.ListCatalogsResponse) {
	var rows [][]string
	for _, c := range all.GetCatalogs() {
		rows = append(rows, []string{
			c.GetName(), fmt.Sprint(c.GetVersion()), dash(inReadersLanguage(c.GetTitles())), strings.Join(c.GetRoles(), ", "),
		})
	}
	writeTable(w, "CATALOG VERSION TITLE ROLES", rows)
}

// writeCatalog writes what somebody has to know who grants and switches. For the
// permissions there is --yaml.
func writeCatalog(w io.Writer, resp *usherv1.GetCatalogResponse) {
	catalog := resp.GetCatalog()
	fmt.Fprintf(w, "%s version %d: %s\n\n", catalog.GetName(), catalog.GetVersion(), dash(inReadersLanguage(catalog.GetTitles())))

	var rows [][]string
	for _, role := range catalog.GetRoles() {
		rows = append(rows, []string{
			role.GetName(), dash(inReadersLanguage(role.GetTitles())), heldIn(role), heldBy(catalog, role), dash(remark(catalog, role)),
		})
	}
	writeTable(w, "ROLE TITLE HELD_IN HELD_BY REMARK", rows)

	rows = nil
	for _, toggle := range catalog.GetToggles() {
		state := "off"
		if toggle.GetStartsOn() {
			state = "on"
		}
		if toggle.GetLocked() {
			state += ", locked"
		}
		rows = append(rows, []string{toggle.GetName(), state, dash(toggle.GetBelongsTo()), dash(inReadersLanguage(toggle.GetTitles()))})
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		writeTable(w, "TOGGLE AT_FIRST ROLE TITLE", rows)
	}
}

func heldIn(role *catalogv1.Role) string {
	if len(role.GetHeldIn()) == 0 {
		return "tenant"
	}
	return strings.Join(role.GetHeldIn(), ", ")
}

func heldBy(catalog *catalogv1.Catalog, role *catalogv1.Role) string {
	if len(role.GetHolders()) > 0 {
		return strings.Join(role.GetHolders(), ", ")
	}
	return strings.Join(catalog.GetHolders(), ", ")
}

func remark(catalog *catalogv1.Catalog, role *catalogv1.Role) string {
	switch role.GetName() {
	case catalog.GetDefaultRole():
		return "of whoever holds no other; never granted"
	case catalog.GetAdministration().GetProtectedRole():
		return "the last holder stays"
	}
	return ""
}
