package main

import (
	"cmp"
	"os"
	"strings"

	"github.com/usher-pdp/usher/server/wording"
)

// readersLanguage returns the language of the reader as a BCP 47 tag, such as "de-AT": what
// LC_ALL, LC_MESSAGES or LANG says. "" if they name none.
func readersLanguage() string {
	locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG"))
	if end := strings.IndexAny(locale, ".@"); end >= 0 {
		locale = locale[:end]
	}
	if locale == "C" || locale == "POSIX" {
		return ""
	}
	return strings.ReplaceAll(locale, "_", "-")
}

// inReadersLanguage picks the text in the language of the reader, or else the English one.
func inReadersLanguage(texts map[string]string) string {
	return wording.Title(texts, readersLanguage(), "")
}
