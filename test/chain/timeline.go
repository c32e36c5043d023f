// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/test/harness"
)

// Step is one step of a release.
type Step string

// The steps, in the order in which a release takes them.
const (
	Seen      Step = "seen"
	Chosen    Step = "chosen"
	Committed Step = "committed"
	Fetched   Step = "fetched"
	Applied   Step = "applied"
	Analysed  Step = "canary"
	Verdict   Step = "verdict"
)

// The steps that a pipeline adds.
const (
	Verified    Step = "verified"
	Failed      Step = "failed"
	Quarantined Step = "quarantine"
	Waits       Step = "waits"
	Proposed    Step = "proposed"
)

// Entry is one line of a timeline.
type Entry struct {
	At   time.Time
	Step Step
	// Stage of the pipeline that it is about; empty without a pipeline, and for what
	// comes before all stages.
	Stage string
	Text  string
	// Detail is what belongs to the line, such as the lines of a diff.
	Detail []string
	// Weight is the canary's percentage of the users after the entry, or -1 where
	// the entry says nothing about it.
	Weight int
	// Warning marks what went wrong.
	Warning bool
}

// Follow tells what happens from now on, until ctx ends.
func (c *Chain) Follow(ctx context.Context) (<-chan Entry, error) {
	return c.follow(ctx, newTimeline(c.Repo, nil), &imagev1.ImageUpdateAutomation{})
}

// follow tells what happens to the kinds that all chains have, and to those of one.
func (d *delivery) follow(ctx context.Context, n *timeline, kinds ...client.Object) (<-chan Entry, error) {
	options := cache.Options{Scheme: d.Client.Scheme(), DefaultNamespaces: map[string]cache.Config{d.Namespace: {}}}
	for _, namespace := range d.apps {
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	watched, err := cache.New(d.REST, options)
	if err != nil {
		return nil, err
	}
	changes := make(chan client.Object, 1000)
	tell := toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { changes <- obj.(client.Object) },
		UpdateFunc: func(_, obj any) { changes <- obj.(client.Object) },
	}
	for _, kind := range append(kinds,
		&imagev1.ImageRepository{}, &imagev1.ImagePolicy{}, &sourcev1.GitRepository{}, &kustomizev1.Kustomization{}, &corev1.Event{},
	) {
		informer, err := watched.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
		if _, err := informer.AddEventHandler(tell); err != nil {
			return nil, err
		}
	}
	go func() { _ = watched.Start(ctx) }()
	if !watched.WaitForCacheSync(ctx) {
		return nil, fmt.Errorf("watching the chain: %w", context.Cause(ctx))
	}
	entries := make(chan Entry, 100)
	go n.run(ctx, changes, entries)
	return entries, nil
}

// timeline turns states into news.
type timeline struct {
	repo     *harness.Repo
	stages   map[string]string // of a pipeline, by the namespace that each is applied to
	order    []string          // of the stages
	state    string            // branch of the pipeline's state
	last     map[string]string // what a step of a stage said last
	reported map[string]bool   // tags, commits, verdicts, and events by uid and count

	unapplied map[string]bool // stages to which something was committed that is not applied yet
}

func newTimeline(repo *harness.Repo, stages map[string]string) *timeline {
	return &timeline{repo: repo, stages: stages, last: map[string]string{}, reported: map[string]bool{}, unapplied: map[string]bool{}}
}

func (n *timeline) run(ctx context.Context, changes <-chan client.Object, entries chan<- Entry) {
	defer close(entries)
	for {
		select {
		case <-ctx.Done():
			return
		case obj := <-changes:
			for _, entry := range n.entriesFor(ctx, obj) {
				entry.At = time.Now()
				entries <- entry
			}
		}
	}
}

// changed reports whether a step of a stage has got something new to say.
func (n *timeline) changed(step Step, stage, value string) bool {
	key := string(step) + "/" + stage
	if value == "" || n.last[key] == value {
		return false
	}
	n.last[key] = value
	return true
}

// first reports whether something is told for the first time.
func (n *timeline) first(what string) bool {
	first := !n.reported[what]
	n.reported[what] = true
	return first
}

