// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/writeback"
)

// carrierOf is where the decisions about a pipeline are kept.
func carrierOf(p *sluicev1.Pipeline) sluicev1.StateCarrier {
	switch {
	case p.Spec.State != "":
		return p.Spec.State
	case p.Spec.SourceRef == nil:
		return sluicev1.StateNone
	}
	return sluicev1.StateBranch
}

// statePrefix starts the names of branches that have states.
const statePrefix = "sluice/state/"

// file is the state's file.
func (r *run) file() writeback.StateFile {
	return writeback.StateFile{
		Remote: r.stateRepo.remote, Branch: statePrefix + r.pipeline.Namespace + "." + r.pipeline.Name, Path: "state.yaml", Author: r.stateRepo.author, Signer: r.stateRepo.signer,
	}
}

// readState reads the state, unless it is remembered. Nobody else writes it but people.
// What the other carrier has is taken over when this one has nothing.
func (r *run) readState(ctx context.Context) error {
	carrier := carrierOf(r.pipeline)
	if r.memory.known && r.memory.carrier == carrier {
		return nil
	}
	read := r.readBranch
	if carrier == sluicev1.StateNone {
		read = r.readStatus
	}
	r.memory.known, r.memory.unsaved, r.memory.lost, r.memory.at, r.memory.state = false, false, false, plumbing.ZeroHash, promotion.State{}
	text, from, err := read(ctx)
	if err != nil {
		return fmt.Errorf("reading the state: %w", err)
	}
	if text != nil {
		if r.memory.state, err = promotion.ParseState(text); err != nil {
			return reconciler.WithReason(sluicev1.StateInvalidReason, fmt.Errorf("%s: %w", from, err))
		}
	}
	r.memory.known, r.memory.carrier = true, carrier
	return nil
}

// readBranch reads the state of the branch; if there is none, that of the status.
func (r *run) readBranch(ctx context.Context) (text []byte, from string, err error) {
	from = "branch " + r.file().Branch
	if text, r.memory.at, err = r.Writer.ReadState(ctx, r.file()); err != nil || !r.memory.at.IsZero() {
		return text, from, err
	}
	if was := r.pipeline.Status.State; was != "" {
		r.memory.unsaved = true
		return []byte(was), "status.state", nil
	}
	r.memory.lost = r.pipeline.Status.StateCommit != ""
	return nil, from, nil
}

// readStatus reads the state of the status; if there is none, that of the branch which it
// was kept on before. The API server is asked: a cache may lack what a process before
// this one decided last.
func (r *run) readStatus(ctx context.Context) (text []byte, from string, err error) {
	var live sluicev1.Pipeline
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(r.pipeline), &live); err != nil {
		return nil, "", err
	}
	if live.Status.State != "" {
		return []byte(live.Status.State), "status.state", nil
	}
	if live.Status.StateCommit == "" || r.pipeline.Spec.SourceRef == nil {
		return nil, "status.state", nil
	}
	from = "branch " + r.file().Branch
	text, _, err = r.Writer.ReadState(ctx, r.file())
	r.memory.unsaved, r.memory.lost = text != nil, text == nil
	return text, from, err
}

// keep writes the next state if it differs. It reports whether it did.
func (r *run) keep(ctx context.Context, d promotion.Decision) (bool, error) {
	before, err := r.memory.state.Marshal()
	if err != nil {
		return false, err
	}
	after, err := d.State.Marshal()
	if err != nil || bytes.Equal(before, after) && !r.memory.unsaved {
		return false, err
	}
	made := plumbing.ZeroHash
	if r.memory.carrier == sluicev1.StateNone {
		err = r.keepInStatus(ctx, after)
	} else {
		made, err = r.Writer.WriteState(ctx, r.file(), r.memory.at, after, stateMessage(r.pipeline, d))
	}
	if err != nil {
		r.memory.known = false // somebody else wrote it: what they decided counts
		return false, err
	}
	r.memory.state, r.memory.at, r.memory.lost, r.memory.unsaved = d.State, made, false, false
	return true, nil
}

// keepInStatus writes the state into the status of exactly the object that was decided
// about: another process that decides at the same time is refused.
func (r *run) keepInStatus(ctx context.Context, state []byte) error {
	p := r.pipeline
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": p.ResourceVersion}, "status": map[string]any{"state": string(state)},
	})
	if err != nil {
		return err
	}
	written := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}}
	written.SetGroupVersionKind(sluicev1.GroupVersion.WithKind(sluicev1.PipelineKind))
	if err := r.Client.Status().Patch(ctx, written, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("writing the state to the status: %w", err)
	}
	p.ResourceVersion, p.Status.State = written.ResourceVersion, string(state)
	return nil
}

// recordState notes where the state is.
func (r *run) recordState() {
	p := r.pipeline
	p.Status.StateCommit = ""
	if r.memory.carrier == sluicev1.StateNone {
		reconciler.SetCondition(p, r.Clock.Now(), metav1.Condition{
			Type: sluicev1.StateDurableCondition, Status: metav1.ConditionFalse, Reason: sluicev1.StateInStatusReason,
			Message: "verdicts, quarantine and approvals are lost with this object: spec.state is None",
		})
		return
	}
	p.Status.State = ""
	reconciler.RemoveCondition(p, sluicev1.StateDurableCondition)
	if !r.memory.at.IsZero() {
		p.Status.StateCommit = r.memory.at.String()
	}
}

// stateMessage is the message of a commit of the state.
func stateMessage(p *sluicev1.Pipeline, d promotion.Decision) string {
	text := fmt.Sprintf("Note where pipeline %s/%s stands\n", p.Namespace, p.Name)
	if len(d.Events) > 0 {
		text = strings.ToUpper(d.Events[0].Message[:1]) + d.Events[0].Message[1:] + "\n"
	}
	if len(d.Events) > 1 {
		text += "\n"
		for _, e := range d.Events[1:] {
			text += "- " + e.Message + "\n"
		}
	}
	return text
}
