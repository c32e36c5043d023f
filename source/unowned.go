// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"strings"
)

// RemoveUnowned deletes the artifacts of sources that there are no more: somebody took their
// finalizer off while no process ran, or they are not this one's to serve. The owners are
// asked for once it is known which artifacts there are, so that those of a source that is
// made meanwhile stay.
func (s *Store) RemoveUnowned(ctx context.Context, owners func(context.Context) ([]Key, error)) error {
	found := s.keys()
	if len(found) == 0 {
		return nil
	}
	all, err := owners(ctx)
	if err != nil {
		return err
	}
	owned := make(map[Key]bool, len(all))
	for _, key := range all {
		key.Kind = strings.ToLower(key.Kind)
		owned[key] = true
	}
	var errs []error
	for _, key := range found {
		if !owned[key] {
			errs = append(errs, s.Remove(key))
		}
	}
	return errors.Join(errs...)
}