// entriesFor returns the news that a state of an object contains.
func (n *timeline) entriesFor(ctx context.Context, obj client.Object) []Entry {
	switch obj := obj.(type) {
	case *imagev1.ImageRepository:
		return n.scanned(obj)
	case *imagev1.ImagePolicy:
		return n.chosen(obj)
	case *imagev1.ImageUpdateAutomation:
		return n.committed(ctx, obj.Status.LastPushCommit)
	case *sluicev1.Pipeline:
		return n.promoted(ctx, obj)
	case *sourcev1.GitRepository:
		return n.fetched(ctx, obj)
	case *kustomizev1.Kustomization:
		return n.applied(ctx, obj)
	case *corev1.Event:
		return n.fromEvent(obj)
	}
	return nil
}

func (n *timeline) scanned(repository *imagev1.ImageRepository) []Entry {
	scan := repository.Status.LastScanResult
	if scan == nil {
		return nil
	}
	fresh := slices.DeleteFunc(slices.Clone(scan.LatestTags), func(tag string) bool { return !n.first("tag " + tag) })
	if len(fresh) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s, one of %d tags of %s", strings.Join(fresh, ", "), scan.TagCount, repository.Spec.Image)
	return []Entry{{Step: Seen, Text: text, Weight: -1}}
}

func (n *timeline) chosen(p *imagev1.ImagePolicy) []Entry {
	latest := p.Status.LatestRef
	if latest == nil || !n.changed(Chosen, "", latest.Tag) {
		return nil
	}
	entry := Entry{Step: Chosen, Text: latest.Tag + " by " + rule(p.Spec.Policy), Weight: -1}
	if ready := meta.FindStatusCondition(p.Status.Conditions, "Ready"); ready != nil {
		entry.Detail = []string{Short(ready.Message)}
	}
	return []Entry{entry}
}

// rule is how a policy chooses, in the words of its explanations.
func rule(choice imagev1.ImagePolicyChoice) string {
	compiled, err := policy.Compile(choice, nil)
	if err != nil {
		return err.Error()
	}
	return compiled.String()
}

// fetched may come before the status that tells of the commit: the source hears
// of a push at once. The commit is told first all the same.
func (n *timeline) fetched(ctx context.Context, source *sourcev1.GitRepository) []Entry {
	artifact := source.Status.Artifact
	if artifact == nil || !n.changed(Fetched, "", artifact.Revision) {
		return nil
	}
	return append(n.committed(ctx, commitOf(artifact.Revision)), Entry{Step: Fetched, Text: short(artifact.Revision), Weight: -1})
}

// applied tells of a stage only what was committed to it: each takes up every revision. It
// may overtake what is fetched, as that may overtake the commit.
func (n *timeline) applied(ctx context.Context, k *kustomizev1.Kustomization) []Entry {
	stage, revision := n.stages[k.Spec.TargetNamespace], k.Status.LastAppliedRevision
	if !n.changed(Applied, stage, revision) {
		return nil
	}
	entry := Entry{Step: Applied, Stage: stage, Text: short(revision), Weight: -1}
	if n.stages == nil {
		return []Entry{entry}
	}
	entries := n.committed(ctx, commitOf(revision))
	if n.unapplied[stage] {
		entries = append(entries, entry)
	}
	delete(n.unapplied, stage)
	return entries
}

// fromEvent tells the events of the canary as they are: each has the weight and
// the measured values in its message.
func (n *timeline) fromEvent(event *corev1.Event) []Entry {
	if event.InvolvedObject.Kind != flaggerv1.CanaryKind || !n.first(fmt.Sprintf("event %s/%d", event.UID, event.Count)) {
		return nil
	}
	entry := Entry{
		Step: Analysed, Stage: n.stages[event.InvolvedObject.Namespace],
		Text: event.Message, Weight: weightIn(event.Message), Warning: event.Type == corev1.EventTypeWarning,
	}
	if strings.HasPrefix(event.Message, "Promotion completed!") || strings.HasPrefix(event.Message, "Canary failed!") {
		entry.Step = Verdict
	}
	return []Entry{entry}
}

// weightIn finds the canary's weight in a message.
func weightIn(message string) int {
	_, after, ok := strings.Cut(message, "canary weight ")
	weight := -1
	if ok {
		_, _ = fmt.Sscanf(after, "%d", &weight)
	}
	return weight
}
