// Package handbook writes what a catalog says as a page for people: who may do what, as a
// table of roles and permissions. It is pure, and the same catalog always gives the same page.
package handbook

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/language"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy"
	"github.com/usher-pdp/usher/server/wording"
)

// Page returns the handbook of a catalog in Markdown, in the language of a locale: a BCP 47 tag.
// Titles and words are those of the catalog, which may be in any language; the sentences are in
// English, German or French.
func Page(c *policy.Catalog, locale string) string {
	_, i := language.MatchStrings(language.NewMatcher(languages), locale)
	p := &page{catalog: c, message: c.Message(), locale: locale, phrases: inLanguage[i], words: map[string]map[string]string{}}
	for _, w := range p.message.GetWords() {
		p.words[w.GetName()] = w.GetTitles()
	}
	p.printf("# %s\n\n", escaped(wording.Title(p.message.GetTitles(), locale, p.message.GetName())))
	p.printf(p.version+" "+p.generated+"\n", p.message.GetVersion(), p.message.GetName(), p.message.GetName())
	p.writeRoles()
	p.writeMatrix()
	p.writeSwitches()
	p.writeAdministration()
	p.writeRefused()
	p.writeStatements()
	return p.text.String()
}

// page is a page that is written.
type page struct {
	phrases
	catalog *policy.Catalog
	message *catalogv1.Catalog
	locale  string
	words   map[string]map[string]string
	notes   []string
	text    strings.Builder
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

func (p *page) heading(text string) { p.printf("\n## %s\n\n", text) }

// row writes a row of a table. The cells are Markdown.
func (p *page) row(cells ...string) { p.printf("| %s |\n", strings.Join(cells, " | ")) }

// head writes the first rows of a table.
func (p *page) head(cells ...string) {
	p.row(cells...)
	p.row(slices.Repeat([]string{"---"}, len(cells))...)
}

// escaped is a text of the catalog that has no meaning as Markdown.
func escaped(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "`", "\\`", "<", "&lt;", "[", `\[`, "\n", " ").Replace(text)
}

// code is a text of the catalog as it is.
func code(text string) string { return "`" + strings.ReplaceAll(text, "`", "'") + "`" }

func (p *page) titleOf(r *catalogv1.Role) string {
	return escaped(wording.Title(r.GetTitles(), p.locale, r.GetName()))
}

// roleTitle is the title of a role by its name.
func (p *page) roleTitle(name string) string {
	i := slices.IndexFunc(p.message.GetRoles(), func(r *catalogv1.Role) bool { return r.GetName() == name })
	return p.titleOf(p.message.GetRoles()[i])
}

func (p *page) roleTitles(names []string) string {
	var titles []string
	for _, name := range names {
		titles = append(titles, p.roleTitle(name))
	}
	return strings.Join(titles, ", ")
}

// word is what people call a scope type or a permission.
func (p *page) word(name string) string { return escaped(wording.Title(p.words[name], p.locale, name)) }

func (p *page) writeRoles() {
	p.heading(p.roles)
	p.head(p.role, p.title, p.aliases, p.heldIn, p.heldBy, p.remark)
	administration := p.message.GetAdministration()
	for _, r := range p.message.GetRoles() {
		places := []string{p.tenant}
		for _, t := range r.GetHeldIn() {
			places = append(places, p.word(t))
		}
		holders := r.GetHolders()
		if len(holders) == 0 {
			holders = p.message.GetHolders()
		}
		var remarks []string
		switch r.GetName() {
		case p.message.GetDefaultRole():
			remarks, places, holders = append(remarks, p.defaultRole), []string{p.nobody}, []string{p.nobody}
		case administration.GetProtectedRole():
			remarks = append(remarks, p.protectedRole)
		}
		if limit := p.catalog.AdvisoryLimit(r.GetName()); limit != nil {
			remarks = append(remarks, fmt.Sprintf(p.advised, limit.GetHolders()))
		}
		p.row("`"+r.GetName()+"`", p.titleOf(r), escaped(strings.Join(r.GetAliases(), ", ")),
			strings.Join(places, ", "), strings.Join(holders, ", "), strings.Join(remarks, "; "))
	}
	if exclusive := administration.GetExclusiveRoles(); len(exclusive) > 0 {
		text := fmt.Sprintf(p.exclusive, p.roleTitles(exclusive))
		p.printf("\n%s.\n", strings.ToUpper(text[:1])+text[1:])
	}
}

func (p *page) writeSwitches() {
	if len(p.message.GetToggles()) == 0 {
		return
	}
	p.heading(p.switches)
	p.head(p.title, p.name, p.atFirst, p.belongsTo)
	for _, t := range p.message.GetToggles() {
		about := ""
		if t.GetBelongsTo() != "" {
			about = p.roleTitle(t.GetBelongsTo())
		}
		p.row(p.toggleTitle(t), "`"+t.GetName()+"`", p.firstState(t), about)
	}
}

func (p *page) toggleTitle(t *catalogv1.Toggle) string {
	return escaped(wording.Title(t.GetTitles(), p.locale, t.GetName()))
}

// firstState is how a toggle stands at the start.
func (p *page) firstState(t *catalogv1.Toggle) string {
	state := p.off
	if t.GetStartsOn() {
		state = p.on
	}
	if t.GetLocked() {
		return fmt.Sprintf(p.locked, state)
	}
	return state
}

func (p *page) writeRefused() {
	transitions := p.message.GetAdministration().GetRefusedTransitions()
	if len(transitions) == 0 {
		return
	}
	p.heading(p.refused)
	for _, t := range transitions {
		text := fmt.Sprintf(p.takenAway, p.roleTitle(t.GetFrom()))
		if t.GetTo() != "" {
			text = fmt.Sprintf(p.changed, p.roleTitle(t.GetFrom()), p.roleTitle(t.GetTo()))
		}
		if t.GetOperatorMay() {
			text += " " + p.butOperator
		}
		p.printf("- %s. %s\n", text, escaped(wording.Title(t.GetRemedy(), p.locale, "")))
	}
}

func (p *page) writeStatements() {
	if len(p.message.GetStatements()) == 0 {
		return
	}
	p.heading(p.statements)
	for _, s := range p.message.GetStatements() {
		p.printf("- %s\n", escaped(s.GetTitle()))
	}
}
