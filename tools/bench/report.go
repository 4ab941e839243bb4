package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// disturbing is the share of the CPUs that others may have before a result should not be relied on.
const disturbing = 0.1

// write prints a result as tables.
func (r *result) write(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", r.Name, r.About)
	if len(r.Sides) > 0 {
		r.writeSides(w)
	}
	if len(r.Goals) > 0 {
		fmt.Fprintln(w)
		goalTable(r.Goals).write(w)
	}
}

func (r *result) writeSides(w io.Writer) {
	disturbed := ""
	if r.Others > disturbing {
		disturbed = ": DISTURBED"
	}
	fmt.Fprintf(w, "medians of %d rounds in %.0f s; other processes took %.0f %% of the CPUs%s\n\n", r.Rounds, r.Seconds, 100*r.Others, disturbed)
	sides := table{{""}}
	for _, m := range metrics {
		sides[0] = append(sides[0], m.name)
	}
	sides[0] = append(sides[0], "RSS MiB", "anon", "file")
	for _, s := range r.Sides {
		row := []string{s.Side}
		for _, m := range metrics {
			figure, measured := s.Figures[m.name]
			row = append(row, orDash(measured, decimal(figure.Median, m.digits)))
		}
		for _, bytes := range s.Memory.each() {
			row = append(row, orDash(s.Memory != nil, decimal(float64(bytes)/(1<<20), 1)))
		}
		sides = append(sides, row)
	}
	sides.write(w)

	if len(r.Comparisons) > 0 {
		ratios := table{{""}}
		for _, m := range compared {
			ratios[0] = append(ratios[0], strings.NewReplacer(" µs/", "/", " µs", "").Replace(m.name))
		}
		for _, c := range r.Comparisons {
			row := []string{c.Side + " ÷ " + c.Base}
			for _, m := range compared {
				figure, measured := c.Ratios[m.name]
				row = append(row, orDash(measured, figure.String()))
			}
			ratios = append(ratios, row)
		}
		fmt.Fprintln(w)
		ratios.write(w)
	}
}

func goalTable(goals []goalResult) table {
	var t table
	for _, g := range goals {
		sign, met := "≤", "missed"
		if g.AtLeast {
			sign = "≥"
		}
		if g.Met {
			met = "met"
		}
		t = append(t, []string{"  " + g.What, g.Value.String(), "goal " + sign + " " + strconv.FormatFloat(g.Limit, 'f', -1, 64), met})
	}
	return t
}

// String is the median, with what it lies between.
func (s spread) String() string {
	return fmt.Sprintf("%s (%s–%s)", significant(s.Median), significant(s.Min), significant(s.Max))
}

// significant has two digits after the point, or none if that is precise enough.
func significant(v float64) string {
	if math.Abs(v) >= 100 {
		return decimal(v, 0)
	}
	return decimal(v, 2)
}

func decimal(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

func orDash(measured bool, text string) string {
	if !measured {
		return "–"
	}
	return text
}

// each returns the three sizes; of no memory they are 0.
func (m *memory) each() [3]int64 {
	if m == nil {
		return [3]int64{}
	}
	return [3]int64{m.RSS, m.Anon, m.File}
}

// table is rows of cells. The first column is written to the left, the others to the right.
type table [][]string

func (t table) write(w io.Writer) {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t {
		var line strings.Builder
		for i, cell := range row {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line.WriteString(cell + padding)
			} else {
				line.WriteString("  " + padding + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// writeGoals prints the goals of all results once more.
func writeGoals(w io.Writer, results []*result) {
	var goals []goalResult
	for _, r := range results {
		for _, g := range r.Goals {
			g.What = r.Name + ": " + g.What
			goals = append(goals, g)
		}
	}
	if len(goals) > 0 {
		fmt.Fprint(w, "\ngoals\n\n")
		goalTable(goals).write(w)
	}
}

func (t table) writeLeft(w io.Writer) {
	width := 0
	for _, row := range t {
		width = max(width, utf8.RuneCountInString(row[0]))
	}
	for _, row := range t {
		fmt.Fprintf(w, "%-*s  %s\n", width, row[0], strings.Join(row[1:], "  "))
	}
}
