package main

import (
	"cmp"
	"errors"
	"os"
	"strings"

	"golang.org/x/text/language"

	"github.com/usher-pdp/usher/server/wording"
)

// readersLanguage returns the language of the reader as a BCP 47 tag, such as "de-AT": what
// LC_ALL, LC_MESSAGES or LANG says. "" if they name none, or nothing that is one.
func readersLanguage() string {
	locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG"))
	if end := strings.IndexAny(locale, ".@"); end >= 0 {
		locale = locale[:end]
	}
	tag, err := language.Parse(strings.ReplaceAll(locale, "_", "-"))
	if unknown := language.ValueError(nil); tag == language.Und || err != nil && !errors.As(err, &unknown) {
		return ""
	}
	return tag.String()
}

// inReadersLanguage picks the text in the language of the reader, or else the English one.
func inReadersLanguage(texts map[string]string) string {
	return wording.Title(texts, readersLanguage(), "")
}
