// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/lru"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/internal/wake"
)

const (
	// maxCached bounds each of the caches, and maxRankings the rankings; each of those
	// has maxTop tags at most.
	maxCached, maxRankings = 4096, 64
	// shortRecheck and longRecheck bound the time until an image without a
	// signature is looked at again; it doubles every time.
	shortRecheck, longRecheck = 10 * time.Second, time.Hour
	// searchLife is for how long the digests of a search that was interrupted are
	// those of the registry.
	searchLife = 5 * time.Minute
)

// caches outlive a run. A restart loses nothing with them but requests.
type caches struct {
	platforms  *lru.Cache[imageDigest, registry.Platforms]
	signatures *lru.Cache[signatureKey, signatureResult]
	searches   *lru.Cache[types.NamespacedName, resumableSearch] // interrupted, by policy
	rankings   *lru.Cache[rankingKey, ranking]                   // that took long
	ages       *lru.Cache[agesKey, ages]

	lookUps background.Runner[types.NamespacedName, any]     // one for each policy
	matches background.Runner[types.NamespacedName, ranking] // one for each policy, one at a time in a namespace
	done    wake.Source                                      // policies whose look-up or match is done
}

func newCaches() *caches {
	m := &caches{
		platforms:  lru.NewCounted[imageDigest, registry.Platforms](maxCached),
		signatures: lru.NewCounted[signatureKey, signatureResult](maxCached),
		searches:   lru.NewCounted[types.NamespacedName, resumableSearch](maxCached),
		rankings:   lru.NewCounted[rankingKey, ranking](maxRankings),
		ages:       lru.NewCounted[agesKey, ages](maxCached),
	}
	m.lookUps.Patience, m.lookUps.Keep, m.lookUps.Wake = background.DefaultPatience, searchLife, m.done.Wake
	m.matches.Patience, m.matches.Keep, m.matches.Wake = background.DefaultPatience, searchLife, m.done.Wake
	m.matches.PerNamespace = 1
	return m
}

// caches returns the Reconciler's, made at first use.
func (r *Reconciler) caches() *caches {
	r.once.Do(func() { r.cached = newCaches() })
	return r.cached
}

// resumableSearch is a search that may take several runs: the one before was interrupted by
// the bound, by a registry that limits the rate, or by a look-up that takes longer than
// a worker waits. It must not begin anew every time.
type resumableSearch struct {
	revision string // of the tags, and of the spec
	begunAt  time.Time
	// requested is when somebody asked for the search, zero if nobody did.
	requested time.Time
	digests   map[string]string // by tag
}

// resume returns the search that the last run began if tags and spec are still the
// same, or a new one.
func (m *caches) resume(in *inputs) resumableSearch {
	s, ok := m.searches.Get(in.key())
	if !ok || s.revision != in.revision() || in.now.Sub(s.begunAt) >= searchLife {
		s = resumableSearch{revision: in.revision(), begunAt: in.now, digests: map[string]string{}}
	}
	if in.isRequested() {
		s.requested = in.now
	}
	return s
}

// imageDigest is a digest as one image's registry knows it, see [scan.Snapshot.Image]:
// what one says of a digest is nothing to go by for the images of others.
type imageDigest struct{ image, digest string }

// signatureKey is what the result of a verification depends on.
type signatureKey struct{ image, digest, trust string }

// signatureResult is whether an image is signed by whom the policy trusts.
type signatureResult struct {
	known     bool
	signer    string
	missing   string    // why it is not signed
	checkedAt time.Time // when that was found
	until     time.Time // when that ends; what is signed stays signed
	delay     time.Duration
}

// holds reports whether the result still counts now, when somebody last asked for
// a look at the given time.
func (v signatureResult) holds(now, requested time.Time) bool {
	return v.known && (v.missing == "" || now.Before(v.until) && v.checkedAt.After(requested))
}

// stillMissing is the result that follows v when there is still no signature.
func (v signatureResult) stillMissing(now time.Time, why string) signatureResult {
	delay := min(max(2*v.delay, shortRecheck), longRecheck)
	return signatureResult{known: true, missing: why, checkedAt: now, until: now.Add(delay), delay: delay}
}

// maxWhy bounds what a status says of one candidate, in bytes.
const maxWhy = 300
