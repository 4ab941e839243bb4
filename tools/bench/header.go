package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// header says what was measured where.
type header struct {
	Command  string `json:"command"`
	Date     string `json:"date"`
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Revision string `json:"revision"`
	Load     string `json:"load"` // that there was before
}

// newHeader leaves empty what it can't find out.
func newHeader() header {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	revision, _ := exec.Command("git", "-c", "safe.directory=*", "describe", "--always", "--dirty").Output()
	return header{
		Command:  strings.Join(os.Args, " "),
		Date:     time.Now().UTC().Format("2006-01-02 15:04 MST"),
		CPU:      cpuModel(),
		Cores:    runtime.NumCPU(),
		Kernel:   strings.TrimSpace(string(kernel)),
		Go:       runtime.Version(),
		Revision: strings.TrimSpace(string(revision)),
		Load:     strings.TrimSpace(string(load)),
	}
}

func cpuModel() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func (h header) write(w io.Writer) {
	table{
		{"command", h.Command}, {"date", h.Date}, {"machine", fmt.Sprintf("%d cores of %s, Linux %s, load before %s", h.Cores, h.CPU, h.Kernel, h.Load)},
		{"code", h.Revision + ", " + h.Go},
	}.writeLeft(w)
}
