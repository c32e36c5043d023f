package imagepolicy

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/wake"
)

const (
	// remembered bounds each of the caches.
	remembered = 4096
	// shortRecheck and longRecheck bound the time until an image without a
	// signature is looked at again; it doubles every time.
	shortRecheck, longRecheck = 10 * time.Second, time.Hour
	// searchLife is for how long the digests of a search that the bound
	// interrupted are those of the registry.
	searchLife = 5 * time.Minute
)

// memory outlives a run. Nothing is lost with it but requests.
type memory struct {
	platforms cache[imageDigest, []string]            // what an image is made for
	verdicts  cache[verdictKey, verdict]              // of signatures
	searches  cache[types.NamespacedName, unfinished] // by policy
	lookUps   background.Runner[types.NamespacedName, any]
	surveys   cache[surveyKey, survey] // that took long
	surveyors background.Runner[types.NamespacedName, survey]
	done      wake.Source // look-ups and surveys
}

func newMemory() *memory {
	m := &memory{
		platforms: cache[imageDigest, []string]{lru.New(remembered)},
		verdicts:  cache[verdictKey, verdict]{lru.New(remembered)},
		searches:  cache[types.NamespacedName, unfinished]{lru.New(remembered)},
		surveys:   cache[surveyKey, survey]{lru.New(rememberedSurveys)},
	}
	m.lookUps.Patience, m.lookUps.Keep, m.lookUps.Wake = background.DefaultPatience, searchLife, m.done.Wake
	m.surveyors.Patience, m.surveyors.Keep, m.surveyors.Wake = background.DefaultPatience, searchLife, m.done.Wake
	m.surveyors.PerNamespace = 1
	return m
}

// memory returns the Reconciler's, made at first use.
func (r *Reconciler) memory() *memory {
	r.once.Do(func() { r.mem = newMemory() })
	return r.mem
}

// cache is an LRU cache with types.
type cache[K comparable, V any] struct{ *lru.Cache }

func (c cache[K, V]) get(key K) (V, bool) {
	found, ok := c.Get(key)
	value, _ := found.(V)
	return value, ok
}

func (c cache[K, V]) put(key K, value V) { c.Add(key, value) }

// unfinished is a search that was interrupted: by the bound, or by a look-up that
// takes longer than a moment.
type unfinished struct {
	revision string // of the tags, and of the spec
	began    time.Time
	asked    time.Time // when somebody asked for it, zero if nobody did
	digests  map[string]string
}

// resume goes on with the search that the last run began, if tags and spec are
// still the same.
func (s *search) resume() {
	s.digests = map[string]string{}
	if s.requested() {
		s.asked = s.now
	}
	began, ok := s.memory().searches.get(s.key())
	if ok && began.revision == s.revision() && s.now.Sub(began.began) < searchLife {
		s.digests = began.digests
		if s.asked.IsZero() {
			s.asked = began.asked
		}
	}
}

// suspend keeps what the next run needs to go on: what was interrupted by the
// bound, or by a registry that limits the rate, must not begin anew every time.
func (s *search) suspend() {
	began, ok := s.memory().searches.get(s.key())
	if !ok || began.revision != s.revision() || s.now.Sub(began.began) >= searchLife {
		began = unfinished{revision: s.revision(), began: s.now}
	}
	began.digests, began.asked = s.digests, s.asked
	s.memory().searches.put(s.key(), began)
}

func (s *search) finish() { s.memory().searches.Remove(s.key()) }

func (s *search) key() types.NamespacedName {
	return types.NamespacedName{Namespace: s.policy.Namespace, Name: s.policy.Name}
}

func (s *search) revision() string {
	return fmt.Sprintf("%s %s %s %d", s.policy.UID, s.tags.Image(), s.tags.Revision(), s.policy.Generation)
}

// imageDigest is a digest as one image's registry knows it, see [scan.Snapshot.Image]:
// what one says of a digest is nothing to go by for the images of others.
type imageDigest struct{ image, digest string }

// verdictKey is what a verdict on signatures depends on.
type verdictKey struct{ image, digest, trust string }

// verdict is whether an image is signed by whom the policy trusts.
type verdict struct {
	known  bool
	signer string
	why    string    // it is not
	at     time.Time // that was found
	until  time.Time // that holds; what is signed stays signed
	delay  time.Duration
}

// holds reports whether the verdict still counts now, when somebody last asked for
// a look at the given time.
func (v verdict) holds(now, asked time.Time) bool {
	return v.known && (v.why == "" || now.Before(v.until) && v.at.After(asked))
}

// again is the verdict that follows v when there is still no signature.
func (v verdict) again(now time.Time, why string) verdict {
	delay := min(max(2*v.delay, shortRecheck), longRecheck)
	return verdict{known: true, why: why, at: now, until: now.Add(delay), delay: delay}
}

// maxWhy bounds what a status says of one candidate.
const maxWhy = 300

func short(why string) string {
	if len(why) <= maxWhy {
		return why
	}
	return strings.ToValidUTF8(why[:maxWhy], "") + "..."
}

// few lists the first of many.
func few(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", ..."
}
