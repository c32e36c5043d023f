// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"strings"
)

// RemoveUnowned deletes the artifacts of sources that do not exist any more, because somebody
// took their finalizer off while no process ran, and of those that this process does not serve.
// owners lists the sources that stay. It is called after the artifacts were listed: a source
// that is made in between cannot lose its artifact.
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
