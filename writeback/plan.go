package writeback

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// FileReport says what came of each marker of a file.
type FileReport struct {
	Path     string
	Outcomes []edit.Outcome
}

// Report says what came of every marker at or below the automation's path, in
// order of file and line.
type Report []FileReport

// NearMisses are the comments that mean to be markers and the markers on
// something that cannot be set. Someone should mend them.
func (r Report) NearMisses() []string {
	var misses []string
	for _, file := range r {
		for _, o := range file.Outcomes {
			switch o.Skip {
			case "", edit.UnknownPolicy, edit.OtherNamespace, edit.MissingPart:
			default:
				misses = append(misses, fmt.Sprintf("%s:%d: %s", file.Path, o.Line, o.Skip))
			}
		}
	}
	return misses
}

// HeldError means that a marker asks for a part of an image that the policy's
// choice does not have: a digest, when the policy reflects none. None of the
// policy's fields are changed then, for half an image reference is a wrong one.
type HeldError struct {
	Where []string // "file:line: setter"
}

// Error names every place.
func (e *HeldError) Error() string {
	return fmt.Sprintf("%s: %s", edit.ErrMissingPart, strings.Join(e.Where, ", "))
}

// Unwrap makes it an [edit.ErrMissingPart].
func (e *HeldError) Unwrap() error { return edit.ErrMissingPart }

// plan is what one commit should do.
type plan struct {
	contents map[string][]byte
	changed  Changed
	report   Report
	held     *HeldError // nil unless a policy is held back
}

// newPlan edits the marked files that are out of date, and reads no others.
func newPlan(t tree.Tree, files []File, images edit.Images) (plan, error) {
	images, held := hold(files, images)
	p := plan{contents: map[string][]byte{}, held: held}
	for _, file := range files {
		outcomes := edit.Plan(file.Markers, images)
		if slices.ContainsFunc(outcomes, edit.Outcome.Changed) {
			content, err := t.ReadFile(file.Path)
			if err != nil {
				return plan{}, fmt.Errorf("reading file %s: %w", file.Path, err)
			}
			var edited []byte
			if edited, outcomes, err = edit.Apply(content, images); err != nil {
				return plan{}, fmt.Errorf("editing file %s: %w", file.Path, err)
			}
			p.take(file.Path, edited, outcomes)
		}
		p.report = append(p.report, FileReport{Path: file.Path, Outcomes: outcomes})
	}
	return p, nil
}

func (p *plan) take(name string, edited []byte, outcomes []edit.Outcome) {
	for _, o := range outcomes {
		if o.Changed() {
			p.contents[name] = edited
			p.changed.add(name, o)
		}
	}
}

// hold takes out the policies whose image lacks a part that some marker wants.
func hold(files []File, images edit.Images) (edit.Images, *HeldError) {
	var held *HeldError
	chosen := maps.Clone(images.ByPolicy)
	for _, file := range files {
		for _, o := range edit.Plan(file.Markers, images) {
			if o.Skip != edit.MissingPart {
				continue
			}
			if held == nil {
				held = &HeldError{}
			}
			held.Where = append(held.Where, fmt.Sprintf("%s:%d: %s", file.Path, o.Line, o.Setter))
			delete(chosen, o.Setter.Policy)
		}
	}
	return edit.Images{Namespace: images.Namespace, ByPolicy: chosen}, held
}
