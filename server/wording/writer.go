// Package wording says in the language of an end user why something may or may not be done,
// and what would help. The sentences are in English, German or French; the titles of roles and
// settings, and the words for what can be done, come from the catalog and may be in any language.
package wording

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	catalogv1 "github.com/usher-pdp/usher/gen/usher/catalog/v1"
	"github.com/usher-pdp/usher/server/policy"
)

// Writer writes texts in one language, for tenants of one catalog. It is not for several
// goroutines.
type Writer struct {
	catalog *catalogv1.Catalog
	// titles are the languages of titles, the best one first.
	titles []language.Tag
	// sentences is the language of the sentences, one of those of the table of texts.
	sentences language.Tag
	printer   *message.Printer
}

// New returns a Writer for a locale, which is a BCP 47 tag such as "de-CH". An empty one is
// English. What there is not in its language is in its parent languages, or in English. The error
// is about a locale that is no such tag.
func New(catalog *policy.Catalog, locale string) (*Writer, error) {
	tag := language.English
	if locale != "" {
		var err error
		tag, err = language.Parse(locale)
		if unknown := language.ValueError(nil); err != nil && !errors.As(err, &unknown) {
			return nil, fmt.Errorf("%.64q is no BCP 47 language tag: write one such as en, de-CH or pt-BR", locale)
		}
	}
	w := &Writer{catalog: catalog.Message(), titles: preferred(tag)}
	written := messages.Languages()
	w.sentences = w.titles[slices.IndexFunc(w.titles, func(t language.Tag) bool { return slices.Contains(written, t) })]
	w.printer = message.NewPrinter(w.sentences, message.Catalog(messages))
	return w, nil
}

// Locale is the language of the sentences, a BCP 47 tag. Titles may be in another one.
func (w *Writer) Locale() string { return w.sentences.String() }

// Way joins the texts of the steps that are all needed, in their order.
func (w *Writer) Way(texts []string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	way := w.say(steps)
	for i, text := range texts {
		way += fmt.Sprintf(" (%d) %s", i+1, text)
	}
	return way
}

func (w *Writer) say(k key, arguments ...any) string {
	return w.printer.Sprintf(message.Key(string(k), ""), arguments...)
}

// list joins what is listed, such as "a, b and c"; the key is that of the last joint.
func (w *Writer) list(items []string, last key) string {
	n := len(items) - 1
	if n <= 0 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:n], ", ") + " " + w.say(last) + " " + items[n]
}

// sentence begins a text with a capital letter.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
