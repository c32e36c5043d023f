// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/policy"
)

const (
	// maxLookUps bounds what one run asks a registry about candidates, so that a
	// worker is not held for long. The next run, a moment later, goes on.
	maxLookUps = 20
	// pause is that moment.
	pause = time.Second
	// firstTop is the number of candidates that are ranked at first. Only when all are
	// dropped, more are: ten times as many, up to maxTop.
	firstTop, maxTop = 25, 2500
)

// errBound ends a run that has used up its look-ups.
var errBound = errors.New("the look-ups of this run are used up")

// progress is how far a run came.
type progress int

// The progress of a run. All but complete are interrupted, and go on in the next run.
const (
	complete         progress = iota
	outOfLookUps              // it may ask the registry no more
	awaitingRegistry          // a look-up goes on in the background
	awaitingMatch             // the match of all tags does
)

// checkedCandidate is a candidate and what the gates said of it.
type checkedCandidate struct {
	candidate
	dropped string
	gate    policy.Gate // that dropped it
}

// searchResult is what a run came to.
type searchResult struct {
	progress progress
	// decision counts which tags were dropped, by which rule.
	decision policy.Decision
	// ranked are the best tags, and checked those of them that were led through the
	// gates, both best first.
	ranked  []policy.Ranked
	checked []checkedCandidate
	// chosen is the first that passed them all, or nil.
	chosen *checkedCandidate
	// maturity is when the first candidate that is too young is old enough, and recheck
	// when a signature is looked for again; zero is never.
	maturity, recheck time.Time
}

// ranker ranks the best tags. The error may be background.ErrPending.
type ranker func(ctx context.Context, top int) ([]policy.Ranked, policy.Decision, error)

// search looks for the best tag that passes every gate. An error is the registry's or
// a Secret's, and says nothing about the tags; the outcome has what was found before.
func search(ctx context.Context, in *inputs, rank ranker, ask imageReader) (searchResult, error) {
	var out searchResult
	for top := firstTop; ; top *= 10 {
		ranked, decision, err := rank(ctx, top)
		if errors.Is(err, background.ErrPending) {
			out.progress = awaitingMatch
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if len(out.checked) == 0 {
			out.decision = decision
		}
		out.ranked = ranked
		err = out.check(ctx, in, ask)
		switch {
		case errors.Is(err, errBound):
			out.progress = outOfLookUps
			return out, nil
		case errors.Is(err, background.ErrPending):
			out.progress = awaitingRegistry
			return out, nil
		case err != nil || out.chosen != nil || len(ranked) < top || top >= maxTop:
			return out, err
		}
	}
}

// check leads the ranked candidates that were not checked yet through the gates, until
// one passes.
func (out *searchResult) check(ctx context.Context, in *inputs, ask imageReader) error {
	for _, r := range out.ranked[len(out.checked):] {
		c, err := out.admit(ctx, in, ask, candidate{tag: strings.Clone(r.Tag)})
		if err == nil && c.gate == "" && in.reflectsDigest() {
			c.candidate, err = withDigest(ctx, in, ask, c.candidate)
		}
		if err != nil {
			return err
		}
		if c.firstSeen.IsZero() && c.digest != "" {
			c.firstSeen = ask.FirstSeenWith(c.tag, c.digest)
		}
		out.checked = append(out.checked, c)
		if c.gate == "" {
			out.chosen, out.decision.Tag, out.decision.Text = &c, c.tag, r.Text
			return nil
		}
		out.decision.Drop(c.gate, c.tag)
	}
	return nil
}

// admit leads a candidate through the gates. What the registry does not find was
// deleted after the scan. A digest that the last choice was held to may be gone while
// the tag has another.
func (out *searchResult) admit(ctx context.Context, in *inputs, ask imageReader, c candidate) (checkedCandidate, error) {
	result, err := out.admitOnce(ctx, in, ask, c)
	if errors.Is(err, registry.ErrNotFound) && result.digestKept {
		result, err = out.admitOnce(ctx, in, ask, candidate{tag: c.tag, lost: true})
	}
	if errors.Is(err, registry.ErrNotFound) {
		result.dropped, result.gate = "gone from the registry", policy.GateFound
		return result, nil
	}
	return result, err
}

func (out *searchResult) admitOnce(ctx context.Context, in *inputs, ask imageReader, c candidate) (checkedCandidate, error) {
	for _, name := range policy.DeferredGates {
		var said gateResult
		var err error
		if c, said, err = gates[name](ctx, in, ask, c); err != nil {
			return checkedCandidate{candidate: c}, err
		}
		if !said.until.IsZero() {
			out.recheckAt(name, said.until)
		}
		if said.rejected != "" {
			return checkedCandidate{candidate: c, dropped: said.rejected, gate: name}, nil
		}
	}
	return checkedCandidate{candidate: c}, nil
}

// recheckAt keeps the earliest time at which a gate may say something else.
func (out *searchResult) recheckAt(gate policy.Gate, at time.Time) {
	known := &out.recheck
	if gate == policy.GateMinAge {
		known = &out.maturity
	}
	if known.IsZero() || at.Before(*known) {
		*known = at
	}
}

// nextRun is when to look once more without being woken, or zero: a digest can change
// without a scan that says so, pins and rejections end, and tags reach spec.minAge.
func (out *searchResult) nextRun(in *inputs) time.Duration {
	switch out.progress {
	case awaitingRegistry, awaitingMatch:
		return in.target.Timeout + pause // should nothing wake it
	case outOfLookUps:
		return pause
	}
	next := interval(in.policy)
	for _, at := range []time.Time{in.compiled.Until(), out.maturity, out.recheck} {
		if at.IsZero() {
			continue
		}
		if wait := max(at.Sub(in.now), time.Millisecond); next == 0 || wait < next {
			next = wait
		}
	}
	return next
}
