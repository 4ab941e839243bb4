package wording

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// TestTextsAreInAllLanguages holds that a text is in every language, with the same placeholders,
// and that no key is there twice.
func TestTextsAreInAllLanguages(t *testing.T) {
	placeholder := regexp.MustCompile(`%(\[[0-9]\]s|.?)`)
	seen := map[key]bool{}
	for _, text := range texts {
		if seen[text.key] {
			t.Errorf("%s is there twice", text.key)
		}
		seen[text.key] = true
		want := slices.Compact(slices.Sorted(slices.Values(placeholder.FindAllString(text.en, -1))))
		for i, p := range want {
			if len(p) != len("%[1]s") || p[2] != byte('1'+i) {
				t.Errorf("%s: the placeholders are %v and not %%[1]s, %%[2]s …", text.key, want)
			}
		}
		for tag, format := range map[language.Tag]string{language.English: text.en, language.German: text.de, language.French: text.fr} {
			got := slices.Compact(slices.Sorted(slices.Values(placeholder.FindAllString(format, -1))))
			if format == "" || !slices.Equal(got, want) {
				t.Errorf("%s in %v has the placeholders %v, and in English %v", text.key, tag, got, want)
			}
			arguments := make([]any, len(want))
			for i := range arguments {
				arguments[i] = "argument%"
			}
			printer := message.NewPrinter(tag, message.Catalog(messages))
			printed := printer.Sprintf(message.Key(string(text.key), ""), arguments...)
			if filled := placeholder.ReplaceAllLiteralString(format, "argument%"); printed != filled || strings.Contains(printed, "%!") {
				t.Errorf("%s in %v is printed as %q", text.key, tag, printed)
			}
		}
	}
}
