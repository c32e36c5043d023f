// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"context"
	"errors"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/writeback"
)

// pullRequestField is the field that asks for a pull request.
const pullRequestField = "spec.git.push.pullRequest"

// firstWait is the first wait for a forge that computes something, or for checks.
const firstWait = 2 * time.Second

// pullRequestOf is how an automation proposes; nil if it does not.
func pullRequestOf(a *imagev1.ImageUpdateAutomation) *imagev1.PullRequestSpec {
	if a.Spec.GitSpec == nil || a.Spec.GitSpec.Push == nil {
		return nil
	}
	return a.Spec.GitSpec.Push.PullRequest
}

// connectionOf is how the forge of an automation is reached.
func connectionOf(a *imagev1.ImageUpdateAutomation, seen observation) forge.Connection {
	spec := pullRequestOf(a)
	return forge.Connection{
		Field: pullRequestField, Kind: imagev1.ImageUpdateAutomationKind, Object: client.ObjectKeyFromObject(a),
		Provider: spec.Provider, URL: spec.URL, SecretRef: spec.SecretRef,
		Repository: seen.repo, Proxy: seen.request.Remote.Auth.Proxy,
	}
}

// pullRequestRun is one run of an automation that proposes by pull request.
type pullRequestRun struct {
	controller *Reconciler
	a          *imagev1.ImageUpdateAutomation
	seen       observation
	review     writeback.Review
	forge      forge.Forge
	text       forge.Text
	// written is what was pushed, and events what was done.
	written writeback.Result
	events  []reconciler.Event
	// abandoned means that the pull request of the status is not that of the spec any more.
	abandoned bool
	// acted means that the forge was changed, so that there is news in a moment.
	acted bool
}

// reconcileProposal is Reconcile for an automation that proposes by pull request.
func (r *Reconciler) reconcileProposal(ctx context.Context, a *imagev1.ImageUpdateAutomation, seen observation) (reconciler.Result, error) {
	review, err := r.Writer.Review(ctx, seen.request)
	if err != nil {
		return reconciler.Result{}, advise(a, seen, err)
	}
	pending := a.Status.PendingPush
	recoverPush(a, review.Result)
	p := &pullRequestRun{controller: r, a: a, seen: seen, review: review, written: review.Result}
	p.events = r.recovered(ctx, a, seen, pending)
	if p.forge, err = connectionOf(a, seen).Open(ctx, r.Forges, r.Client); err != nil {
		return reconciler.Result{Events: p.events}, p.retryLater(err)
	}
	found, err := p.observe(ctx)
	if err != nil {
		if p.abandoned {
			a.Status.PullRequest, a.Status.Declined = nil, nil // it is told once, whatever the forge says
		}
		return reconciler.Result{Events: p.events}, p.retryLater(err)
	}
	step := decideProposal(found)
	p.recordPeoplesActions(found, step)
	if err = p.perform(ctx, found, &step); err == nil {
		a.Status.PendingPush = nil
	}
	r.tracker.closeBatch(a.UID)
	p.events = append(p.events, p.requestSourcesOf(ctx, found, step)...)
	p.events = append(p.events, r.record(ctx, a, seen, p.written)...)
	a.Status.PullRequest, a.Status.Declined = step.status, step.declined
	return p.result(step, err)
}

// result is what the reconcile returns.
func (p *pullRequestRun) result(step proposalDecision, err error) (reconciler.Result, error) {
	interval := p.a.Spec.Interval.Duration
	result := reconciler.Result{Events: p.events}
	switch {
	case err != nil:
		return result, p.retryLater(err)
	case step.notOurs != "":
		return result, reconciler.Waiting(reconciler.WithReason(imagev1.NotOursReason, errors.New(step.notOurs)), interval)
	case p.written.Held != nil:
		return result, reconciler.Waiting(p.written.Held, interval)
	}
	result.Reason, result.Message = meta.SucceededReason, readyMessage+remarks(p.a, p.seen, p.written)+proposalRemark(step.status)
	result.After = interval
	switch {
	case p.acted:
		result.After = min(interval, firstWait)
	case step.soon:
		result.After = min(interval, max(firstWait, p.sincePush()))
	}
	return result, nil
}

// sincePush is how long ago the head was pushed: what has taken so long already is looked
// at again after as long, so that each wait is about twice the last one.
func (p *pullRequestRun) sincePush() time.Duration {
	if p.a.Status.LastPushTime == nil {
		return 0
	}
	return p.controller.Clock.Now().Sub(p.a.Status.LastPushTime.Time)
}

// retryLater is the error with the time of the next try: when a rate limit ends, or after the
// interval for what only a person resolves at the forge or in a Secret, which no watch sees.
func (p *pullRequestRun) retryLater(err error) error {
	if limited := (*forge.RateLimited)(nil); errors.As(err, &limited) {
		return reconciler.Waiting(err, max(firstWait, limited.Until.Sub(p.controller.Clock.Now())))
	}
	if forge.Terminal(err) {
		return reconciler.Waiting(err, p.a.Spec.Interval.Duration)
	}
	return err
}

