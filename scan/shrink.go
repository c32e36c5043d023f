// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/registry"
)

// When a list counts as one that lost many tags: at least fewLost, if that is a
// tenth of it or manyLost, and of a short list more than half, if that is more than
// one. Retention rules that delete more only wait for a second look.
const (
	fewLost  = 5
	manyLost = 50
	// confirmAfter is how much later than the first the second look must be.
	confirmAfter = 30 * time.Second
	// unconfirmedLife is how long the first of two equal lists counts.
	unconfirmedLife = time.Hour
)

// Shrunk is the error of a list that lost many tags since the last one. Registries
// answer in part when a replica lags, a cache is cold or a page is lost, and the
// newest tags are usually those that are missing: policies would choose an older
// one, and what runs would be taken back. So the list is not used until another
// one, made a while later, misses the same tags. Until then the last one is.
type Shrunk struct {
	// Before is how many tags there were, and Missing how many of them are not in
	// the list, which has Listed.
	Before, Missing, Listed int
	// After is when a second look counts.
	After time.Duration
}

// Error implements error. It does not say how long it takes: see [RateLimited].
func (e *Shrunk) Error() string {
	return fmt.Sprintf("the registry lists %d tags, and %d of the %d that it had are missing: the list is "+
		"held until a second look confirms it, "+
		"and the tags of the last scan stay in use", e.Listed, e.Missing, e.Before)
}

// many reports whether so many tags of a list are too many to be missing at once.
func many(before, missing int) bool {
	return missing >= fewLost && (10*missing >= before || missing >= manyLost) || missing > 1 && 2*missing > before
}

// missing counts the tags of s that other has not.
func (s *tagset) missing(other *tagset) int {
	if s == other {
		return 0
	}
	var n, j int
	for i := range s.len() {
		for j < other.len() && strings.Compare(other.at(j), s.at(i)) < 0 {
			j++
		}
		if j == other.len() || other.at(j) != s.at(i) {
			n++
		}
	}
	return n
}

// unconfirmedKey says whose list is not confirmed yet: that of an image and credential, or of an object
// when what it had was not known of its present credential.
type unconfirmedKey struct {
	listing registry.ID
	object  types.NamespacedName
}

// unconfirmedList is a list that a second look has to confirm.
type unconfirmedList struct {
	tags *tagset
	at   time.Time
}

// confirm holds a list of which many tags are missing, unless this is the second look,
// which confirms it.
func (s *Scanner) confirm(key unconfirmedKey, before, missing int, list *listing) (confirmed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !many(before, missing) {
		delete(s.unconfirmed, key)
		return false, nil
	}
	first, ok := s.unconfirmed[key]
	age := list.at.Sub(first.at)
	if !ok || age < 0 || age > unconfirmedLife || many(first.tags.len(), first.tags.missing(list.tags)) {
		maps.DeleteFunc(s.unconfirmed, func(_ unconfirmedKey, other unconfirmedList) bool { return list.at.Sub(other.at) > unconfirmedLife })
		s.unconfirmed[key] = unconfirmedList{list.tags, list.at}
		age = 0
	}
	if age < confirmAfter {
		return false, &Shrunk{Before: before, Missing: missing, Listed: list.tags.len(), After: confirmAfter - age}
	}
	delete(s.unconfirmed, key)
	return true, nil
}

// confirmListing compares a list with the last one of the same image and credential.
func (s *Scanner) confirmListing(last, list *listing) error {
	if last == nil {
		return nil
	}
	confirmed, err := s.confirm(unconfirmedKey{listing: list.id}, last.tags.len(), last.tags.missing(list.tags), list)
	list.confirmed = confirmed || last.confirmed
	return err
}

// confirmSnapshot compares a list with what an object had, where that is not the last one
// of the same credential: after a credential was renewed, and when the memory and the
// disk were lost and only the object's status says how many tags there were.
func (s *Scanner) confirmSnapshot(request Request, last, fresh *Snapshot) error {
	before, missing := 0, 0
	switch list := fresh.list; {
	case list.confirmed:
		return nil
	case last != nil && last.list.id != list.id:
		before, missing = last.list.tags.len(), last.list.tags.missing(list.tags)
	case last == nil:
		before, missing = request.Known, request.Known-fresh.Len()
	}
	confirmed, err := s.confirm(unconfirmedKey{object: request.Key}, before, missing, fresh.list)
	if confirmed {
		own := *fresh.list // the others' is not this object's to mark
		own.confirmed, fresh.list = true, &own
	}
	return err
}
