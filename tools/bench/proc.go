package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuTime returns how long the threads of a process have run. It is exact while they
// sleep, and late by some milliseconds for those that run.
func cpuTime(pid int) (time.Duration, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 {
		return 0, fmt.Errorf("the process %d has ended, or its CPU time can't be read: that takes Linux", pid)
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if os.IsNotExist(err) {
			continue // the thread has ended meanwhile
		}
		if err != nil {
			return 0, err
		}
		ran, err := parseSchedstat(string(text))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		sum += ran
	}
	return sum, nil
}

// parseSchedstat returns the first of the three numbers: nanoseconds on a CPU.
func parseSchedstat(text string) (time.Duration, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return 0, fmt.Errorf("%q are not three numbers", text)
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	return time.Duration(n), err
}

// memory is what a process has resident, in bytes.
type memory struct {
	RSS  int64 `json:"rss"`
	Anon int64 `json:"rss_anon"`
	File int64 `json:"rss_file"`
}

func memoryOf(pid int) (memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	defer f.Close()
	return parseStatus(f)
}

func parseStatus(status io.Reader) (m memory, err error) {
	fields := map[string]*int64{"VmRSS": &m.RSS, "RssAnon": &m.Anon, "RssFile": &m.File}
	for lines := bufio.NewScanner(status); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		field, wanted := fields[name]
		if !wanted {
			continue
		}
		kilobytes, isKilobytes := strings.CutSuffix(strings.TrimSpace(value), " kB")
		n, err := strconv.ParseInt(kilobytes, 10, 64)
		if err != nil || !isKilobytes {
			return m, fmt.Errorf("the line %q is not understood", lines.Text())
		}
		*field = n << 10
		delete(fields, name)
	}
	if len(fields) > 0 {
		return m, fmt.Errorf("there is no line for %d of three fields", len(fields))
	}
	return m, nil
}

// machineTime returns for how long all CPUs of the machine have worked, the hypervisor's
// other guests included.
func machineTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return parseStat(string(text))
}

func parseStat(text string) (time.Duration, error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("%q is not what /proc/stat begins with", line)
	}
	const tick = 10 * time.Millisecond // the same on all architectures that Go runs on
	var sum time.Duration
	for i, field := range fields[1:9] { // user nice system idle iowait irq softirq steal
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		if i != 3 && i != 4 {
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// scrape returns what is on a server's page of metrics, by names with labels.
func (s *process) scrape() (map[string]float64, error) {
	scheme := "http"
	if s.tls != nil {
		scheme = "https"
	}
	transport := &http.Transport{TLSClientConfig: s.tls}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport}
	response, err := client.Get(scheme + "://" + s.http + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", s.http, response.Status)
	}
	return parseMetrics(response.Body)
}

func parseMetrics(page io.Reader) (map[string]float64, error) {
	samples := map[string]float64{}
	lines := bufio.NewScanner(page)
	for lines.Scan() {
		if lines.Text() == "" || lines.Text()[0] == '#' {
			continue
		}
		end := max(0, strings.LastIndexByte(lines.Text(), ' '))
		n, err := strconv.ParseFloat(lines.Text()[end+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("the line %q is not understood", lines.Text())
		}
		samples[lines.Text()[:end]] = n
	}
	return samples, lines.Err()
}
