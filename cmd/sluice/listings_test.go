// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/command"
	"github.com/sluice-cd/sluice/test/make"
)

// listed is a list as an API server sends it.
func listed(version, kind string, items ...any) map[string]any {
	return map[string]any{"apiVersion": version, "kind": kind + "List", "metadata": map[string]any{}, "items": items}
}

func images(t *testing.T) string {
	t.Helper()
	v := imagev1.GroupVersion.String()
	at := metav1.ObjectMeta{Namespace: "apps", Name: "app"}
	policy := imagev1.ImagePolicy{TypeMeta: metav1.TypeMeta{APIVersion: v, Kind: "ImagePolicy"}, ObjectMeta: at}
	policy.Status.LatestRef = &imagev1.ImageRef{Name: "ghcr.io/acme/app", Tag: "1.1.0"}
	automation := imagev1.ImageUpdateAutomation{TypeMeta: metav1.TypeMeta{APIVersion: v, Kind: "ImageUpdateAutomation"}, ObjectMeta: at}
	automation.Name = "fleet"
	automation.Spec.SourceRef.Kind, automation.Spec.SourceRef.Name = "GitRepository", "repo"
	automation.Status.ObservedPolicies = imagev1.ObservedPolicies{"app": {Name: "ghcr.io/acme/app", Tag: "1.0.0"}}
	automation.Status.LastPushCommit = "c0ffee1234"
	automation.Status.Markers = &imagev1.MarkerCounts{Total: 5, Current: 2, Held: 1, Skipped: []imagev1.SkippedMarkers{{Count: 1}, {Count: 1}}}
	root := "/apis/" + v + "/"
	objects := command.Group(imagev1.GroupVersion.Group, "v1", map[string]string{
		"ImagePolicy": "imagepolicies", "ImageUpdateAutomation": "imageupdateautomations", "ImageRepository": "imagerepositories"})
	for _, in := range []string{"", "namespaces/apps/"} {
		maps.Copy(objects, map[string]any{
			root + in + "imagepolicies":          listed(v, "ImagePolicy", policy),
			root + in + "imageupdateautomations": listed(v, "ImageUpdateAutomation", automation),
			root + in + "imagerepositories":      listed(v, "ImageRepository"),
		})
	}
	objects[root+"namespaces/apps/imageupdateautomations/fleet"] = automation
	url, _ := command.APIServer(t, objects)
	return url
}

func canaries(t *testing.T) string {
	t.Helper()
	v := flaggerv1.GroupVersion.String()
	c := make.Release(time.Now(), func(c *flaggerv1.Canary) {
		c.TypeMeta = metav1.TypeMeta{APIVersion: v, Kind: "Canary"}
		c.Status.LastTransitionTime = metav1.NewTime(time.Now().Add(-20*time.Minute - 30*time.Second)) // seconds are not shown
	})
	objects := command.Group(flaggerv1.GroupVersion.Group, "v1beta1", map[string]string{"Canary": "canaries"})
	for _, in := range []string{"", "namespaces/apps/"} {
		objects["/apis/"+v+"/"+in+"canaries"] = listed(v, "Canary", c)
	}
	objects["/apis/"+v+"/namespaces/empty/canaries"] = listed(v, "Canary")
	objects["/apis/"+v+"/namespaces/apps/canaries/podinfo"] = c
	url, _ := command.APIServer(t, objects)
	return url
}

func pipelines(t *testing.T) string {
	t.Helper()
	v, now := sluicev1.GroupVersion.String(), time.Now()
	p := make.Pipeline(now)
	f := sluicev1.Freeze{TypeMeta: metav1.TypeMeta{APIVersion: v, Kind: "Freeze"}, ObjectMeta: metav1.ObjectMeta{Name: "fair"}}
	f.Spec.Reason = "the fair"
	f.Status = sluicev1.FreezeStatus{Active: true, Window: "days", Pipelines: 3, NextChange: &metav1.Time{Time: now.Add(49 * time.Hour)}}
	root := "/apis/" + v + "/"
	objects := command.Group(sluicev1.GroupVersion.Group, "v1alpha1", map[string]string{"Pipeline": "pipelines", "Freeze": "freezes"})
	for _, in := range []string{"", "namespaces/apps/"} {
		objects[root+in+"pipelines"] = listed(v, "Pipeline", p)
	}
	objects[root+"namespaces/apps/pipelines/shop"] = p
	objects[root+"freezes"] = listed(v, "Freeze", f)
	url, _ := command.APIServer(t, objects)
	return url
}

