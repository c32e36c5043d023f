package writeback

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// FileReport says what came of each marker of a file, or why the file is left
// alone as a whole.
type FileReport struct {
	Path     string
	Skip     edit.Reason
	Outcomes []edit.Outcome
}

// Report says what came of every marker at or below the automation's path, in
// order of file and line.
type Report []FileReport

// Line is one marker, as a person wants to read it.
type Line struct {
	File string
	// Line is the number of the line, 0 when the file is left alone as a whole.
	Line int
	// Setter is what the marker says, such as apps:app:tag; empty if it cannot be
	// read.
	Setter string
	// Policy is the name of the policy, empty if the marker cannot be read.
	Policy string
	// Current is the value in the file, Wanted the one that the policy stands for;
	// empty where there is none.
	Current, Wanted string
	// Skip is why the marker has no effect, empty if it has.
	Skip string
}

// Where is the place of the marker, as file:line.
func (l Line) Where() string {
	if l.Line == 0 {
		return l.File
	}
	return fmt.Sprintf("%s:%d", l.File, l.Line)
}

// Lines are all markers, in order of file and line.
func (r Report) Lines() []Line {
	var lines []Line
	for _, file := range r {
		if file.Skip != "" {
			lines = append(lines, Line{File: file.Path, Skip: string(file.Skip)})
		}
		for _, o := range file.Outcomes {
			l := Line{File: file.Path, Line: o.Line, Current: o.Old, Skip: string(o.Skip)}
			if o.Setter != (edit.Setter{}) {
				l.Setter, l.Policy = o.Setter.String(), o.Setter.Policy
			}
			if o.Skip == "" || o.Skip == Reverted || o.Skip == Incomplete {
				l.Wanted = o.New
			}
			lines = append(lines, l)
		}
	}
	return lines
}

// Counts says how many markers there are of each fate.
type Counts struct {
	Total, Current, Held int
	// Skipped are the rest, in order of their reason.
	Skipped []Skipped
}

// Skipped counts the markers that have no effect for one reason.
type Skipped struct {
	Reason  edit.Reason
	Count   int
	Example string // file:line
}

// Counts sums up the report of a run whose changes were written.
func (r Report) Counts() Counts {
	var counts Counts
	skipped := map[edit.Reason]*Skipped{}
	for _, line := range r.Lines() {
		counts.Total++
		switch why := edit.Reason(line.Skip); why {
		case "":
			counts.Current++
		case Reverted, Incomplete, edit.MissingPart:
			counts.Held++
		default:
			if skipped[why] == nil {
				skipped[why] = &Skipped{Reason: why, Example: line.Where()}
			}
			skipped[why].Count++
		}
	}
	for _, s := range skipped {
		counts.Skipped = append(counts.Skipped, *s)
	}
	slices.SortFunc(counts.Skipped, func(a, b Skipped) int { return cmp.Compare(a.Reason, b.Reason) })
	return counts
}

// NearMisses are the comments that mean to be markers and the markers on
// something that cannot be set. Someone should mend them.
func (r Report) NearMisses() []string {
	var misses []string
	for _, line := range r.Lines() {
		switch edit.Reason(line.Skip) {
		case "", edit.UnknownPolicy, edit.OtherNamespace, edit.MissingPart, Incomplete, Reverted, NotReady, NotSelected:
		default:
			misses = append(misses, line.Where()+": "+line.Skip)
		}
	}
	return misses
}
