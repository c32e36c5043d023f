// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"maps"
	"slices"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// revertDetector finds the updates that were in the files when the last run ended and
// are gone now, though their policies still choose the same images: somebody reverted
// them. To write them again would start an edit war, which two clusters would carry on
// for as long as they run.
//
// A marker that was not there before, or had another value, was not reverted.
type revertDetector struct {
	chosen edit.Images
	last   map[string]edit.Image // what the last run wrote or found written
	owners Owners                // of markers that others write
}

// candidates are the policies whose last choice would be written again.
func (d revertDetector) candidates(changed Changed) map[string]bool {
	candidates := map[string]bool{}
	for _, policy := range changed.policies() {
		image, known := d.last[policy]
		if known && image == d.chosen.ByPolicy[policy] {
			candidates[policy] = true
		}
	}
	return candidates
}

// reverted are the candidates, sorted, of which fewer markers are current now than
// before. Where markers were added or removed as well, the others are given the
// benefit of the doubt.
func (d revertDetector) reverted(candidates map[string]bool, before, now []File) []string {
	counts := d.count(now)
	policies := map[string]bool{}
	for at, then := range d.count(before) {
		is := counts[at]
		removed := max(0, then.total-is.total)
		if is.current < then.current-removed && candidates[at.setter.Policy] {
			policies[at.setter.Policy] = true
		}
	}
	return slices.Sorted(maps.Keys(policies))
}

// written are the policies of which some marker is current.
func (d revertDetector) written(files []File) map[string]bool {
	policies := map[string]bool{}
	for at, count := range d.count(files) {
		if count.current > 0 {
			policies[at.setter.Policy] = true
		}
	}
	return policies
}

// markerPlace is where a marker is, as far as that can be told when lines move.
type markerPlace struct {
	file   string
	setter edit.Setter
	object edit.Object
}

// markerCount counts the markers at a place, and those whose field has the chosen
// value.
type markerCount struct{ total, current int }

func (d revertDetector) count(files []File) map[markerPlace]markerCount {
	counts := map[markerPlace]markerCount{}
	for _, file := range files {
		for _, o := range edit.Plan(file.Markers, without(d.chosen, d.owners.ofFile(file.Path))) {
			if o.Skip != "" {
				continue
			}
			at := markerPlace{file.Path, o.Setter, o.Object}
			count := counts[at]
			count.total++
			if !o.Changed() {
				count.current++
			}
			counts[at] = count
		}
	}
	return counts
}
