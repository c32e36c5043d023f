// SPDX-License-Identifier: Apache-2.0

package decide

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/inventory"
)

// Owner names the object on whose behalf other objects are applied: a Kustomization,
// or an object of any kind that has a [Profile].
type Owner = inventory.ID

// Profile is all that an apply has to know about the kind of its owners. Make it with
// [NewProfile].
type Profile struct {
	// Owners is the kind of the owners. Its group is that of all labels and annotations.
	Owners schema.GroupKind
	// FieldManager is the field manager of everything that is applied.
	FieldManager string
	// OverriddenManagers are field managers, by the beginning of their names, whose fields the
	// owners take over besides those of kubectl.
	OverriddenManagers []string
	// EarlyKinds are applied after definitions and classes and before all else; nil is none.
	EarlyKinds map[schema.GroupKind]struct{}
	// NameLabel and NamespaceLabel are on every applied object and name its owner.
	NameLabel, NamespaceLabel string
	// Fields of the owner, named in messages: the one that allows to recreate objects,
	// the one that lists objects to watch, the one that says who applies, the one that says
	// into which namespace, and the one that says to which cluster.
	ForceField, HealthChecksField, ServiceAccountField, TargetNamespaceField, KubeConfigField string
	// HealthExprsField and IgnoreField name, in messages about their entries, the fields of
	// the owner's spec that list health check expressions and the fields to ignore.
	HealthExprsField, IgnoreField string
	// ReconcileKey, SSAKey, ForceKey and PruneKey are the labels or annotations by which
	// an object says how it wants to be treated.
	ReconcileKey, SSAKey, ForceKey, PruneKey string
}

// Values of labels and annotations.
const (
	Disabled     = "disabled"
	Enabled      = "enabled"
	Ignore       = "Ignore"
	Merge        = "Merge"
	IfNotPresent = "IfNotPresent"
)

// NewProfile returns the profile of a kind of owners.
func NewProfile(owners schema.GroupKind, fieldManager string) *Profile {
	group := owners.Group
	return &Profile{
		Owners: owners, FieldManager: fieldManager,
		NameLabel: group + "/name", NamespaceLabel: group + "/namespace",
		ForceField: "spec.force", HealthChecksField: "spec.healthChecks",
		ServiceAccountField: "spec.serviceAccountName", TargetNamespaceField: "spec.targetNamespace",
		HealthExprsField: "healthCheckExprs", IgnoreField: "ignore",
		KubeConfigField: "spec.kubeConfig",
		ReconcileKey:    group + "/reconcile", SSAKey: group + "/ssa", ForceKey: group + "/force", PruneKey: group + "/prune",
	}
}

// Owner returns the owner of the profile's kind with the given name.
func (p *Profile) Owner(namespace, name string) Owner {
	return Owner{Group: p.Owners.Group, Kind: p.Owners.Kind, Namespace: namespace, Name: name}
}

// Labels are the labels by which an owner knows its objects.
func (p *Profile) Labels(owner Owner) map[string]string {
	return map[string]string{p.NameLabel: owner.Name, p.NamespaceLabel: owner.Namespace}
}

// OwnerOf returns the owner that labels name. Its name or its namespace is empty when
// the label is missing.
func (p *Profile) OwnerOf(labels map[string]string) Owner {
	return p.Owner(labels[p.NamespaceLabel], labels[p.NameLabel])
}

// HasOther reports whether an object carries the labels of another owner. It is on its
// way there, or two sources contain it: to take it back at once would be a fight in the
// one case, and in the other its deletion when this owner gives it up.
func (p *Profile) HasOther(labels map[string]string, owner Owner) bool {
	by := p.OwnerOf(labels)
	return by != owner && by.Name != "" && by.Namespace != ""
}

// Excluded reports whether an object asks to be left alone.
func (p *Profile) Excluded(labels, annotations map[string]string) bool {
	return Wants(labels, annotations, p.ReconcileKey, Disabled) || Wants(labels, annotations, p.SSAKey, Ignore)
}

// Prunable reports whether an owner may delete an object, and if not, why: it carries
// the labels of somebody else or of nobody, or asks to be kept.
func (p *Profile) Prunable(labels, annotations map[string]string, owner Owner) (why string, ok bool) {
	switch by := p.OwnerOf(labels); {
	case p.HasOther(labels, owner):
		return fmt.Sprintf("it has the labels of %s %s/%s", by.Kind, by.Namespace, by.Name), false
	case by != owner:
		return fmt.Sprintf("it lacks the labels %s and %s of its owner", p.NameLabel, p.NamespaceLabel), false
	case Wants(labels, annotations, p.ReconcileKey, Disabled):
		return p.ReconcileKey + ": " + Disabled, false
	case Wants(labels, annotations, p.SSAKey, Ignore):
		return p.SSAKey + ": " + Ignore, false
	case Wants(labels, annotations, p.PruneKey, Disabled):
		return p.PruneKey + ": " + Disabled, false
	}
	return "", true
}

// Absent says why an object that is not there was not pruned.
func (p *Profile) Absent() string {
	return "it is not in the cluster: it was deleted before, or it is in another one that " + p.KubeConfigField + " led to"
}

// Merges reports whether an object asks that the fields of other managers stay.
func (p *Profile) Merges(labels, annotations map[string]string) bool {
	return Wants(labels, annotations, p.SSAKey, Merge)
}

// MayRecreate reports whether an object may be deleted in order to change it.
func (p *Profile) MayRecreate(labels, annotations map[string]string) bool {
	return Wants(labels, annotations, p.ForceKey, Enabled)
}

// Wants reports whether a label or an annotation asks for something.
func Wants(labels, annotations map[string]string, key, value string) bool {
	return strings.EqualFold(labels[key], value) || strings.EqualFold(annotations[key], value)
}

// Treatment is how an object of the source wants to be treated.
type Treatment struct {
	// Expires: the cluster may delete the object when it is done.
	Expires bool
	// IfNotPresent: only the object's existence matters.
	IfNotPresent bool
	// Merge: the fields of other managers stay.
	Merge bool
	// Excluded: the object is not applied.
	Excluded bool
}

// TreatmentOf reads an object of the source.
func (p *Profile) TreatmentOf(u *unstructured.Unstructured) Treatment {
	labels, annotations := u.GetLabels(), u.GetAnnotations()
	_, ttl, _ := unstructured.NestedFieldNoCopy(u.Object, "spec", "ttlSecondsAfterFinished")
	return Treatment{
		Expires:      ttl && u.GetKind() == "Job",
		IfNotPresent: Wants(labels, annotations, p.SSAKey, IfNotPresent),
		Merge:        p.Merges(labels, annotations),
		Excluded:     p.Excluded(labels, annotations),
	}
}
