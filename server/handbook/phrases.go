package handbook

import "golang.org/x/text/language"

// phrases are the words of a handbook in one language. Those with a %s are formats.
type phrases struct {
	version, generated                                        string
	roles, role, title, aliases, heldIn, heldBy, remark       string
	tenant, defaultRole, protectedRole, exclusive, advised    string
	permissions, permission, legend                           string
	own, assigned, anyScope, never                            string
	whileOn, whileOff, widenedOn, widenedOff, onlyIf, unmet   string
	switches, name, atFirst, belongsTo, on, off, locked       string
	administration, actor, grants, revokes, sets, all, nobody string
	refused, takenAway, changed, butOperator, statements      string
}

// languages are those of the phrases; the first is used where none of them is wanted.
var languages = []language.Tag{language.English, language.German, language.French}

var inLanguage = []phrases{
	{
		version:   "Version %d of the catalog `%s`.",
		generated: "This page is written by `usher catalog docs %s`; change the catalog, not the page.",
		roles:     "Roles", role: "Role", title: "Title", aliases: "Also called", heldIn: "Held in", heldBy: "Held by", remark: "Remark",
		tenant: "the whole organization", defaultRole: "whoever holds no other role; never granted",
		protectedRole: "the last holder stays", exclusive: "at most one of these roles at a time: %s", advised: "at most %d holders are advised",
		permissions: "Who may do what", permission: "Permission",
		legend: "✓ everywhere; *own*: on what is their own; *assigned*: where the role is held; *any …*: on what lies in some such place; " +
			"✗ forbidden, whatever other roles give; empty: not allowed. Numbers are notes below the table.",
		own: "own", assigned: "assigned", anyScope: "any %s", never: "✗ %s",
		whileOn: "Only while “%s” is on (at the start: %s).", whileOff: "Only while “%s” is off (at the start: %s).",
		widenedOn: "Also *%s* while “%s” is on (at the start: %s).", widenedOff: "Also *%s* while “%s” is off (at the start: %s).",
		onlyIf: "Only if %s.", unmet: "Not if %s: only if %s.",
		switches: "Switches", name: "Name", atFirst: "At the start", belongsTo: "About", on: "on", off: "off", locked: "%s, locked",
		administration: "Who administers", actor: "Who", grants: "Grants", revokes: "Revokes", sets: "Switches", all: "all", nobody: "–",
		refused: "What is refused", takenAway: "Taking “%s” away", changed: "A change of “%s” into “%s”", butOperator: "(but not to the operator)",
		statements: "What the catalog states",
	},
	{
		version:   "Version %d des Katalogs `%s`.",
		generated: "Diese Seite schreibt `usher catalog docs %s`; ändern Sie den Katalog, nicht die Seite.",
		roles:     "Rollen", role: "Rolle", title: "Titel", aliases: "Auch genannt", heldIn: "Vergeben in", heldBy: "Vergeben an", remark: "Anmerkung",
		tenant: "der ganzen Organisation", defaultRole: "alle ohne andere Rolle; wird nie vergeben",
		protectedRole: "einer behält sie immer", exclusive: "höchstens eine dieser Rollen zur selben Zeit: %s", advised: "empfohlen für höchstens %d",
		permissions: "Wer darf was", permission: "Berechtigung",
		legend: "✓ überall; *Eigenes*: bei dem, was einem selbst gehört; *zugewiesen*: dort, wo die Rolle vergeben ist; *beliebig (…)*: bei allem, was an " +
			"einem solchen Ort liegt; ✗ verboten, was immer andere Rollen erlauben; leer: nicht erlaubt. Zahlen verweisen auf Anmerkungen unter der Tabelle.",
		own: "Eigenes", assigned: "zugewiesen", anyScope: "beliebig (%s)", never: "✗ %s",
		whileOn: "Nur solange „%s“ eingeschaltet ist (am Anfang: %s).", whileOff: "Nur solange „%s“ ausgeschaltet ist (am Anfang: %s).",
		widenedOn:  "Auch *%s*, solange „%s“ eingeschaltet ist (am Anfang: %s).",
		widenedOff: "Auch *%s*, solange „%s“ ausgeschaltet ist (am Anfang: %s).",
		onlyIf:     "Nur wenn %s.", unmet: "Nicht, wenn gilt: %s; nur wenn %s.",
		switches: "Schalter", name: "Name", atFirst: "Am Anfang", belongsTo: "Betrifft", on: "ein", off: "aus", locked: "%s, gesperrt",
		administration: "Wer verwaltet", actor: "Wer", grants: "Vergibt", revokes: "Entzieht", sets: "Schaltet", all: "alle", nobody: "–",
		refused: "Was abgelehnt wird", takenAway: "Der Entzug von „%s“", changed: "Der Wechsel von „%s“ zu „%s“", butOperator: "(nicht dem Betreiber)",
		statements: "Was der Katalog zusichert",
	},
	{
		version:   "Version %d du catalogue `%s`.",
		generated: "Cette page est écrite par `usher catalog docs %s` ; modifiez le catalogue, pas la page.",
		roles:     "Rôles", role: "Rôle", title: "Titre", aliases: "Aussi appelé", heldIn: "Attribué dans", heldBy: "Attribué à", remark: "Remarque",
		tenant: "toute l’organisation", defaultRole: "quiconque n’a pas d’autre rôle ; jamais attribué",
		protectedRole: "le dernier titulaire reste", exclusive: "au plus un de ces rôles à la fois : %s", advised: "au plus %d titulaires sont conseillés",
		permissions: "Qui peut faire quoi", permission: "Permission",
		legend: "✓ partout ; *à soi* : sur ce qui est à soi ; *attribué* : là où le rôle est attribué ; *quelconque (…)* : sur ce qui se trouve dans un tel " +
			"endroit ; ✗ interdit, quoi que permettent les autres rôles ; vide : pas permis. Les numéros renvoient aux notes sous le tableau.",
		own: "à soi", assigned: "attribué", anyScope: "quelconque (%s)", never: "✗ %s",
		whileOn: "Seulement tant que « %s » est activé (au début : %s).", whileOff: "Seulement tant que « %s » est désactivé (au début : %s).",
		widenedOn:  "Aussi *%s* tant que « %s » est activé (au début : %s).",
		widenedOff: "Aussi *%s* tant que « %s » est désactivé (au début : %s).",
		onlyIf:     "Seulement si %s.", unmet: "Pas si %s : seulement si %s.",
		switches: "Réglages", name: "Nom", atFirst: "Au début", belongsTo: "Concerne", on: "activé", off: "désactivé", locked: "%s, verrouillé",
		administration: "Qui administre", actor: "Qui", grants: "Attribue", revokes: "Retire", sets: "Règle", all: "tous", nobody: "–",
		refused: "Ce qui est refusé", takenAway: "Retirer « %s »", changed: "Passer de « %s » à « %s »", butOperator: "(mais pas à l’opérateur)",
		statements: "Ce que le catalogue garantit",
	},
}
