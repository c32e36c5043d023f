// SPDX-License-Identifier: Apache-2.0

package report

import "github.com/pmezard/go-difflib/difflib"

// diffLine is a line that went (-), came (+) or stayed. Its numbers before and after count from 0; of a line that is on one side
// only, the other number is that of the line that follows there.
type diffLine struct {
	sign     byte
	old, now int
}

// maxAligned is how many lines are compared each with each. Beyond, as many lines as before are compared by their places,
// as what is set by markers neither adds lines nor takes any, and others are taken for all new.
const maxAligned = 500

// align compares two versions of a file.
func align(old, now []string) []diffLine {
	first := 0
	for first < len(old) && first < len(now) && old[first] == now[first] {
		first++
	}
	same := 0
	for same < len(old)-first && same < len(now)-first && old[len(old)-1-same] == now[len(now)-1-same] {
		same++
	}
	var w lineWriter
	w.stay(first)
	a, b := old[first:len(old)-same], now[first:len(now)-same]
	switch {
	case len(a) <= maxAligned && len(b) <= maxAligned:
		w.match(a, b)
	case len(a) == len(b):
		w.places(a, b)
	default:
		w.replace(len(a), len(b))
	}
	w.stay(same)
	return w.lines
}

// lineWriter writes what becomes of one line after another.
type lineWriter struct {
	lines    []diffLine
	old, now int
}

func (w *lineWriter) stay(n int) {
	for range n {
		w.lines = append(w.lines, diffLine{' ', w.old, w.now})
		w.old++
		w.now++
	}
}

func (w *lineWriter) replace(gone, come int) {
	for range gone {
		w.lines = append(w.lines, diffLine{'-', w.old, w.now})
		w.old++
	}
	for range come {
		w.lines = append(w.lines, diffLine{'+', w.old, w.now})
		w.now++
	}
}

func (w *lineWriter) match(a, b []string) {
	for _, op := range difflib.NewMatcher(a, b).GetOpCodes() {
		if op.Tag == 'e' {
			w.stay(op.I2 - op.I1)
		} else {
			w.replace(op.I2-op.I1, op.J2-op.J1)
		}
	}
}

// places compares lines at the same places, of which there are as many.
func (w *lineWriter) places(a, b []string) {
	for i := 0; i < len(a); {
		end := i
		for end < len(a) && a[end] != b[end] {
			end++
		}
		if end == i {
			w.stay(1)
			i++
			continue
		}
		w.replace(end-i, end-i)
		i = end
	}
}
