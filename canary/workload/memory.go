package workload

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// memory is what a look need not read again, because the informers say that it
// has not changed, or because nobody else writes it. What is remembered is what
// was read: a revision and the content that it is promoted with always agree.
type memory struct {
	mu sync.Mutex
	of map[types.UID]*remembered
}

// remembered is about one canary, whose looks follow one another.
type remembered struct {
	// target is what all of it is about.
	target string
	// generation is the target's. With another one everything is read again: what
	// is applied together with a template may not have reached the informers.
	generation int64
	configs    map[string]known
	saved      map[string]bool
	// scaler is when the autoscalers were in step.
	scaler string
	// edited means that the canary's spec was edited, and that what an earlier one
	// asked for may be left.
	edited bool
	// waits is since when the copies lack something.
	waits map[half]time.Time
	// apart is the target's generation with which no other workload had its labels,
	// and alike are those that have them.
	looked bool
	apart  int64
	alike  []Object
	// slept means that the primary had no pods by its autoscaler, and has none yet.
	slept bool
	// pods is how many the primary had last.
	pods int32
}

// known is a config as it was with a resource version; without one it is missing.
type known struct {
	version string
	config  *Config
	missing error
}

func (m *memory) about(uid types.UID) *remembered {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.find(uid)
}

// begin forgets what was remembered about another target of the canary.
func (m *memory) begin(uid types.UID, target string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if about := m.find(uid); about.target != target {
		edited := about.edited
		delete(m.of, uid)
		about = m.find(uid)
		about.target, about.edited = target, edited
	}
}

func (m *memory) find(uid types.UID) *remembered {
	if m.of == nil {
		m.of = map[types.UID]*remembered{}
	}
	if m.of[uid] == nil {
		m.of[uid] = &remembered{configs: map[string]known{}, waits: map[half]time.Time{}}
	}
	return m.of[uid]
}

// Forget drops what is remembered about a canary that is gone.
func (k *Kit) Forget(uid types.UID) {
	k.memory.mu.Lock()
	defer k.memory.mu.Unlock()
	delete(k.memory.of, uid)
}

// noteEdit remembers an edit of the canary until it has been acted on: its status
// says that it was seen, and not that all of it went well.
func (p *Pair) noteEdit() {
	about, seen := p.kit.memory.about(p.canary.UID), p.canary.Status.ObservedGeneration
	about.edited = about.edited || seen > 0 && seen != p.canary.Generation
	p.Edited = about.edited
}

// expect forgets configs that were read with another generation of the target.
func (p *Pair) expect(generation int64) {
	p.known = p.kit.memory.about(p.canary.UID)
	if p.known.generation != generation {
		p.known.generation, p.known.configs = generation, map[string]known{}
	}
}

// version is the resource version that the informers have seen last; empty if
// there is no such object.
func (p *Pair) version(ctx context.Context, kind schema.GroupVersionKind, name string) (string, error) {
	seen := &metav1.PartialObjectMetadata{}
	seen.SetGroupVersionKind(kind)
	err := p.kit.cached.Get(ctx, p.key(name), seen)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking for %s %s.%s: %w", kind.Kind, name, p.canary.Namespace, err)
	}
	return seen.ResourceVersion, nil
}

// savedBefore are the snapshots that are known of; nil if they were never listed.
func (p *Pair) savedBefore() map[string]bool {
	return maps.Clone(p.kit.memory.about(p.canary.UID).saved)
}

// remember notes which snapshots there are; nil is that nobody knows.
func (p *Pair) remember(saved map[string]bool) {
	p.kit.memory.about(p.canary.UID).saved = maps.Clone(saved)
}
