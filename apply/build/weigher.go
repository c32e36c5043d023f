// SPDX-License-Identifier: Apache-2.0

package build

import (
	"fmt"
	"path"
)

// decodeLimiter bounds what is decoded.
type decodeLimiter struct {
	refused *refusal
	bounds  Bounds
	mem     memoryBudget
	// weights are those of files that are decoded; they are looked at once, however
	// often they are read. Opaque files are data for generators.
	weights map[string]weight
	opaque  map[string]bool
}

// weigh looks at a document.
func (w *decodeLimiter) weigh(data []byte) (weight, error) {
	found, err := w.bounds.weigh(data, w.mem)
	if err != nil {
		return found, w.refused.refuse(err)
	}
	return found, nil
}

// weighFile looks at a file that is decoded, once.
func (w *decodeLimiter) weighFile(name string, data []byte) (weight, error) {
	name = path.Clean(name)
	if known, ok := w.weights[name]; ok {
		return known, nil
	}
	found, err := w.bounds.weigh(data, w.mem)
	if err != nil {
		return found, w.refused.refuse(fmt.Errorf("%s: %w", name, err))
	}
	w.weights[name] = found
	return found, nil
}

// refusal is the first reason for which a build was refused; kustomize wraps errors
// beyond recognition.
type refusal struct{ first error }

// refuse keeps the first refusal.
func (r *refusal) refuse(err error) error {
	if r.first == nil {
		r.first = err
	}
	return err
}

// reason is why a build failed: the first refusal, if there was any.
func (r *refusal) reason(err error) error {
	if err != nil && r.first != nil {
		return r.first
	}
	return err
}
