package main

import "testing"

func TestTextsAreInTheReadersLanguage(t *testing.T) {
	texts := map[string]string{"en": "ask", "de": "frag", "de-CH": "fröög", "fr": "demande"}
	for _, test := range []struct{ all, messages, lang, want string }{
		{"", "", "", "ask"},
		{"", "", "C.UTF-8", "ask"},
		{"", "", "POSIX", "ask"},
		{"", "", "de_DE.UTF-8", "frag"},
		{"", "", "de_CH", "fröög"},
		{"", "", "fr_FR@euro", "demande"},
		{"", "", "pl_PL.UTF-8", "ask"},
		{"", "fr_FR.UTF-8", "de_DE.UTF-8", "demande"},
		{"de_DE.UTF-8", "fr_FR.UTF-8", "en_GB.UTF-8", "frag"},
	} {
		t.Setenv("LC_ALL", test.all)
		t.Setenv("LC_MESSAGES", test.messages)
		t.Setenv("LANG", test.lang)
		if got := inReadersLanguage(texts); got != test.want {
			t.Errorf("%+v: %q", test, got)
		}
	}
}
