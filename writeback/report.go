// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// FileReport says what a run did about each marker of a file, or why the file is left
// alone as a whole.
type FileReport struct {
	Path     string
	Skip     edit.Reason
	Outcomes []edit.MarkerResult
	// Owners are the stages that write the file's markers, by policy.
	Owners map[string]string
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
	// Namespace is the namespace of the policy, and Text what a marker says that cannot be
	// read.
	Namespace, Text string
	// Owner is the stage of a pipeline that writes the marker, if Skip is PipelineWrites.
	Owner string
	// Field is how a setter names a field without a marker; Policy is the artifact then.
	Field string
}

// Subject names the marker and what it refers to, for a line about it.
func (l Line) Subject() string {
	switch {
	case l.Field != "":
		return fmt.Sprintf("setter %q of artifact '%s' in namespace '%s'", l.Field, l.Policy, l.Namespace)
	case l.Setter != "":
		return fmt.Sprintf("marker %q of policy '%s' in namespace '%s'", l.Setter, l.Policy, l.Namespace)
	case l.Text != "":
		return "marker " + l.Text
	}
	return ""
}

// Sentence is about a marker that has no effect: where, its standing, why, and which.
func (l Line) Sentence() string { return l.SentenceWith(l.Why()) }

// Why is the reason why the marker has no effect, with who writes it if it is not for the
// automation to write; empty if it has an effect.
func (l Line) Why() string {
	if l.Owner == "" {
		return l.Skip
	}
	return l.Skip + ": " + l.Owner
}

// SentenceWith is the same with another reason, for who knows more.
func (l Line) SentenceWith(why string) string {
	text := l.Location() + ": " + string(l.State()) + ": " + why
	if subject := l.Subject(); subject != "" {
		text += " (" + subject + ")"
	}
	return text
}

// Location is the place of the marker, as file:line.
func (l Line) Location() string {
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
			l := Line{File: file.Path, Line: o.Line, Current: o.Old, Skip: string(o.Skip), Text: o.Text, Field: o.Field}
			if o.Setter != (edit.Setter{}) {
				l.Setter, l.Policy, l.Namespace = o.Setter.String(), o.Setter.Policy, o.Setter.Namespace
			}
			if o.Skip == "" || o.Skip == Reverted || o.Skip == Incomplete {
				l.Wanted = o.New
			}
			if o.Skip == PipelineWrites {
				l.Owner = file.Owners[l.Policy]
			}
			lines = append(lines, l)
		}
	}
	return lines
}

// MarkerState is what becomes of a marker, as commands and the page show it.
type MarkerState string

// The states of a marker.
const (
	// Current has the value that its policy stands for.
	Current MarkerState = "current"
	// Outdated has another one, which the run replaces.
	Outdated MarkerState = "outdated"
	// Held would be written, and waits: for the policy to choose another image, or for a
	// person to release what a person reverted.
	Held MarkerState = "held"
	// Skipped has no effect until it, or the policy that it names, is mended.
	Skipped MarkerState = "skipped"
)

// State is the state of the marker.
func (l Line) State() MarkerState {
	switch edit.Reason(l.Skip) {
	case "":
		if l.Current == l.Wanted {
			return Current
		}
		return Outdated
	case Reverted, Incomplete, edit.MissingPart:
		return Held
	}
	return Skipped
}

// Counts says how many markers have which [MarkerState].
type Counts struct {
	Total, Current, Outdated, Held int
	// Skipped are the rest, in order of their reason.
	Skipped []SkippedBy
}

// SkippedBy counts the markers that have no effect for one reason.
type SkippedBy struct {
	Reason  edit.Reason
	Count   int
	Example string // file:line
	// Digest stands for the files, the texts and the owners of the markers, not for their
	// lines: it changes when other markers are skipped for the reason.
	Digest string
}

// Counts sums up the report.
func (r Report) Counts() Counts {
	var counts Counts
	skipped := map[edit.Reason][]Line{}
	for _, line := range r.Lines() {
		counts.Total++
		switch line.State() {
		case Current:
			counts.Current++
		case Outdated:
			counts.Outdated++
		case Held:
			counts.Held++
		case Skipped:
			why := edit.Reason(line.Skip)
			skipped[why] = append(skipped[why], line)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(skipped)) {
		lines := skipped[why]
		counts.Skipped = append(counts.Skipped, SkippedBy{Reason: why, Count: len(lines), Example: lines[0].Location(), Digest: digestOf(lines)})
	}
	return counts
}

// digestOf stands for markers, in any order.
func digestOf(lines []Line) string {
	var texts []string
	for _, line := range lines {
		texts = append(texts, fmt.Sprintf("%q %q %q%s", line.File, line.Setter, line.Text, line.Owner))
	}
	slices.Sort(texts)
	sum := sha256.Sum256([]byte(strings.Join(texts, "\n")))
	return hex.EncodeToString(sum[:8])
}

// NearMisses are the comments that mean to be markers, the markers of policies that
// there are not, and those on something that cannot be set, each in a sentence.
// Someone should mend them.
func (r Report) NearMisses() []string {
	var misses []string
	for _, line := range r.Lines() {
		if line.State() == Skipped && !Elsewhere(edit.Reason(line.Skip)) {
			misses = append(misses, line.Sentence())
		}
	}
	return misses
}

// Elsewhere reports whether a reason is that the marker is the business of somebody else,
// or of later: nothing is wrong with it.
func Elsewhere(why edit.Reason) bool {
	return why == edit.OtherNamespace || why == NotReady || why == NotSelected || why == PipelineWrites
}

// SkippedFor are the markers that are skipped for a reason.
func (r Report) SkippedFor(why edit.Reason) []Line {
	return slices.DeleteFunc(r.Lines(), func(l Line) bool { return edit.Reason(l.Skip) != why })
}

// Withheld are the markers that what they are in withholds.
func (r Report) Withheld() []Line {
	return slices.DeleteFunc(r.Lines(), func(l Line) bool { return !Withholds(edit.Reason(l.Skip)) })
}

// Withholds reports whether a reason is what the marker is in: the value would be written
// if that did not forbid it, or if a link did not hide it.
func Withholds(why edit.Reason) bool { return why.Held() || why == Linked || why == LinkedName }
