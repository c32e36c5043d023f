package chain

import (
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	fluxmeta "github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

func TestNarratorTellsOnlyNews(t *testing.T) {
	scanned := func(tags ...string) client.Object {
		r := &imagev1.ImageRepository{}
		r.Spec.Image = "registry/app"
		r.Status.LastScanResult = &imagev1.ScanResult{TagCount: len(tags), LatestTags: tags}
		return r
	}
	chosen := func(tag string) client.Object {
		p := &imagev1.ImagePolicy{}
		p.Spec.Policy.SemVer = &imagev1.SemVerPolicy{Range: "1.x"}
		p.Status.LatestRef = &imagev1.ImageRef{Tag: tag}
		p.Status.Conditions = []metav1.Condition{{Type: "Ready", Message: "highest in range"}}
		return p
	}
	fetched := &sourcev1.GitRepository{}
	fetched.Status.Artifact = &fluxmeta.Artifact{Revision: "main@sha1:0123456789abcdef"}
	applied := &kustomizev1.Kustomization{}
	applied.Status.LastAppliedRevision = "main@sha1:0123456789abcdef"
	event := func(kind, eventType, message string) client.Object {
		e := &corev1.Event{Message: message, Type: eventType}
		e.InvolvedObject.Kind = kind
		return e
	}
	cases := map[string]struct {
		before []client.Object
		now    client.Object
		want   *Entry
	}{
		"a first scan tells all tags":        {nil, scanned("1.1.0", "1.0.0"), &Entry{Hop: Seen, Text: "1.1.0, 1.0.0, one of 2 tags of registry/app", Weight: -1}},
		"a scan tells only new tags":         {[]client.Object{scanned("1.0.0")}, scanned("1.1.0", "1.0.0"), &Entry{Hop: Seen, Text: "1.1.0, one of 2 tags of registry/app", Weight: -1}},
		"a scan without new tags is no news": {[]client.Object{scanned("1.0.0")}, scanned("1.0.0"), nil},
		"a choice comes with its reason":     {[]client.Object{chosen("1.0.0")}, chosen("1.1.0"), &Entry{Hop: Chosen, Text: "1.1.0 by semver 1.x", Detail: []string{"highest in range"}, Weight: -1}},
		"a policy without choice is no news": {nil, &imagev1.ImagePolicy{}, nil},
		"a commit is shortened":              {nil, fetched, &Entry{Hop: Fetched, Text: "main@sha1:0123456789", Weight: -1}},
		"the same revision is no news":       {[]client.Object{applied}, applied, nil},
		"a step has its weight":              {nil, event("Canary", "Normal", "Advance app.staging canary weight 40"), &Entry{Hop: Analysed, Text: "Advance app.staging canary weight 40", Weight: 40}},
		"a warning is marked":                {nil, event("Canary", "Warning", "Halt"), &Entry{Hop: Analysed, Text: "Halt", Weight: -1, Warning: true}},
		"the end is a verdict":               {nil, event("Canary", "Normal", "Promotion completed! Scaling down"), &Entry{Hop: Verdict, Text: "Promotion completed! Scaling down", Weight: -1}},
		"other objects' events are no news":  {nil, event("Pod", "Normal", "Pulled"), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := narrator{last: map[Hop]string{}, told: map[string]bool{}}
			for _, obj := range tc.before {
				n.entry(t.Context(), obj)
			}
			got, ok := n.entry(t.Context(), tc.now)
			if !ok {
				if tc.want != nil {
					t.Fatal("not told")
				}
				return
			}
			if diff := cmp.Diff(tc.want, &got); diff != "" {
				t.Errorf("entry (-want +got):\n%s", diff)
			}
		})
	}
}
