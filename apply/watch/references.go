// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/decide"
	"github.com/sluice-cd/sluice/apply/inventory"
)

// Bounds of what is watched in this cluster for the owners of a namespace beside what they apply, and
// of one informer for all objects of a kind. What is beyond is Unknown.
const (
	maxReferenceInformers = 2000
	maxReferenceBytes     = 64 << 20
	maxAllObjects         = 20_000
	maxAllBytes           = 64 << 20
)

// byAnybody reports whether it does not matter who applied the objects.
func (t Target) byAnybody() bool { return t.Name != "" || t.All }

// limitsOf are those of an informer that starts for an owner of a namespace. The lock is held.
func (s *Informers) limitsOf(target Target, namespace string) Limits {
	if s.limits != (Limits{}) || !target.byAnybody() {
		return s.limits
	}
	quota := s.references[namespace]
	if quota == nil {
		quota = &Quota{Targets: maxReferenceInformers, Bytes: maxReferenceBytes}
		s.references[namespace] = quota
	}
	limits := Limits{Quota: quota}
	if target.All {
		limits.Objects, limits.Bytes = maxAllObjects, maxAllBytes
	}
	return limits
}

// release gives back what an informer that has ended counted to. The lock is held.
func (s *Informers) release(inf *informer) {
	inf.quota.release()
	if own := s.references[inf.namespace]; own != nil && own == inf.quota && own.unused() {
		delete(s.references, inf.namespace)
	}
}

// ObserveReference is Observe of an object that nobody here need have applied: that it is not
// there, only an informer knows that sees it without the label.
func (u *Subscription) ObserveReference(gvk schema.GroupVersionKind, id inventory.ID) (*decide.LiveObject, decide.Freshness) {
	s := u.informers
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, freshness := s.observe(gvk, id, "", u.rules)
	if freshness == decide.Missing && !s.seesUnlabelled(gvk, id, u.rules) {
		return nil, decide.Unknown
	}
	return seen, freshness
}

// seesUnlabelled reports whether an informer sees an object even if it has no label of an owner. The lock is held.
func (s *Informers) seesUnlabelled(gvk schema.GroupVersionKind, id inventory.ID, rules *Rules) bool {
	for _, target := range unlabelledTargets(gvk, id, rules) {
		if inf := s.byTarget[target]; inf != nil && inf.HasSynced() {
			return true
		}
	}
	return false
}

// unlabelledTargets are the targets whose informers see an object even if it has no label of an owner.
func unlabelledTargets(gvk schema.GroupVersionKind, id inventory.ID, rules *Rules) [2]Target {
	return [...]Target{
		{GroupVersionKind: gvk, Namespace: id.Namespace, Name: id.Name, Rules: rules.Digest()},
		{GroupVersionKind: gvk, Namespace: id.Namespace, All: true, Rules: rules.Digest()},
	}
}
