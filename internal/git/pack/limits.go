// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What a remote may make this process take. A pack is a compressed program that
// the remote writes and the receiver runs: a few bytes of it can stand for
// gigabytes, so that its size on the wire bounds neither memory nor time. The
// bounds are far beyond what a repository of manifests has, and a machine can
// still bear them.
const (
	// maxPack bounds the bytes on the wire and on the disk.
	maxPack = 1 << 30
	// maxObjects bounds the objects in a pack, each of which takes some 200 bytes
	// of memory while the pack is being indexed. What memory is granted for it may
	// be less.
	maxObjects = 1 << 20
	// maxObject bounds one object, inflated and with its deltas applied. It is also
	// what the large hosts accept.
	maxObject = 100 << 20
	// maxUnpacked bounds all objects of a pack together, and so the time that
	// indexing takes.
	maxUnpacked = 4 << 30
	// maxHeld bounds what is in memory at once for objects that lean on each other.
	maxHeld = 512 << 20
	// maxDepth is the longest chain of deltas that Git itself writes.
	maxDepth = 4095
)

// ErrTooLarge means that a pack goes beyond what is accepted from a remote.
var ErrTooLarge = errors.New("beyond what is accepted")

// limits are the bounds in force; tests have smaller ones.
type limits struct {
	pack, objects, object, unpacked, held int64
}

var accepted = limits{pack: maxPack, objects: maxObjects, object: maxObject, unpacked: maxUnpacked, held: maxHeld}

// within is an error unless n is at most limit.
func within(limit, n int64, what string) error {
	if n > limit {
		return fmt.Errorf("%w: %s, of which %d are allowed", ErrTooLarge, fmt.Sprintf(what, n), limit)
	}
	return nil
}

// deltaTarget is the size that a delta claims for what comes out of it.
func deltaTarget(delta []byte) (int64, error) {
	_, n := binary.Uvarint(delta) // the size of the base
	if n <= 0 {
		return 0, errDelta
	}
	size, n := binary.Uvarint(delta[n:])
	if n <= 0 || size > 1<<62 {
		return 0, errDelta
	}
	return int64(size), nil
}

var errDelta = errors.New("malformed delta")
