package imageupdateautomation

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/writeback"
	"github.com/sluice-cd/sluice/writeback/edit"
)

// push is a commit that was pushed for an automation.
type push struct {
	commit, base string
	at           metav1.Time
	events       []reconciler.Event
}

func (p push) writeTo(status *imagev1.ImageUpdateAutomationStatus) {
	status.LastPushCommit, status.LastPushBase, status.LastPushTime = p.commit, p.base, &p.at
}

// pushes keeps each automation's push until its status is seen to have it: if
// the status could not be written, the next run finds the repository up to date
// and would never tell.
type pushes struct {
	mu    sync.Mutex
	byUID map[types.UID]push
}

func (p *pushes) remember(uid types.UID, made push) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byUID == nil {
		p.byUID = map[types.UID]push{}
	}
	p.byUID[uid] = made
}

// unrecorded returns the last push if the status lacks it, and forgets it if not.
func (p *pushes) unrecorded(a *imagev1.ImageUpdateAutomation) (push, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	made, ok := p.byUID[a.UID]
	if ok && made.commit == a.Status.LastPushCommit {
		delete(p.byUID, a.UID)
		return push{}, false
	}
	return made, ok
}

func (p *pushes) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.byUID, uid)
}

// choices remembers when each policy was first seen with its choice, to measure
// how long the commit took. Of a choice older than the process only a policy that
// tells when it first saw the tag has a time.
type choices struct {
	mu       sync.Mutex
	byPolicy map[types.NamespacedName]choice
}

type choice struct {
	ref  imagev1.ImageRef
	seen time.Time
}

func (c *choices) note(p *imagev1.ImagePolicy, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byPolicy == nil {
		c.byPolicy = map[types.NamespacedName]choice{}
	}
	key := types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
	ref, ok := writeback.ChosenRef(p)
	known, had := c.byPolicy[key]
	switch {
	case !ok || (had && known.ref == ref):
	case !had:
		c.byPolicy[key] = choice{ref: ref, seen: firstSeen(p)}
	default:
		c.byPolicy[key] = choice{ref: ref, seen: now}
	}
}

// forget ends what is known of a policy that is gone.
func (c *choices) forget(policy types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byPolicy, policy)
}

// firstSeen is when a policy that has just been met first saw the tag that it
// chose, zero if it does not tell. Where tags have to mature, that is no measure.
func firstSeen(p *imagev1.ImagePolicy) time.Time {
	if p.Spec.MinAge != nil || p.Status.Decision == nil {
		return time.Time{}
	}
	for _, c := range p.Status.Decision.Candidates {
		if c.Tag == p.Status.LatestRef.Tag && c.Dropped == "" && c.FirstSeen != nil {
			return c.FirstSeen.Time
		}
	}
	return time.Time{}
}

// observe measures the time from choice to commit, once for each choice. A choice
// that the automation wrote before, and finds missing in a new place, is not news.
func (c *choices) observe(a *imagev1.ImageUpdateAutomation, change edit.Change, now time.Time) {
	setter, err := edit.ParseSetter(change.Setter)
	if err != nil || setter.Namespace != a.Namespace {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := types.NamespacedName{Namespace: a.Namespace, Name: setter.Policy}
	known, ok := c.byPolicy[key]
	if !ok || known.seen.IsZero() || a.Status.ObservedPolicies[setter.Policy] == known.ref {
		return
	}
	commitDuration.Observe(now.Sub(known.seen).Seconds())
	known.seen = time.Time{}
	c.byPolicy[key] = known
}
