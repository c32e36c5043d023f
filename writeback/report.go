// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// FileReport says what a run did about each marker of a file, or why the file is left
// alone as a whole.
type FileReport struct {
	Path     string
	Skip     edit.Reason
	Outcomes []edit.Outcome
}

// Report says what a run did about every marker at or below the automation's path, in
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
	// Namespace is that of the policy, and Text what a marker says that cannot be
	// read.
	Namespace, Text string
}

// Subject names the marker and what it refers to, for a line about it.
func (l Line) Subject() string {
	switch {
	case l.Setter != "":
		return fmt.Sprintf("marker %q of policy '%s' in namespace '%s'", l.Setter, l.Policy, l.Namespace)
	case l.Text != "":
		return "marker " + l.Text
	}
	return ""
}

// Skipped is a sentence about a marker that has no effect: where, why, and which.
func (l Line) Skipped() string {
	text := l.Where() + ": skipped: " + l.Skip
	if subject := l.Subject(); subject != "" {
		text += " (" + subject + ")"
	}
	return text
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
			l := Line{File: file.Path, Line: o.Line, Current: o.Old, Skip: string(o.Skip), Text: o.Text}
			if o.Setter != (edit.Setter{}) {
				l.Setter, l.Policy, l.Namespace = o.Setter.String(), o.Setter.Policy, o.Setter.Namespace
			}
			if o.Skip == "" || o.Skip == Reverted || o.Skip == Incomplete {
				l.Wanted = o.New
			}
			lines = append(lines, l)
		}
	}
	return lines
}

// Counts says how many markers are current, held and skipped.
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

// NearMisses are the comments that mean to be markers, the markers of policies that
// there are not, and those on something that cannot be set, each in a sentence.
// Someone should mend them.
func (r Report) NearMisses() []string {
	var misses []string
	for _, line := range r.Lines() {
		switch edit.Reason(line.Skip) {
		case "", edit.OtherNamespace, edit.MissingPart, Incomplete, Reverted, NotReady, NotSelected:
		default:
			misses = append(misses, line.Skipped())
		}
	}
	return misses
}

// Withheld are the markers that would be written if what they are in did not forbid
// it, and the links that hide some.
func (r Report) Withheld() []Line {
	var held []Line
	for _, line := range r.Lines() {
		if why := edit.Reason(line.Skip); why.Held() || why == Linked {
			held = append(held, line)
		}
	}
	return held
}
