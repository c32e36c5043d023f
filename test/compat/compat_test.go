// SPDX-License-Identifier: Apache-2.0

// Package compat holds our API types to the wire format of the ones they
// replace.
//
// For every kind, a random object is made from the upstream Go type, encoded,
// decoded strictly into ours (an unknown field fails), encoded again, and the
// two documents are compared. What upstream can write, we can read and give
// back unharmed. The way back is tested with the fields that are not Sluice
// extensions: what we write, upstream reads.
//
// The upstream modules are imported below this folder and nowhere else.
package compat

import (
	"encoding/json"
	"maps"
	"math/rand"
	"slices"
	"testing"

	imageautov1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagereflv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	notificationup "github.com/fluxcd/notification-controller/api/v1beta3"
	"github.com/google/go-cmp/cmp"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/randfill"

	flaggerup "github.com/fluxcd/flagger/pkg/apis/flagger/v1beta1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/api/notification/v1beta3"
)

// objects is how many random objects are made of every kind.
const objects = 100

var kinds = map[string]struct {
	upstream func() any
	ours     func() any
	// extensions are paths of fields that only we have.
	extensions [][]string
}{
	"ImageRepository": {
		upstream: func() any { return &imagereflv1.ImageRepository{} },
		ours:     func() any { return &imagev1.ImageRepository{} },
		extensions: [][]string{
			{"spec", "maxTags"},
		},
	},
	"ImagePolicy": {
		upstream: func() any { return &imagereflv1.ImagePolicy{} },
		ours:     func() any { return &imagev1.ImagePolicy{} },
		extensions: [][]string{
			{"spec", "minAge"},
			{"spec", "reject"},
			{"spec", "pin"},
			{"spec", "platform"},
			{"spec", "verify"},
			{"status", "decision"},
			{"status", "latestRefTime"},
		},
	},
	"ImageUpdateAutomation": {
		upstream: func() any { return &imageautov1.ImageUpdateAutomation{} },
		ours:     func() any { return &imagev1.ImageUpdateAutomation{} },
		extensions: [][]string{
			{"spec", "git", "commit", "batch"},
			{"spec", "git", "commit", "per"},
			{"status", "lastPushBase"},
			{"status", "pendingPush"},
			{"status", "markers"},
			{"status", "held"},
			{"spec", "git", "push", "pullRequest"},
			{"status", "pullRequest"},
			{"status", "declined"},
			{"status", "lastHandledResume"},
		},
	},
	"Canary": {
		upstream: func() any { return &flaggerup.Canary{} },
		ours:     func() any { return &flaggerv1.Canary{} },
		extensions: [][]string{
			{"spec", "analysis", "sampling"},
			{"spec", "analysis", "judge"},
			{"status", "judge"},
			{"status", "webhooks"},
			{"spec", "httpRouteRef"},
			{"spec", "service", "routeKind"},
			{"status", "observedGeneration"},
			{"status", "lastHandledReconcileAt"},
			{"status", "history"},
			{"status", "appliedRevision"}, {"status", "provider"}, {"status", "routing"}, {"status", "target"}, {"status", "fallback"},
			{"status", "promotedRevision"},
			{"status", "hold"},
			{"status", "lastCommand"},
			{"status", "conditions", "*", "observedGeneration"},
			// Newer Gateway API than the one that Flagger carries.
			{"spec", "service", "mirror", "*", "percent"},
			{"spec", "service", "mirror", "*", "fraction"},
		},
	},
	"MetricTemplate": {
		upstream: func() any { return &flaggerup.MetricTemplate{} },
		ours:     func() any { return &flaggerv1.MetricTemplate{} },
		extensions: [][]string{
			{"spec", "provider", "jsonPath"},
			{"spec", "counters"},
			{"status", "conditions", "*", "observedGeneration"},
		},
	},
	"Provider": {
		upstream:   func() any { return &notificationup.Provider{} },
		ours:       func() any { return &v1beta3.Provider{} },
		extensions: [][]string{{"status"}},
	},
	"Alert": {
		upstream:   func() any { return &notificationup.Alert{} },
		ours:       func() any { return &v1beta3.Alert{} },
		extensions: [][]string{{"status"}},
	},
	"AlertProvider": {
		upstream:   func() any { return &flaggerup.AlertProvider{} },
		ours:       func() any { return &flaggerv1.AlertProvider{} },
		extensions: [][]string{{"status", "conditions", "*", "observedGeneration"}},
	},
}

func TestWhatUpstreamWritesWeGiveBackUnharmed(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		kind := kinds[name]
		t.Run(name, func(t *testing.T) {
			fill := filler()
			for range objects {
				from := kind.upstream()
				fill.Fill(from)
				want := document(t, from)
				got := document(t, strict(t, encode(t, want), kind.ours()))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("upstream -> ours -> JSON (-upstream +ours):\n%s", diff)
				}
			}
		})
	}
}

func TestWhatWeWriteUpstreamReads(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		kind := kinds[name]
		t.Run(name, func(t *testing.T) {
			fill := filler()
			for range objects {
				from := kind.ours()
				fill.Fill(from)
				want := document(t, from)
				for _, path := range kind.extensions {
					remove(want, path)
				}
				got := document(t, strict(t, encode(t, want), kind.upstream()))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("ours -> upstream -> JSON (-ours +upstream):\n%s", diff)
				}
			}
		})
	}
}

// filler makes random objects: deterministic, so that a failure repeats.
func filler() *randfill.Filler {
	return randfill.New().RandSource(rand.NewSource(1)).NilChance(0.3).NumElements(1, 3).Funcs(fillers...)
}

// encode returns the JSON of a document.
func encode(t *testing.T, doc any) []byte {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatalf("encoding: %v", err)
	}
	return raw
}

// strict decodes as the API server's strict validation does: an unknown or
// duplicate field is an error.
func strict(t *testing.T, raw []byte, into any) any {
	t.Helper()
	strictErrs, err := kjson.UnmarshalStrict(raw, into)
	if err != nil {
		t.Fatalf("decoding %s: %v", raw, err)
	}
	for _, err := range strictErrs {
		t.Errorf("decoding %T: %v", into, err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return into
}

// document encodes and decodes into plain values, without nulls: to every
// client of the API, null and absent are the same.
func document(t *testing.T, object any) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := utiljson.Unmarshal(encode(t, object), &doc); err != nil {
		t.Fatalf("decoding: %v", err)
	}
	dropNulls(doc)
	return doc
}

func dropNulls(value any) {
	switch value := value.(type) {
	case map[string]any:
		maps.DeleteFunc(value, func(_ string, v any) bool { return v == nil })
		for _, v := range value {
			dropNulls(v)
		}
	case []any:
		for _, v := range value {
			dropNulls(v)
		}
	}
}

// remove deletes the field at the path; * stands for every element.
func remove(value any, path []string) {
	switch value := value.(type) {
	case map[string]any:
		if len(path) == 1 {
			delete(value, path[0])
			return
		}
		remove(value[path[0]], path[1:])
	case []any:
		for _, v := range value {
			remove(v, path[1:])
		}
	}
}