func TestListings(t *testing.T) {
	imageServer, canaryServer, pipelineServer := images(t), canaries(t), pipelines(t)
	tests := map[string]struct {
		server, line, want string
	}{
		"images": {imageServer, "get images -n apps", `
POLICY   IMAGE              TAGS   BEST   CHOSEN   WRITTEN   COMMIT    READY     MESSAGE
app      ghcr.io/acme/app   0      -      1.1.0    1.0.0     c0ffee1   Unknown   -
`},
		"images of all namespaces": {imageServer, "get images -A", `
NAMESPACE   POLICY   IMAGE              TAGS   BEST   CHOSEN   WRITTEN   COMMIT    READY     MESSAGE
apps        app      ghcr.io/acme/app   0      -      1.1.0    1.0.0     c0ffee1   Unknown   -
`},
		"images, wide": {imageServer, "get images -n apps -o wide", `
POLICY   IMAGE              TAGS   BEST   CHOSEN   WRITTEN   COMMIT    READY     LAST SCAN   AUTOMATION   DIGEST   MESSAGE
app      ghcr.io/acme/app   0      -      1.1.0    1.0.0     c0ffee1   Unknown   -           fleet        -        -
`},
		"images by name": {imageServer, "get images -n apps -o name", "\nimagepolicy.image.toolkit.fluxcd.io/app\n"},
		"images as YAML": {imageServer, "get images -n apps -o yaml", `
items:
- automation: fleet
  chosen: 1.1.0
  commit: c0ffee1234
  image: ghcr.io/acme/app
  namespace: apps
  policy: app
  ready: Unknown
  tags: 0
  written: 1.0.0
`},
		"automations": {imageServer, "get automations -n apps", `
NAME    MARKERS   CURRENT   HELD   SKIPPED   COMMIT    READY     SUSPENDED   MESSAGE
fleet   5         2         1      2         c0ffee1   Unknown   false       -
`},
		"automations by name": {imageServer, "get automations -A -o name", "\nimageupdateautomation.image.toolkit.fluxcd.io/fleet\n"},
		"canaries": {canaryServer, "get canaries -A", `
NAMESPACE   NAME      PHASE         WEIGHT   IMAGE              STEP   FAILED   HOLD   SINCE   READY     MESSAGE
apps        podinfo   Progressing   40       podinfo:6.1.0 +1   2/3    1/3      -      20m     Unknown   step 2 of 3
`},
		"a canary by the name of its command": {canaryServer, "canary get podinfo -n apps -o name", "\ncanary.flagger.app/podinfo\n"},
		"no canaries as JSON":                 {canaryServer, "canary get -n empty -o json", "\n{\n  \"items\": []\n}\n"},
		"pipelines": {pipelineServer, "get pl -A", `
NAMESPACE   NAME   NEWEST         STAGES                   WAITING                QUARANTINED   READY   MESSAGE
apps        shop   api 2, web 2   staging=2 production=1   production: Approval   0             True    all is done
`},
		"a pipeline by the name of its command": {pipelineServer, "pipeline get shop -n apps -o name", "\npipeline.sluice.dev/shop\n"},
		"what a pipeline got": {pipelineServer, "pipeline history shop production -n apps", `
AGO   STAGE        BUNDLE                        KIND        COMMIT    BY       VERDICT    REASON
19h   production   api 1, web 1 (c8a06c053bbc)   Promotion   c0ffee0   Sluice   Verified   -
`},
		"freezes": {pipelineServer, "get freezes", `
NAME   ACTIVE   WINDOW   CHANGES IN   PIPELINES   STAGES   REASON     READY
fair   true     days     2d           3           all      the fair   Unknown
`},
		"no canaries by name": {canaryServer, "canary get -n empty -o name", "\n"},
	}
	t.Setenv("KUBECONFIG", "/nonexistent")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			args := append(strings.Fields(tc.line), "--server", tc.server)
			r := command.Must(t, newRoot("sluice"), "", args...)
			if diff := cmp.Diff(tc.want, "\n"+r.Out); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if empty := strings.Contains(tc.line, "empty -o name"); empty != strings.Contains(r.Errors, "nothing found; -A lists all namespaces") {
				t.Errorf("standard error: %q", r.Errors)
			}
		})
	}
}

func TestWhatIsMissingIsSaidInTermsOfWhatToType(t *testing.T) {
	imageServer, canaryServer := images(t), canaries(t)
	tests := map[string]struct{ server, line, want string }{
		"an object that is not there": {canaryServer, "canary get other -n apps",
			"there is no Canary other in namespace apps: list them with kubectl get canary -A, choose a namespace with -n"},
		"a kind that is not installed": {
			imageServer, "canary get podinfo -n apps", "the cluster does not serve Canary: install the CRDs of config/crd",
		},
		"a command that makes no sense": {canaryServer, "canary retry podinfo -n apps",
			"there is nothing to retry: apps/podinfo has not failed; it is Progressing"},
	}
	t.Setenv("KUBECONFIG", "/nonexistent")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := command.Run(t, newRoot("sluice"), "", append(strings.Fields(tc.line), "--server", tc.server)...)
			if r.Err == nil || r.Err.Error() != tc.want {
				t.Errorf("got %v, want %q", r.Err, tc.want)
			}
		})
	}
}

func TestReleaseReleasesWhatIsHeld(t *testing.T) {
	v := imagev1.GroupVersion.String()
	automation := imagev1.ImageUpdateAutomation{
		TypeMeta: metav1.TypeMeta{APIVersion: v, Kind: "ImageUpdateAutomation"}, ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "fleet"}}
	automation.Spec.Suspend = true
	automation.Status.Held = []imagev1.HeldUpdate{{Policy: "app", Ref: imagev1.ImageRef{Name: "x", Tag: "2"}}}
	objects := command.Group(imagev1.GroupVersion.Group, "v1", map[string]string{"ImageUpdateAutomation": "imageupdateautomations"})
	const path = "/namespaces/apps/imageupdateautomations/fleet"
	objects["/apis/"+v+path] = automation
	server, requests := command.APIServer(t, objects)
	t.Setenv("KUBECONFIG", "/nonexistent")
	r := command.Must(t, newRoot("sluice"), "", "release", "automation", "fleet", "-n", "apps", "--server", server)
	patch := "PATCH /apis/" + v + path + ` {"metadata":{"annotations":{"` + imagev1.ResumeAnnotation + `":"2`
	if len(*requests) != 1 || !strings.HasPrefix((*requests)[0], patch) {
		t.Errorf("requests: %q", *requests)
	}
	if want := "released x:2 of policy app\nit is suspended: nothing is written before sluice resume automation fleet\n"; r.Errors != want {
		t.Errorf("said %q, want %q", r.Errors, want)
	}
}