// proposalRemark is what the Ready message says of the pull request.
func proposalRemark(status *imagev1.PullRequestStatus) string {
	if about := report.AboutPullRequest(status); about != "" {
		return "; " + about
	}
	return ""
}

// observe reads what is decided from.
func (p *pullRequestRun) observe(ctx context.Context) (proposalObservation, error) {
	status := &p.a.Status
	found := proposalObservation{
		spec: *pullRequestOf(p.a), base: p.seen.request.Checkout.BranchName(), branch: p.seen.request.Push,
		now:    metav1.NewTime(p.controller.Clock.Now()),
		digest: p.review.Digest, unsettled: len(p.review.Report.SkippedFor(writeback.NotReady)) > 0,
		tip: nameOf(p.review.Tip), lastPush: status.LastPushCommit, ours: p.review.Ours, same: p.review.Same,
		status: status.PullRequest, declined: status.Declined,
	}
	if was := found.status; was != nil && (was.Base != found.base || was.Branch != found.branch) {
		p.events = append(p.events, abandoned(was)...)
		found.status, found.declined, p.abandoned = nil, nil, true
	}
	if p.seen.released {
		found.released, found.declined = true, nil
		if found.status != nil && found.status.State != imagev1.PullRequestOpen {
			found.status = nil
		}
	}
	if err := p.render(ctx, &found); err != nil {
		return found, err
	}
	return found, p.read(ctx, &found)
}

// read asks the forge for the pull request, and for what decides about it.
func (p *pullRequestRun) read(ctx context.Context, seen *proposalObservation) error {
	pr, err := p.find(ctx, *seen)
	if err != nil || pr == nil {
		return err
	}
	known := seen.status != nil && seen.status.Number == pr.Number
	who, err := p.identify(ctx, known, pr)
	if err != nil {
		return err
	}
	seen.pr = forge.Observe(pr, who, known && seen.status.AutoMerge)
	seen.author, seen.byUs = pr.Author, known || who.IsUs(pr.Author)
	return p.judge(ctx, pr, seen)
}

// find looks for the pull request. One that is open is asked for by its number. There is
// nothing to look for if nothing is to be proposed and the last one has ended.
func (p *pullRequestRun) find(ctx context.Context, seen proposalObservation) (*forge.PullRequest, error) {
	if known := seen.status; known != nil && known.State == imagev1.PullRequestOpen {
		found, err := p.forge.Get(ctx, known.Number)
		if !errors.Is(err, forge.ErrNotFound) {
			return found, explain(err)
		}
	} else if known != nil && seen.digest == "" {
		return nil, nil
	}
	found, err := p.forge.Find(ctx, seen.base, seen.branch)
	if errors.Is(err, forge.ErrNotFound) {
		return nil, nil
	}
	return found, explain(err)
}

// identify finds out who we are, if whose doing the pull request is depends on that: the one of the status
// is ours, and somebody closed it if it is closed.
func (p *pullRequestRun) identify(ctx context.Context, known bool, pr *forge.PullRequest) (forge.User, error) {
	if known && (pr.State != forge.Closed || pr.ClosedBy == "") {
		return forge.User{}, nil
	}
	who, err := p.forge.CurrentUser(ctx)
	return who, explain(err)
}

// judge reads what decides about an open pull request besides itself, if anything does.
func (p *pullRequestRun) judge(ctx context.Context, pr *forge.PullRequest, seen *proposalObservation) error {
	merges := seen.spec.AutoMerge == imagev1.AutoMergeSelf || seen.spec.AutoMerge == imagev1.AutoMergePlatform
	if !seen.pr.Open || !seen.byUs || !merges && !seen.pr.Behind {
		return nil
	}
	rules, err := p.forge.Rules(ctx, seen.base)
	if err != nil {
		return explain(err)
	}
	seen.pr.MustBeUpToDate = rules.UpToDate
	if !merges {
		return nil
	}
	seen.method = rules.MethodFor(forge.Method(seen.spec.MergeMethod))
	j := forge.MergeCheck{Rules: rules}
	if j.Checks, err = p.forge.Checks(ctx, pr.HeadSHA); err != nil {
		return explain(err)
	}
	provider, err := connectionOf(p.a, p.seen).ProviderName()
	if err != nil {
		return err
	}
	if j.Can, err = forge.CapabilitiesOf(provider); err != nil {
		return explain(err)
	}
	j.Judge(pr, seen.pr)
	return nil
}

// explain names the field that an error of the forge is about.
func explain(err error) error {
	if err == nil {
		return nil
	}
	return forge.Explain(pullRequestField, err)
}
