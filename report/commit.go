// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// Commit is what a commit changed, compared with the one before it. Values are hidden as `sluice diff` hides them: those of
// Secrets, and what SOPS encrypted.
type Commit struct {
	// Commit is its hash.
	Commit string `json:"commit"`
	// Parent is the hash of the commit that it is compared with, which of several is the first; left out if it has none.
	Parent string `json:"parent,omitempty"`
	// Author is the name of who made it, or else the address.
	Author string `json:"author,omitempty"`
	// At is when it was made.
	At *time.Time `json:"at,omitempty"`
	// Message of the commit, cut where it is long.
	Message string `json:"message,omitempty"`
	// Markers are the setter markers whose values it changed.
	Markers []CommitMarker `json:"markers"`
	// Files are the files that it changed.
	Files []CommitFile `json:"files"`
	// More means that it changed more files than are named.
	More bool `json:"more,omitempty"`
}

// CommitMarker is a setter marker, such as # {"$imagepolicy": "apps:podinfo"}, whose value a commit changed.
type CommitMarker struct {
	// File is the path from the root of the repository.
	File string `json:"file"`
	// Line counts from 1, in the file as the commit left it, or as it was if the marker went.
	Line int `json:"line"`
	// Marker is the setter, such as apps:podinfo:tag.
	Marker string `json:"marker"`
	// Text is the line, without its indentation.
	Text string `json:"text"`
	// Old is the value before; left out if the marker came with the commit.
	Old string `json:"old,omitempty"`
	// New is the value after; left out if the marker went with the commit.
	New string `json:"new,omitempty"`
}

// CommitChange says what a commit did to a file.
type CommitChange string

// What a commit does to a file.
const (
	FileAdded   CommitChange = "added"
	FileRemoved CommitChange = "removed"
	FileChanged CommitChange = "changed"
)

// CommitFile is a file that a commit changed.
type CommitFile struct {
	// Path from the root of the repository.
	Path string `json:"path"`
	// Change is added, removed or changed.
	Change CommitChange `json:"change"`
	// Omitted says why no lines are shown, or not all of them.
	Omitted string `json:"omitted,omitempty"`
	// Added is how many lines came.
	Added int `json:"added"`
	// Removed is how many lines went.
	Removed int `json:"removed"`
	// Hunks are the changed lines with those around them.
	Hunks []Hunk `json:"hunks"`
}

// Hunk is a piece of a file with changed lines, as of `diff -u`.
type Hunk struct {
	// Old is the number of its first line before, from 1.
	Old int `json:"old"`
	// New is the number of its first line after, from 1.
	New int `json:"new"`
	// Lines each begin with + if they came, with - if they went, and with a blank if they stayed.
	Lines []string `json:"lines"`
}

// FileVersions are the texts of a file before and after a commit.
type FileVersions struct {
	Path            string
	Existed, Exists bool
	Old, New        string
	// Omitted says why there are no texts.
	Omitted string
}

// Bounds of what is told of a commit.
const (
	maxMessage    = 4 << 10   // bytes
	maxAuthor     = 200       // bytes
	maxLine       = 400       // bytes of a line
	maxShown      = 256 << 10 // bytes of all lines of all files
	maxShownLines = 4000      // of all files
	maxMarkers    = 500
)

// OfCommit tells what changed in files. The rest of the answer is the caller's to fill in.
func OfCommit(author, message string, files []FileVersions) Commit {
	c := Commit{
		Author: shorten.Bytes(author, maxAuthor, shorten.Ellipsis), Message: shorten.Bytes(message, maxMessage, shorten.Ellipsis),
		Markers: []CommitMarker{}, Files: []CommitFile{},
	}
	left := budget{bytes: maxShown, lines: maxShownLines}
	for _, f := range files {
		d := newFileDiff(f)
		file := CommitFile{Path: f.Path, Change: changeOf(f), Omitted: f.Omitted, Hunks: []Hunk{}}
		file.Added, file.Removed = d.count('+'), d.count('-')
		var all bool
		if file.Hunks, all = d.hunks(&left); !all {
			file.Omitted = "not all lines are shown: there are too many"
		}
		c.Files = append(c.Files, file)
		markers := d.markers()
		c.Markers = append(c.Markers, markers[:min(len(markers), maxMarkers-len(c.Markers))]...)
	}
	return c
}

func changeOf(f FileVersions) CommitChange {
	switch {
	case !f.Existed:
		return FileAdded
	case !f.Exists:
		return FileRemoved
	}
	return FileChanged
}

// budget is what may still be shown.
type budget struct{ bytes, lines int }

func (b *budget) take(text string) bool {
	b.bytes -= len(text)
	b.lines--
	return b.bytes >= 0 && b.lines >= 0
}

// fileDiff is a file before and after: its lines, as they are and as they may be shown.
type fileDiff struct {
	FileVersions
	shownOld, shownNew []string
	lines              []diffLine
}

func newFileDiff(f FileVersions) *fileDiff {
	old, now := linesOf(f.Old), linesOf(f.New)
	return &fileDiff{
		FileVersions: f, shownOld: mask.File(f.Path, old), shownNew: mask.File(f.Path, now), lines: align(old, now),
	}
}

