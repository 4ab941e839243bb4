package main

import "testing"

// TestMutantsApply sees to it that the list of faults follows the code.
func TestMutantsApply(t *testing.T) {
	all, err := parse(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Errorf("there are %d faults only", len(all))
	}
	if err := applyAll("../..", all); err != nil {
		t.Errorf("mend tools/mutants/mutants.txt: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"@ file.go", "# name\nold"} {
		if _, err := parse(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
}
