// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
)

// naming says what is called what, and how the pods of the two copies are told apart.
// The primary has the target's selector with one value changed, so that whatever else
// keeps the target from other workloads keeps its primary from them, too. A primary
// that is there keeps the selector that it was made with, which cannot change, and its
// pods the labels that are in it, whatever becomes of the target and of the settings.
type naming struct {
	// target is the workload's name; label is the key whose values differ, and value
	// that of the target's pods.
	target, label, value string
	// namespace is that of both copies.
	namespace string
	// keys are those that may be the label.
	keys []string
	// own and primary are what all pods of a copy have, and no pods of the other.
	// settled is what the primary's have once they are all of its template.
	own, primary, settled map[string]string
	// fixed are labels that the primary's pods get, whatever the revision.
	fixed map[string]string
	// selector is the primary's, and matching are labels of pods that it selects.
	selector map[string]any
	matching map[string]string
}

// namingOf takes the names from a target that has no primary yet.
func namingOf(target string, selector map[string]any, pods map[string]string, keys []string) naming {
	n := naming{target: target, keys: keys, own: equalities(selector)}
	for _, key := range keys {
		if value, ok := n.own[key]; ok {
			n.label, n.value = key, value
			break
		}
	}
	if n.label == "" {
		return n
	}
	n.selector = runtime.DeepCopyJSON(selector)
	n.replace(n.selector)
	n.primary = maps.Clone(n.own)
	n.primary[n.label] = flaggerv1.PrimaryName(n.value)
	n.settled, n.fixed = n.primary, n.primary
	n.matching = object.Merge(pods, n.primary)
	return n
}

// replace gives a target's selector the primary's value of the label.
func (n naming) replace(selector map[string]any) {
	if matched := object.Map(selector, "matchLabels"); matched[n.label] == n.value {
		matched[n.label] = flaggerv1.PrimaryName(n.value)
	}
	for _, expression := range object.List(selector, "matchExpressions") {
		if expression["key"] == n.label && expression["operator"] == string(metav1.LabelSelectorOpIn) {
			expression["values"] = []any{flaggerv1.PrimaryName(n.value)}
		}
	}
}

// follow takes over what the primary was made with. pods are the labels of the
// target's pods; nil if there is no target.
func (n *naming) follow(primary *unstructured.Unstructured, pods map[string]string) {
	n.selector, n.matching = object.Map(primary.Object, "spec", "selector"), podLabels(primary)
	n.primary = equalities(n.selector)
	if n.label == "" && len(n.own) == 0 {
		n.infer()
	}
	n.own, n.fixed, n.settled = maps.Clone(n.own), maps.Clone(n.primary), maps.Clone(n.primary)
	apart := false
	for key, value := range n.primary {
		if has, ok := pods[key]; ok && has != value {
			n.own[key], apart = has, true
		}
	}
	for key, value := range n.own {
		if _, ok := n.primary[key]; ok {
			continue
		}
		has, ok := n.matching[key]
		switch {
		case key == n.label && (!ok || has == value) && !apart:
			n.fixed[key] = flaggerv1.PrimaryName(value)
		case ok:
			n.fixed[key] = has
		default:
			n.fixed[key] = value
		}
		if has == n.fixed[key] {
			n.settled[key] = has
		}
	}
}

// infer reads off the primary how the target is called that is gone.
func (n *naming) infer() {
	n.own = maps.Clone(n.primary)
	for _, key := range n.keys {
		if value, ok := flaggerv1.OfPrimary(n.primary[key]); ok {
			n.label, n.value, n.own[key] = key, value, value
			return
		}
	}
}

func (n naming) primaryValue() string { return n.fixed[n.label] }

// relabel makes the labels of a template those of the primary's pods.
func (n naming) relabel(template map[string]any) {
	for key, value := range n.fixed {
		template[key] = value
	}
	typed := &metav1.LabelSelector{}
	if runtime.DefaultUnstructuredConverter.FromUnstructured(n.selector, typed) != nil {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(typed)
	if err != nil {
		return
	}
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		if r.Matches(labels.Set(object.Texts(template))) {
			continue
		}
		delete(template, r.Key())
		if value, ok := n.matching[r.Key()]; ok {
			template[r.Key()] = value
		}
	}
}

// equalities are the labels that a selector wants to have one value. What else it
// wants, a Service cannot.
func equalities(selector map[string]any) map[string]string {
	out := object.Texts(object.Map(selector, "matchLabels"))
	for _, expression := range object.List(selector, "matchExpressions") {
		key, _ := expression["key"].(string)
		values, _ := expression["values"].([]any)
		if expression["operator"] != string(metav1.LabelSelectorOpIn) || len(values) != 1 {
			continue
		}
		if value, ok := values[0].(string); ok {
			out[key] = value
		}
	}
	return out
}

// podLabels are those of the pods that a workload makes.
func podLabels(workload *unstructured.Unstructured) map[string]string {
	template := object.Map(workload.Object, "spec", "template")
	return object.Texts(object.Map(template, "metadata", "labels"))
}

// nameAfter takes the label that tells the two copies apart from the target, and
// its containers.
func nameAfter(s *scope, target *unstructured.Unstructured) (naming, []corev1.Container, error) {
	names := namingOf(target.GetName(), object.Map(target.Object, "spec", "selector"), podLabels(target), s.opts.SelectorLabels)
	names.namespace = s.canary.Namespace
	if names.label == "" {
		if err := s.refuse("%s spec.selector.matchLabels must contain one of %s; other labels are allowed by --selector-labels of the controller",
			title(target), strings.Join(s.opts.SelectorLabels, ", ")); err != nil {
			return names, nil, err
		}
	}
	pods := &corev1.PodSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(podSpec(target), pods); err != nil {
		return names, nil, fmt.Errorf("reading containers of %s: %w", title(target), err)
	}
	return names, pods.Containers, nil
}

// checkLengths refuses names and labels that get too long for Kubernetes with what is
// appended to them.
func checkLengths(s *scope, target *unstructured.Unstructured, names naming) error {
	if label := flaggerv1.PrimaryName(names.value); len(label) > validation.LabelValueMaxLength {
		return s.refuse("%s spec.selector: the value of %s must be shorter, %s has more than %d characters",
			title(target), names.label, label, validation.LabelValueMaxLength)
	}
	apex, primary, _ := s.canary.ServiceNames()
	if s.canary.HasService() && len(primary) > validation.DNS1035LabelMaxLength {
		return s.refuse("spec.service.name: must be shorter than %s: %s has more than %d characters",
			apex, primary, validation.DNS1035LabelMaxLength)
	}
	return nil
}

// nameAfterRevision takes the names from a revision, of which a primary is made while
// neither copy is there. Snapshots of earlier versions have no selector.
func nameAfterRevision(s *scope, r *Revision) (naming, error) {
	pods, selector, keys := object.Texts(object.Map(r.Template, "metadata", "labels")), r.Selector, s.opts.SelectorLabels
	if selector == nil {
		matched := map[string]any{}
		if i := slices.IndexFunc(keys, func(key string) bool { return pods[key] != "" }); i >= 0 {
			matched[keys[i]] = pods[keys[i]]
		}
		selector = map[string]any{"matchLabels": matched}
	}
	names := namingOf(s.targetName(), selector, pods, keys)
	names.namespace = s.canary.Namespace
	if names.label == "" {
		return names, fmt.Errorf("restoring %s.%s: its pods have none of the labels %s, which --selector-labels of the controller names",
			s.primaryName(), s.canary.Namespace, strings.Join(keys, ", "))
	}
	return names, nil
}
