package installation

import "strconv"

var (
	firstNames = [...]string{
		"amy", "ben", "carla", "david", "elena", "farid", "greta", "hugo", "ines", "jonas", "kim", "lars", "marta", "nina", "omar", "paula",
		"quentin", "rosa", "stefan", "tilda", "uwe", "vera", "wanda", "xaver", "yara", "zoe", "bruno", "claire", "emil", "fatma", "louis", "mehmet",
	}
	lastNames = [...]string{
		"adler", "bauer", "costa", "dubois", "eriksen", "fischer", "garcia", "huber", "ivanova", "jansen", "keller", "lindqvist", "moreau", "novak", "olsen", "petit",
		"quist", "rossi", "schmidt", "tanaka", "ulrich", "vogel", "weber", "yilmaz", "zimmer", "brandt", "chen", "demir", "evans", "fontaine", "lopez", "meyer",
	}
	places = [...]string{
		"northfield", "riverside", "oakdale", "bergheim", "clairmont", "sunnyvale", "westport", "lakewood", "altstadt", "montreux", "greenhill", "eastbrook",
		"kirchberg", "valmont", "fairview", "stonebridge", "neudorf", "beaulieu", "hillcrest", "maplewood", "rosenheim", "belmont", "highland", "springfield",
	}
	topics = [...]string{
		"harvest", "parts", "seeds", "service", "billing", "sales", "support", "onboarding", "returns", "warranty", "hydraulics", "engines",
		"software", "logistics", "night", "vip", "retail", "export", "training", "fleet",
	}
)

// tenantName returns the name of a tenant.
func tenantName(tenant int) string {
	return numbered(places[tenant%len(places)], tenant/len(places))
}

// scopeName returns the name of one of a tenant's scopes.
func scopeName(tenant, scope int) string {
	return modelOf(tenant).scopeType(scope) + ":" + numbered(topics[scope%len(topics)], scope/len(topics))
}

func numbered(name string, n int) string {
	if n == 0 {
		return name
	}
	return name + "-" + strconv.Itoa(n+1)
}

// Subject returns the n-th member of a tenant's staff. For a number beyond the staff it is
// somebody else at the tenant, who holds nothing.
func (i *Installation) Subject(tenant, n int) string {
	return "user:" + i.person(tenant, n) + "@" + tenantName(tenant) + ".example"
}

// customer returns one of a tenant's customers, who hold nothing.
func (i *Installation) customer(tenant, n int) string {
	return "user:" + i.person(tenant, n) + "@mail.example"
}

func (i *Installation) person(tenant, n int) string {
	d := i.dice(forName, tenant, n)
	return firstNames[d.below(len(firstNames))] + "." + lastNames[d.below(len(lastNames))] + "." + strconv.Itoa(n)
}
