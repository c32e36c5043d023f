// SPDX-License-Identifier: Apache-2.0

package source

import (
	"math/rand/v2"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What all kinds of sources do alike.
const (
	defaultTimeout = 60 * time.Second
	// maxTimeout is for a server that never answers: each of its sources takes a slot of its namespace for as long.
	maxTimeout = time.Hour
	// jitter spreads the sources that were made at once over their interval.
	jitter = 0.05
)

// Timeout is how long a server may take, as spec.timeout says: a minute without one, and at most an hour.
func Timeout(spec *metav1.Duration) time.Duration {
	if spec != nil && spec.Duration > 0 {
		return min(spec.Duration, maxTimeout)
	}
	return defaultTimeout
}

// Spread returns the interval, give or take its jitter.
func Spread(interval time.Duration) time.Duration {
	return time.Duration(float64(interval) * (1 - jitter + 2*jitter*rand.Float64()))
}

// About is the metadata of events about an artifact, by the names that Flux's notification-controller knows; nil without
// an artifact.
func About(artifact *meta.Artifact) map[string]string {
	if artifact == nil {
		return nil
	}
	return map[string]string{
		sourcev1.GroupVersion.Group + "/revision": artifact.Revision,
		sourcev1.GroupVersion.Group + "/digest":   artifact.Digest,
	}
}

// SecretNames are the names of the references that are set.
func SecretNames(refs ...*meta.LocalObjectReference) []string {
	var names []string
	for _, ref := range refs {
		if ref != nil {
			names = append(names, ref.Name)
		}
	}
	return names
}
