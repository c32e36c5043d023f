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
	"github.com/sluice-cd/sluice/policy"
)

// Hop is one step of a release.
type Hop string

// The hops, in the order in which a release takes them.
const (
	Seen      Hop = "seen"
	Chosen    Hop = "chosen"
	Committed Hop = "committed"
	Fetched   Hop = "fetched"
	Applied   Hop = "applied"
	Analysed  Hop = "canary"
	Verdict   Hop = "verdict"
)

// Entry is one line of a timeline.
type Entry struct {
	At   time.Time
	Hop  Hop
	Text string
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
	watched, err := cache.New(c.REST, cache.Options{
		Scheme:            c.Client.Scheme(),
		DefaultNamespaces: map[string]cache.Config{c.Namespace: {}},
	})
	if err != nil {
		return nil, err
	}
	changes := make(chan client.Object, 1000)
	tell := toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { changes <- obj.(client.Object) },
		UpdateFunc: func(_, obj any) { changes <- obj.(client.Object) },
	}
	for _, kind := range []client.Object{
		&imagev1.ImageRepository{}, &imagev1.ImagePolicy{}, &imagev1.ImageUpdateAutomation{},
		&sourcev1.GitRepository{}, &kustomizev1.Kustomization{}, &corev1.Event{},
	} {
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
	go c.narrate(ctx, changes, entries)
	return entries, nil
}

func (c *Chain) narrate(ctx context.Context, changes <-chan client.Object, entries chan<- Entry) {
	defer close(entries)
	n := narrator{chain: c, last: map[Hop]string{}, told: map[string]bool{}}
	for {
		select {
		case <-ctx.Done():
			return
		case obj := <-changes:
			for _, entry := range n.tell(ctx, obj) {
				entry.At = time.Now()
				entries <- entry
			}
		}
	}
}

// narrator turns states into news.
type narrator struct {
	chain *Chain
	last  map[Hop]string
	told  map[string]bool // tags, and events by uid and count
}

// news reports whether a hop has got something new to say.
func (n *narrator) news(hop Hop, value string) bool {
	if value == "" || n.last[hop] == value {
		return false
	}
	n.last[hop] = value
	return true
}

// tell returns the news that a state of an object contains.
func (n *narrator) tell(ctx context.Context, obj client.Object) []Entry {
	switch obj := obj.(type) {
	case *imagev1.ImageRepository:
		return n.scanned(obj)
	case *imagev1.ImagePolicy:
		return n.chosen(obj)
	case *imagev1.ImageUpdateAutomation:
		return n.committed(ctx, obj.Status.LastPushCommit)
	case *sourcev1.GitRepository:
		return n.fetched(ctx, obj)
	case *kustomizev1.Kustomization:
		if revision := obj.Status.LastAppliedRevision; n.news(Applied, revision) {
			return []Entry{{Hop: Applied, Text: short(revision), Weight: -1}}
		}
	case *corev1.Event:
		return n.happened(obj)
	}
	return nil
}

func (n *narrator) scanned(repository *imagev1.ImageRepository) []Entry {
	scan := repository.Status.LastScanResult
	if scan == nil {
		return nil
	}
	fresh := slices.DeleteFunc(slices.Clone(scan.LatestTags), func(tag string) bool { return n.told[tag] })
	for _, tag := range fresh {
		n.told[tag] = true
	}
	if len(fresh) == 0 {
		return nil
	}
	text := fmt.Sprintf("%s, one of %d tags of %s", strings.Join(fresh, ", "), scan.TagCount, repository.Spec.Image)
	return []Entry{{Hop: Seen, Text: text, Weight: -1}}
}

func (n *narrator) chosen(p *imagev1.ImagePolicy) []Entry {
	latest := p.Status.LatestRef
	if latest == nil || !n.news(Chosen, latest.Tag) {
		return nil
	}
	entry := Entry{Hop: Chosen, Text: latest.Tag + " by " + rule(p.Spec.Policy), Weight: -1}
	if ready := meta.FindStatusCondition(p.Status.Conditions, "Ready"); ready != nil {
		entry.Detail = []string{ready.Message}
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

// committed shows the changed lines of a commit, which is the whole diff: a
// write-back touches nothing else.
func (n *narrator) committed(ctx context.Context, commit string) []Entry {
	if !n.news(Committed, commit) {
		return nil
	}
	entry := Entry{Hop: Committed, Text: short(commit), Weight: -1}
	diff, err := n.chain.Repo.Diff(ctx, commit)
	if err != nil {
		entry.Detail = []string{err.Error()}
	}
	for line := range strings.Lines(diff) {
		if !strings.HasPrefix(line, "diff ") && !strings.HasPrefix(line, "index ") && !strings.HasPrefix(line, "--- ") {
			entry.Detail = append(entry.Detail, strings.TrimRight(line, "\n"))
		}
	}
	return []Entry{entry}
}

// fetched may come before the status that tells of the commit: the source hears
// of a push at once. The commit is told first all the same.
func (n *narrator) fetched(ctx context.Context, source *sourcev1.GitRepository) []Entry {
	artifact := source.Status.Artifact
	if artifact == nil || !n.news(Fetched, artifact.Revision) {
		return nil
	}
	commit := artifact.Revision[strings.LastIndex(artifact.Revision, ":")+1:]
	return append(n.committed(ctx, commit), Entry{Hop: Fetched, Text: short(artifact.Revision), Weight: -1})
}

// happened tells the events of the canary as they are: each has the weight and
// the measured values in its message.
func (n *narrator) happened(event *corev1.Event) []Entry {
	key := fmt.Sprintf("%s/%d", event.UID, event.Count)
	if event.InvolvedObject.Kind != flaggerv1.CanaryKind || n.told[key] {
		return nil
	}
	n.told[key] = true
	entry := Entry{Hop: Analysed, Text: event.Message, Weight: weightIn(event.Message), Warning: event.Type == corev1.EventTypeWarning}
	if strings.HasPrefix(event.Message, "Promotion completed!") || strings.HasPrefix(event.Message, "Canary failed!") {
		entry.Hop = Verdict
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

// short shortens the commit in a revision such as main@sha1:abc.
func short(revision string) string {
	const enough = 10
	at := strings.LastIndex(revision, ":") + 1
	return revision[:min(len(revision), at+enough)]
}
