// SPDX-License-Identifier: Apache-2.0

// Package resourceversion says whether what was read of an object is from before another read
// or write of it. It is the one rule by which caches are called stale: of our own writes
// (internal/consistency), of those of an earlier process (controllers/canary), and of applied
// objects that informers watch (apply).
//
// The versions of one API server can be compared since Kubernetes 1.35; see
// https://kep.k8s.io/5504. Those of another server need not be numbers.
package resourceversion

import "k8s.io/apimachinery/pkg/util/resourceversion"

// Older reports whether one resource version is older than another. Versions that cannot
// be compared, or an empty one, are not: nothing would ever show that they have caught up.
func Older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}
