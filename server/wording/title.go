package wording

import (
	"maps"
	"slices"

	"golang.org/x/text/language"
)

// Title picks a text, of texts by language as catalogs have them: the one in the language of
// the locale, else in one of its parents (of "de-CH" that is "de"), else in English. If there
// is none of these, it is the name of what the text is about. The locale is a BCP 47 tag; one
// that can't be read is like none.
func Title(texts map[string]string, locale, name string) string {
	return titleIn(texts, preferred(language.Make(locale)), name)
}

func titleIn(texts map[string]string, languages []language.Tag, name string) string {
	if text, _, found := nearest(texts, languages); found {
		return text
	}
	return name
}

// preferred returns the languages to look for, the best one first.
func preferred(tag language.Tag) []language.Tag {
	var tags []language.Tag
	for ; !tag.IsRoot(); tag = tag.Parent() {
		tags = append(tags, tag)
	}
	return append(tags, language.English)
}

// nearest returns the text in the first of the languages in which there is one, and that
// language.
func nearest(texts map[string]string, languages []language.Tag) (string, language.Tag, bool) {
	written := slices.Sorted(maps.Keys(texts))
	for _, wanted := range languages {
		for _, tag := range written {
			if texts[tag] != "" && language.Make(tag).String() == wanted.String() {
				return texts[tag], wanted, true
			}
		}
	}
	return "", language.Tag{}, false
}
