// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sluice-cd/sluice/canary/provider"
)

// names is the enum of spec.provider.
func names() []string {
	return []string{"// +kubebuilder:validation:Enum=" + strings.Join(provider.Accepted(), ";")}
}

// refusals are the fields that the API server refuses beside a provider that does not honour them.
var refusals = []struct {
	field provider.Fields
	// unset is an expression that is true of a spec without the field.
	unset string
	// message says who honours it, in the place of %s.
	message string
}{
	{provider.HTTPRouteRef, "!has(self.httpRouteRef)", "only the %s providers have httpRouteRef"},
	{
		provider.AnalysisMatch, "!has(self.analysis) || !has(self.analysis.match) || self.analysis.match.size() == 0",
		"this provider cannot choose users by analysis.match; %s can",
	},
	{
		provider.AnalysisMirror, "!has(self.analysis) || !has(self.analysis.mirror) || !self.analysis.mirror",
		"this provider has no analysis.mirror; %s have",
	},
	{
		provider.SessionAffinity, "!has(self.analysis) || !has(self.analysis.sessionAffinity)",
		"this provider has no analysis.sessionAffinity; %s have",
	},
}

// rules are the CEL rules of CanarySpec that are about the provider which it names.
func rules() []string {
	var out []string
	for _, ref := range provider.References() {
		needing := provider.Needing(ref.Field)
		need := "providers " + and(needing) + " need"
		if len(needing) == 1 {
			need = "provider " + needing[0] + " needs"
		}
		out = append(out, rule("!("+isOneOf(needing)+") || has(self."+ref.Path+")",
			fmt.Sprintf("%s %s, the %s that users come through", need, ref.Path, ref.Kind)))
	}
	for _, r := range refusals {
		honouring := provider.With(r.field)
		out = append(out, rule(isOneOf(honouring)+" || "+r.unset, fmt.Sprintf(r.message, and(movingUsers(honouring)))))
	}
	return out
}

func rule(expression, message string) string {
	return fmt.Sprintf("// +kubebuilder:validation:XValidation:rule=%q,message=%q", "!has(self.provider) || "+expression, message)
}

// isOneOf is an expression that is true of a spec whose provider is of one of some families.
func isOneOf(families []string) string {
	var plain, versioned []string
	for _, family := range families {
		if _, ok := provider.Named(family); ok {
			plain = append(plain, "'"+family+"'")
		} else {
			versioned = append(versioned, "self.provider.startsWith('"+family+":')")
		}
	}
	switch len(plain) {
	case 0:
		return strings.Join(versioned, " || ")
	case 1:
		return strings.Join(slices.Insert(versioned, 0, "self.provider == "+plain[0]), " || ")
	default:
		return strings.Join(slices.Insert(versioned, 0, "self.provider in ["+strings.Join(plain, ", ")+"]"), " || ")
	}
}

// movingUsers leaves out who has no users to choose, and honours a field only so far as to ignore it.
func movingUsers(families []string) []string {
	return slices.DeleteFunc(slices.Clone(families), func(family string) bool {
		p, _ := provider.Named(family)
		return p.Routing == provider.Nowhere
	})
}

// and lists words as a sentence does.
func and(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// rights are rules of a role, which let the controller write what any provider does, one for each API group.
func rights() []string {
	var groups []string
	resources := map[string][]string{}
	for _, kind := range provider.MadeKinds() {
		if resources[kind.Group] == nil {
			groups = append(groups, kind.Group)
		}
		resource, _ := meta.UnsafeGuessKindToResource(kind.WithVersion(""))
		resources[kind.Group] = append(resources[kind.Group], resource.Resource)
	}
	var out []string
	for _, group := range groups {
		out = append(out, "- apiGroups: ["+group+"]", "  resources: ["+strings.Join(resources[group], ", ")+"]",
			"  verbs: [get, list, watch, create, patch]")
	}
	return out
}
