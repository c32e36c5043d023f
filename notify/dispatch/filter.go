// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/api/notification/v1beta3"
	"github.com/sluice-cd/sluice/internal/pattern"
)

// filterKey is one generation of an Alert.
type filterKey struct {
	uid        types.UID
	generation int64
}

// filter are the compiled lists of an Alert. An event is admitted by one expression of
// the inclusion list, if there are any, and refused by one of the exclusion list.
type filter struct {
	include, exclude []pattern.Pattern
	size             int // of all expressions together
	err              error
}

// weight is about how many bytes a filter takes.
func (f *filter) weight() int64 { return 1<<10 + 64*int64(f.size) }

func (f *filter) admits(text string) bool {
	matches := func(p pattern.Pattern) bool { return p.MatchString(text) }
	return (len(f.include) == 0 || slices.ContainsFunc(f.include, matches)) && !slices.ContainsFunc(f.exclude, matches)
}

// sizeOf is how many instructions the expressions of an Alert have; none if they cannot be
// used.
func (d *Dispatcher) sizeOf(alert *v1beta3.Alert) int {
	if f, err := d.filterOf(alert); err == nil {
		return f.size
	}
	return 0
}

func (d *Dispatcher) filterOf(alert *v1beta3.Alert) (*filter, error) {
	key := filterKey{alert.UID, alert.Generation}
	if known, ok := d.filters.Get(key); ok {
		return known, known.err
	}
	f, err := compile(alert.Spec)
	if err != nil {
		f = &filter{err: err}
	}
	d.filters.Put(key, f)
	return f, err
}

// Bounds of the lists of one Alert. The longest message is matched with all of them in
// less than a second.
const (
	maxExpressions = 100
	maxSize        = 10_000
)

// compile compiles the lists of an Alert. The error names the field.
func compile(spec v1beta3.AlertSpec) (*filter, error) {
	if n := len(spec.InclusionList) + len(spec.ExclusionList); n > maxExpressions {
		return nil, fmt.Errorf("spec.inclusionList and spec.exclusionList have %d expressions, and may have %d together", n, maxExpressions)
	}
	f := &filter{}
	for _, list := range []struct {
		field       string
		expressions []string
		into        *[]pattern.Pattern
	}{{"spec.inclusionList", spec.InclusionList, &f.include}, {"spec.exclusionList", spec.ExclusionList, &f.exclude}} {
		for i, text := range list.expressions {
			p, err := pattern.Compile(text)
			if err != nil {
				return nil, fmt.Errorf("%s[%d]: %w", list.field, i, err)
			}
			if f.size += p.Size; f.size > maxSize {
				return nil, fmt.Errorf("%s[%d]: the expressions together are too large; repeat less in them", list.field, i)
			}
			*list.into = append(*list.into, p)
		}
	}
	return f, nil
}

// CheckAlert says what is wrong with the spec of an Alert, naming the field.
func CheckAlert(spec v1beta3.AlertSpec) error {
	if len(spec.EventSources) > maxSources {
		return fmt.Errorf("spec.eventSources has %d entries, and may have %d", len(spec.EventSources), maxSources)
	}
	if spec.ProviderRef.Name == "" {
		return errors.New("spec.providerRef.name is empty")
	}
	if err := checkMetadata(spec); err != nil {
		return err
	}
	_, err := compile(spec)
	return err
}

// Bounds of what an Alert adds to each of its messages: the number of keys, and bytes of
// keys and values.
const (
	maxAdded     = 64
	maxAddedSize = 16 << 10
)

func checkMetadata(spec v1beta3.AlertSpec) error {
	size := 0
	for key, value := range spec.EventMetadata {
		size += len(key) + len(value)
	}
	if len(spec.EventMetadata) > maxAdded || size > maxAddedSize {
		return fmt.Errorf("spec.eventMetadata has %d keys and %d bytes, and may have %d keys and %d bytes",
			len(spec.EventMetadata), size, maxAdded, maxAddedSize)
	}
	return nil
}

// maxSources is how many sources an Alert may have.
const maxSources = 1000
