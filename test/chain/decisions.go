// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
)

// promoted tells what a pipeline did, decided, and waits for.
func (n *timeline) promoted(ctx context.Context, p *sluicev1.Pipeline) []Entry {
	entries := n.decided(ctx)
	for _, stage := range p.Status.Stages {
		for _, landing := range slices.Backward(stage.Landings) {
			entries = append(entries, n.committed(ctx, landing.Commit)...)
		}
		if pr := stage.PullRequest; pr != nil && n.changed(Proposed, stage.Name, fmt.Sprint(pr.Number, pr.State, pr.Bundle)) {
			entries = append(entries,
				Entry{Step: Proposed, Stage: stage.Name, Text: fmt.Sprintf("pull request %s is %s", pr.URL, pr.State), Weight: -1})
		}
		for _, gate := range stage.Waiting {
			what, _, _ := strings.Cut(gate.Message, " until ") // which may move by a second
			if gate.Type == sluicev1.GateReview && stage.PullRequest != nil && stage.PullRequest.State != "open" {
				continue // what was merged is on its way, and the commit says so
			}
			if told[gate.Type] && n.first("gate "+stage.Name+" "+what) {
				entries = append(entries, Entry{Step: Waits, Stage: stage.Name, Text: gate.Message, Weight: -1})
			}
		}
	}
	return entries
}

// told are the gates that say something which the entries before do not.
var told = map[sluicev1.GateType]bool{
	sluicev1.GateSoak: true, sluicev1.GateApproval: true, sluicev1.GateWindow: true, sluicev1.GateFreeze: true, sluicev1.GateReview: true,
}

// decided tells the verdicts of a pipeline, which its state branch has before anything is
// written because of them.
func (n *timeline) decided(ctx context.Context) []Entry {
	text, err := n.repo.FileAt(ctx, n.state, "state.yaml")
	if err != nil {
		return nil // there is none yet
	}
	state, err := promotion.ParseState([]byte(text))
	if err != nil {
		return []Entry{{Step: Failed, Text: err.Error(), Weight: -1, Warning: true}}
	}
	var entries []Entry
	for _, stage := range n.order {
		for _, landing := range slices.Backward(state.Stages[stage].Landings) {
			entries = append(entries, n.judged(&state, stage, landing)...)
		}
	}
	for _, q := range state.Quarantine {
		if bundle, _ := state.Bundle(q.Bundle); n.first("quarantine " + q.Bundle + q.At.String()) {
			entries = append(entries, Entry{
				Step: Quarantined, Stage: q.Stage, Weight: -1, Warning: true,
				Text: fmt.Sprintf("%s, on branch %s: no stage is given it any more", versions(bundle), n.state),
			})
		}
	}
	return entries
}

// judged tells the verdict on what a stage got.
func (n *timeline) judged(state *promotion.State, stage string, l promotion.Landing) []Entry {
	if l.Verdict != promotion.VerdictVerified && l.Verdict != promotion.VerdictFailed ||
		!n.first(fmt.Sprintf("verdict %s/%s/%s", stage, l.Bundle, l.At.Format(time.RFC3339Nano))) {
		return nil
	}
	bundle, _ := state.Bundle(l.Bundle)
	entry := Entry{Step: Verified, Stage: stage, Text: promotion.Describe(bundle), Weight: -1}
	if l.Verdict == promotion.VerdictFailed {
		entry.Step, entry.Warning, entry.Text = Failed, true, entry.Text+": "+l.Reason
	}
	return []Entry{entry}
}

// versions names the images of a bundle with the beginnings of their digests.
func versions(b sluicev1.Bundle) string {
	var names []string
	for _, v := range b.Versions {
		name := v.Artifact + ":" + v.Tag
		if v.Digest != "" {
			name += "@" + v.Digest
		}
		names = append(names, Short(name))
	}
	return strings.Join(names, ", ")
}