func linesOf(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

func (d *fileDiff) count(sign byte) int {
	n := 0
	for _, l := range d.lines {
		if l.sign == sign {
			n++
		}
	}
	return n
}

// contextLines is how many lines are shown around a change.
const contextLines = 3

// hunks are the changed lines, as far as they may be shown.
func (d *fileDiff) hunks(left *budget) (found []Hunk, all bool) {
	found = []Hunk{}
	near := nearChanges(d.lines)
	for i, l := range d.lines {
		if !near[i] {
			continue
		}
		text := d.shown(l)
		if !left.take(text) {
			return found, false
		}
		if i == 0 || !near[i-1] {
			found = append(found, Hunk{Old: l.old + 1, New: l.now + 1, Lines: []string{}})
		}
		last := &found[len(found)-1]
		last.Lines = append(last.Lines, string(l.sign)+text)
	}
	return found, true
}

// nearChanges tells which lines have changed, or are at most contextLines from one that has.
func nearChanges(lines []diffLine) []bool {
	near := make([]bool, len(lines))
	for i, l := range lines {
		if l.sign == ' ' {
			continue
		}
		for at := max(i-contextLines, 0); at <= min(i+contextLines, len(lines)-1); at++ {
			near[at] = true
		}
	}
	return near
}

// shown is a line as it may be shown.
func (d *fileDiff) shown(l diffLine) string {
	line := ""
	if l.sign == '-' {
		line = d.shownOld[l.old]
	} else {
		line = d.shownNew[l.now]
	}
	return shorten.Bytes(strings.TrimSuffix(line, "\r"), maxLine, shorten.Ellipsis)
}

// markerValues is the value of a marker before and after; nil is a marker that is not there.
type markerValues struct{ old, now *edit.Marker }

// markers are the setter markers whose values changed.
func (d *fileDiff) markers() []CommitMarker {
	var found []CommitMarker
	for _, m := range pairs(setters(d.Old), setters(d.New), d.changed('-'), d.changed('+')) {
		found = append(found, d.marker(m))
	}
	slices.SortStableFunc(found, func(a, b CommitMarker) int { return cmp.Compare(a.Line, b.Line) })
	return found
}

func (d *fileDiff) marker(m markerValues) CommitMarker {
	of, lines, raw := m.now, d.shownNew, linesOf(d.New)
	if of == nil {
		of, lines, raw = m.old, d.shownOld, linesOf(d.Old)
	}
	found := CommitMarker{File: d.Path, Line: of.Line, Marker: of.Setter.String()}
	secret := false
	if at := of.Line - 1; at < len(lines) {
		found.Text = shorten.Bytes(strings.TrimSpace(lines[at]), maxLine, shorten.Ellipsis)
		secret = lines[at] != raw[at]
	}
	value := func(m *edit.Marker) string {
		switch {
		case m == nil:
			return ""
		case secret:
			return mask.Value
		}
		return shorten.Bytes(m.Value, maxLine, shorten.Ellipsis)
	}
	found.Old, found.New = value(m.old), value(m.now)
	return found
}

// setters are the markers of a file that are in effect, by their setters.
func setters(content string) map[edit.Setter][]edit.Marker {
	found := map[edit.Setter][]edit.Marker{}
	for _, m := range edit.Scan([]byte(content)) {
		if m.Skip == "" {
			found[m.Setter] = append(found[m.Setter], m)
		}
	}
	return found
}

// changed are the numbers of the lines that came or went, from 1.
func (d *fileDiff) changed(sign byte) map[int]bool {
	found := map[int]bool{}
	for _, l := range d.lines {
		switch {
		case l.sign != sign:
		case sign == '-':
			found[l.old+1] = true
		default:
			found[l.now+1] = true
		}
	}
	return found
}

// pairs finds what became of markers. Where a setter has as many markers after as before, each is the one at the same place among
// them; else those are told apart that are on lines that stayed.
func pairs(old, now map[edit.Setter][]edit.Marker, gone, come map[int]bool) []markerValues {
	all := map[edit.Setter]bool{}
	for _, side := range []map[edit.Setter][]edit.Marker{old, now} {
		for setter := range side {
			all[setter] = true
		}
	}
	var found []markerValues
	for setter := range all {
		before, after := old[setter], now[setter]
		if len(before) != len(after) {
			before, after = onLines(gone, before), onLines(come, after)
		}
		for i := range max(len(before), len(after)) {
			var m markerValues
			if i < len(before) {
				m.old = &before[i]
			}
			if i < len(after) {
				m.now = &after[i]
			}
			if m.old == nil || m.now == nil || m.old.Value != m.now.Value {
				found = append(found, m)
			}
		}
	}
	return found
}

// onLines are the markers on some lines.
func onLines(lines map[int]bool, markers []edit.Marker) []edit.Marker {
	return slices.DeleteFunc(slices.Clone(markers), func(m edit.Marker) bool { return !lines[m.Line] })
}
