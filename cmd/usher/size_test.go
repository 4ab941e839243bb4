package main

import "testing"

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{"1KiB": 1 << 10, "64MiB": 64 << 20, "8GiB": 8 << 30} {
		var got byteSize
		if err := got.Set(text); err != nil || got != want || got.String() != text {
			t.Errorf("%q: %d, %v, written %q", text, got, err, &got)
		}
	}
	for _, text := range []string{"", "64", "64MB", "MiB", "-1MiB", "0MiB", "1.5GiB", "64 MiB", "9999999999999GiB"} {
		var got byteSize
		if err := got.Set(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}
