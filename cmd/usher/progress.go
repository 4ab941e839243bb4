package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// progressOn shows how far something is, on a line that is written again and again; "" takes
// the line away. For a file, it shows nothing.
func progressOn(stderr io.Writer) func(text string) {
	file, isFile := stderr.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		return func(string) {}
	}
	return func(text string) { fmt.Fprint(file, "\r\x1b[K"+text) }
}

// bar draws how much of something is done.
func bar(done, total int64) string {
	const width = 30
	if total <= 0 {
		return ""
	}
	full := int(min(done, total) * width / total)
	return fmt.Sprintf("[%-*.*s] %3d%%", width, full, "##############################", min(done, total)*100/total)
}
