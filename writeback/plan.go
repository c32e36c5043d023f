// SPDX-License-Identifier: Apache-2.0

package writeback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-cd/sluice/writeback/edit"
)

// HeldError means that a marker asks for a part of an image that the policy's
// choice does not have: a digest, when the policy reflects none. None of the
// policy's fields are changed then, for half an image reference is a wrong one.
type HeldError struct {
	Places []string // "file:line: setter"
}

// maxNamed is how many places an error names.
const maxNamed = 10

// Error names the places and what helps.
func (e *HeldError) Error() string {
	named, more := e.Places, ""
	if len(named) > maxNamed {
		named, more = named[:maxNamed], fmt.Sprintf(" and %d more", len(e.Places)-maxNamed)
	}
	return fmt.Sprintf("%s: %s%s; for a digest, set spec.digestReflectionPolicy of the policy to IfNotPresent or Always",
		edit.ErrMissingPart, strings.Join(named, ", "), more)
}

// Unwrap makes it an [edit.ErrMissingPart].
func (e *HeldError) Unwrap() error { return edit.ErrMissingPart }

// Planned is what a run would do.
type Planned struct {
	// Contents are the new contents of the files that change, by path.
	Contents map[string][]byte
	Changed  Changed
	Report   Report
	// Held is not nil when a marker asks for a part that an image lacks.
	Held *HeldError
}

// Plan says what a run would do to the files at or below root, and does nothing.
// It needs no Git and no cluster: files may be an [OpenDirectory] or any
// [github.com/sluice-cd/sluice/internal/tree.Tree].
//
//	dir, err := writeback.OpenDirectory("./fleet")
//	planned, err := writeback.Plan(ctx, dir, "apps", writeback.Policies{
//		Namespace: "apps", Chosen: map[string]edit.Image{"app": {Name: "app", Tag: "2"}}})
//	for _, line := range planned.Report.Lines() { ... }
func Plan(ctx context.Context, files Files, root string, policies Policies) (Planned, error) {
	return ImageEdits{Path: root, Policies: policies}.Plan(ctx, NewIndex(nil), files)
}

// plan edits the marked files that are out of date, and reads no others.
func (x *Index) plan(ctx context.Context, files Files, marked []File, policies Policies) (Planned, error) {
	lacking, missing := missingParts(marked, policies)
	p := Planned{Contents: map[string][]byte{}, Held: missing}
	total := 0 // bytes
	writable := policies.writable(lacking)
	for _, file := range marked {
		owners := policies.Owners.ofFile(file.Path)
		images := without(writable, owners)
		outcomes := edit.Plan(file.Markers, images)
		if slices.ContainsFunc(outcomes, edit.MarkerResult.Changed) {
			content, err := files.ReadFile(file.Path)
			if err != nil {
				return Planned{}, fmt.Errorf("reading file %s: %w", file.Path, err)
			}
			var edited []byte
			if edited, outcomes, err = x.apply(ctx, content, images); err != nil {
				return Planned{}, fmt.Errorf("editing file %s: %w", file.Path, err)
			}
			p.add(file.Path, edited, outcomes)
			if total += len(edited); total > maxContents {
				return Planned{}, ErrTooMuchChanged
			}
		}
		explain(outcomes, edit.Plan(file.Markers, policies.images()), policies, unwrittenPolicies{lacking, owners})
		p.Report = append(p.Report, FileReport{Path: file.Path, Skip: file.Skip, Outcomes: outcomes, Owners: owners})
	}
	return p, nil
}

// apply edits a file within the budget of the namespace. It is parsed before and
// after.
func (x *Index) apply(ctx context.Context, content []byte, images edit.Images) ([]byte, []edit.MarkerResult, error) {
	grant, err := x.memory.Acquire(ctx, images.Namespace, 2*edit.Memory(content))
	if err != nil {
		return nil, nil, err
	}
	defer grant.Release()
	return edit.Apply(content, images)
}

// maxContents bounds the bytes of the files that one run changes.
const maxContents = 128 << 20

// ErrTooMuchChanged means that the files to change are more than a run may hold.
var ErrTooMuchChanged = errors.New("the files to change have more than 128 MiB: narrow spec.update.path")

func (p *Planned) add(name string, edited []byte, outcomes []edit.MarkerResult) {
	for _, o := range outcomes {
		if o.Changed() {
			p.Contents[name] = edited
			p.Changed.add(name, o)
		}
	}
}

// unwrittenPolicies are the policies of a file that are not written there.
type unwrittenPolicies struct {
	lacking map[string]bool   // a part that some marker wants
	owners  map[string]string // the stages of pipelines that write them
}

// explain says why the markers of policies that are not written are left alone:
// wished is what would come of them if all choices were written.
func explain(outcomes, wished []edit.MarkerResult, policies Policies, left unwrittenPolicies) {
	for i, o := range outcomes {
		if o.Skip != edit.UnknownPolicy {
			continue
		}
		policy := o.Setter.Policy
		switch why, known := policies.Absent[policy]; {
		case left.owners[policy] != "":
			outcomes[i].Skip = PipelineWrites
		case wished[i].Skip != edit.UnknownPolicy && wished[i].Skip != "":
			outcomes[i] = wished[i]
		case left.lacking[policy]:
			outcomes[i].Skip, outcomes[i].New = Incomplete, wished[i].New
		case policies.Held[policy]:
			outcomes[i] = wished[i]
			if wished[i].Changed() {
				outcomes[i].Skip = Reverted
			}
		case known:
			outcomes[i].Skip = why
		}
	}
}

// missingParts are the policies whose image lacks a part that some marker wants,
// and where.
func missingParts(marked []File, policies Policies) (map[string]bool, *HeldError) {
	var held *HeldError
	lacking := map[string]bool{}
	for _, file := range marked {
		for _, o := range edit.Plan(file.Markers, without(policies.images(), policies.Owners.ofFile(file.Path))) {
			if o.Skip != edit.MissingPart {
				continue
			}
			if held == nil {
				held = &HeldError{}
			}
			held.Places = append(held.Places, fmt.Sprintf("%s:%d: %s", file.Path, o.Line, o.Setter))
			lacking[o.Setter.Policy] = true
		}
	}
	return lacking, held
}
