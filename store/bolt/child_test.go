package bolt

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Some tests need another process: to hold the file, or to be killed. It is the test
// binary itself, told by its environment what to do.
const childEnv = "USHER_BOLT_TEST_CHILD"

// job is what a child is to do.
type job struct {
	Do     string
	Path   string
	Truth  []string // what dump has to say
	Trials []trial
	From   []int // number of each writer's first write
	NoSync bool  // bbolt is told not to sync
}

var jobs = map[string]func(job){
	"hold":           holdFile,
	"write":          writeUntilKilled,
	"make":           makeUntilKilled,
	"flip":           readFlipped,
	"flip open":      readFlippedOpen,
	"flip and write": writeFlipped,
}

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		var j job
		if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
			panic(err)
		}
		jobs[j.Do](j)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a process that does a job. What it says comes line by line.
type child struct {
	*exec.Cmd
	lines  *bufio.Scanner
	stderr *strings.Builder
}

func fork(t *testing.T, j job) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0]), stderr: new(strings.Builder)}
	c.Env = append(os.Environ(), childEnv+"=1")
	in, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	c.Stdin = strings.NewReader(string(in))
	c.Stderr = c.stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lines = bufio.NewScanner(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	return c
}

// holdFile keeps a store open until it is killed.
func holdFile(j job) {
	if _, err := Open(j.Path, Options{}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("open")
	io.Copy(io.Discard, os.Stdin)
	select {}
}
