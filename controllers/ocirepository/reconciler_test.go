// SPDX-License-Identifier: Apache-2.0

package ocirepository

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/registry/registrytest"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/sourcetest"
)

func TestAnArtifactIsPublishedAsItsTagMoves(t *testing.T) {
	f := setup(t)
	first := f.pushFiles("latest", map[string]string{"app.yaml": "n: 1\n", "logo.png": "x", "link.yaml": "->app.yaml"})
	result := f.must()
	revision := "latest@" + first
	if want := "stored artifact for digest '" + revision + "'"; result.Message != want || result.Reason != meta.SucceededReason {
		t.Errorf("it says %s: %s", result.Reason, result.Message)
	}
	artifact := f.obj.Status.Artifact
	if artifact.Revision != revision || artifact.Path != "ocirepository/apps/app/"+first+".tar.gz" {
		t.Errorf("artifact %+v", artifact)
	}
	if f.obj.Status.URL != artifact.URL || artifact.URL != "http://store.example.com/"+artifact.Path {
		t.Errorf("URL %q of %q", f.obj.Status.URL, artifact.URL)
	}
	if diff := cmp.Diff(map[string]string{"app.yaml": "n: 1\n"}, f.files()); diff != "" {
		t.Errorf("pictures and symlinks are left out (-want +got):\n%s", diff)
	}
	if len(result.Events) != 1 || result.Events[0].Reason != "NewArtifact" ||
		result.Events[0].Message != "stored artifact with revision '"+revision+"' from '"+f.obj.Spec.URL+"'" {
		t.Errorf("events %+v", result.Events)
	}
	if !apimeta.IsStatusConditionTrue(f.obj.Status.Conditions, sourcev1.ArtifactInStorageCondition) {
		t.Error("ArtifactInStorage is not True")
	}
	second := f.pushFiles("latest", map[string]string{"app.yaml": "n: 2\n"})
	f.must()
	if got := f.obj.Status.Artifact.Revision; got != "latest@"+second {
		t.Errorf("after the tag moved: %s", got)
	}
}

func TestASteadyLookIsOneRequest(t *testing.T) {
	head := "HEAD /v2/" + repository + "/manifests/latest"
	tests := map[string]struct {
		ref  func(digest string) *sourcev1.OCIRepositoryRef
		want []string
	}{
		"of a tag":    {func(string) *sourcev1.OCIRepositoryRef { return nil }, []string{head}},
		"of a digest": {func(d string) *sourcev1.OCIRepositoryRef { return &sourcev1.OCIRepositoryRef{Digest: d, Tag: "other"} }, nil},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			f := setup(t)
			digest := f.pushFiles("latest", map[string]string{"app.yaml": "n: 1\n"})
			f.obj.Spec.Reference = tc.ref(digest)
			f.must()
			f.upstream.Asked()
			before := f.obj.DeepCopy()
			for range 3 {
				f.must()
				if diff := cmp.Diff(tc.want, f.upstream.Asked()); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(before, f.obj); diff != "" {
				t.Errorf("it writes (-before +after):\n%s", diff)
			}
		})
	}
}

func TestARestartPullsNothingAgain(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"app.yaml": "n: 1\n"})
	f.must()
	f.upstream.Asked()
	f.restart()
	f.must()
	for _, request := range f.upstream.Asked() {
		if strings.Contains(request, "GET") && request != "GET /v2/" {
			t.Errorf("asked: %s", request)
		}
	}
	if diff := cmp.Diff(map[string]string{"app.yaml": "n: 1\n"}, f.files()); diff != "" {
		t.Error(diff)
	}
	if err := os.RemoveAll(filepath.Join(f.dir, "ocirepository")); err != nil {
		t.Fatal(err)
	}
	f.restart()
	f.must()
	if diff := cmp.Diff(map[string]string{"app.yaml": "n: 1\n"}, f.files()); diff != "" {
		t.Errorf("what is lost is not pulled again: %s", diff)
	}
}

func TestWhatIsFollowed(t *testing.T) {
	f := setup(t)
	digests := map[string]string{}
	for _, tag := range []string{"latest", "1.0.0", "1.1.0-rc.1", "1.1.0", "2.0.0", "1.2.0_build", "nightly"} {
		digests[tag] = f.pushFiles(tag, map[string]string{"tag": tag})
	}
	tests := map[string]struct {
		ref   *sourcev1.OCIRepositoryRef
		layer string
		want  string
	}{
		"nothing is latest": {want: "latest@" + digests["latest"]},
		"a tag":             {ref: &sourcev1.OCIRepositoryRef{Tag: "nightly"}, want: "nightly@" + digests["nightly"]},
		"semver before tag": {ref: &sourcev1.OCIRepositoryRef{Tag: "nightly", SemVer: "1.x"}, want: "1.1.0@" + digests["1.1.0"]},
		"a filter comes before semver": {
			ref: &sourcev1.OCIRepositoryRef{SemVer: ">=1.0.0-0", SemverFilter: ".*-rc.*"}, want: "1.1.0-rc.1@" + digests["1.1.0-rc.1"]},
		"charts spell + as _": {
			ref: &sourcev1.OCIRepositoryRef{SemVer: "1.x"}, layer: chartLayer, want: "1.2.0_build@" + digests["1.2.0_build"]},
		"a digest before all": {
			ref: &sourcev1.OCIRepositoryRef{SemVer: "1.x", Tag: "nightly", Digest: digests["2.0.0"]}, want: digests["2.0.0"]},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			f.obj.Spec.Reference = tc.ref
			f.obj.Spec.LayerSelector = nil
			if tc.layer != "" {
				f.obj.Spec.LayerSelector = &sourcev1.OCILayerSelector{MediaType: tc.layer}
			}
			wanted, err := f.parse(f.obj)
			if err != nil {
				t.Fatal(err)
			}
			seen, err := f.observe(t.Context(), f.obj, wanted)
			if err != nil {
				t.Fatal(err)
			}
			if got := seen.revision(); got != tc.want {
				t.Errorf("followed %s, want %s", got, tc.want)
			}
		})
	}
}

func TestSourcesOfOneRepositoryShareItsTags(t *testing.T) {
	f := setup(t)
	f.pushFiles("1.0.0", map[string]string{"app.yaml": "n: 1\n"})
	f.obj.Spec.Reference = &sourcev1.OCIRepositoryRef{SemVer: "1.x"}
	f.must()
	f.upstream.Asked()
	for _, name := range []string{"one", "two", "three"} {
		other := f.obj.DeepCopy()
		other.Name, other.Status.ObservedGeneration = name, other.Generation
		apimeta.SetStatusCondition(&other.Status.Conditions, *readyCondition())
		f.obj = other
		f.must()
	}
	for _, request := range f.upstream.Asked() {
		if strings.HasSuffix(request, "/tags/list") {
			t.Errorf("asked: %s", request)
		}
	}
	f.obj.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "now"}
	f.must()
	if asked := strings.Join(f.upstream.Asked(), "\n"); !strings.Contains(asked, "/tags/list") {
		t.Errorf("a request is answered from what is known: %s", asked)
	}
}

func TestLayersAreSelectedAndCopied(t *testing.T) {
	f := setup(t)
	chart := archive(t, map[string]string{"app/Chart.yaml": "name: app\n"})
	f.push("latest", nil, layer(contentLayer, archive(t, map[string]string{"a.yaml": "a"})), layer(chartLayer, chart))
	f.must()
	if diff := cmp.Diff(map[string]string{"a.yaml": "a"}, f.files()); diff != "" {
		t.Error(diff)
	}
	f.obj.Spec.LayerSelector = &sourcev1.OCILayerSelector{MediaType: chartLayer, Operation: sourcev1.OCILayerCopy}
	f.must()
	artifact := f.obj.Status.Artifact
	if artifact.Digest != digest.FromBytes(chart).String() || !strings.HasSuffix(artifact.Path, ".tgz") ||
		*artifact.Size != int64(len(chart)) {
		t.Errorf("the copy is not what was pushed: %+v", artifact)
	}
	if diff := cmp.Diff(f.obj.Spec.LayerSelector, f.obj.Status.ObservedLayerSelector); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"app/Chart.yaml": "name: app\n"}, f.files()); diff != "" {
		t.Error(diff)
	}
	f.obj.Spec.LayerSelector.Operation = sourcev1.OCILayerExtract
	f.must()
	if !strings.HasSuffix(f.obj.Status.Artifact.Path, ".tar.gz") {
		t.Errorf("it is still a copy: %s", f.obj.Status.Artifact.Path)
	}
	f.obj.Spec.LayerSelector.MediaType = "application/wasm"
	f.fails(sourcev1.OCILayerOperationFailedReason, "failed to find layer with media type 'application/wasm' in artifact")
	if f.obj.Status.Artifact == nil {
		t.Error("the artifact is gone")
	}
}

func TestIgnoreRulesAndOriginsAreInTheStatus(t *testing.T) {
	f := setup(t)
	about := map[string]string{
		sourceAnnotation: "https://git.example.com/app", revisionAnnotation: "main@sha1:1234", createdAnnotation: "2026-05-01T12:00:00Z",
	}
	f.push("latest", about, layer(contentLayer, archive(t, map[string]string{"a.yaml": "a", "b.yaml": "b"})))
	f.obj.Spec.Ignore = ptr.To("b.yaml")
	result := f.must()
	if diff := cmp.Diff(map[string]string{"a.yaml": "a"}, f.files()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(about, f.obj.Status.Artifact.Metadata); diff != "" {
		t.Error(diff)
	}
	const want = ", origin source 'https://git.example.com/app', origin revision 'main@sha1:1234'"
	if !strings.HasSuffix(result.Events[0].Message, want) {
		t.Errorf("the event says %s", result.Events[0].Message)
	}
	about["long"] = strings.Repeat("x", maxMetadata)
	if kept := metadataOf(about); len(kept) != 3 || kept[revisionAnnotation] != "main@sha1:1234" {
		t.Errorf("of long annotations these are kept: %v", kept)
	}
}

func TestASpecThatCannotWorkStalls(t *testing.T) {
	tests := map[string]struct {
		change       func(*sourcev1.OCIRepositorySpec)
		reason, text string
	}{
		"a URL of another scheme": {
			func(s *sourcev1.OCIRepositorySpec) { s.URL = "https://registry.example.com/app" }, sourcev1.URLInvalidReason, "must begin with oci://"},
		"a tag in the URL": {
			func(s *sourcev1.OCIRepositorySpec) { s.URL = "oci://registry.example.com/app:1" }, sourcev1.URLInvalidReason, "remove ':1'"},
		"no repository": {func(s *sourcev1.OCIRepositorySpec) { s.URL = "oci://registry.example.com/A" }, sourcev1.URLInvalidReason, "spec.url"},
		"a digest that is none": {
			func(s *sourcev1.OCIRepositorySpec) { s.Reference = &sourcev1.OCIRepositoryRef{Digest: "sha256:12"} },
			sourcev1.ReadOperationFailedReason, "spec.ref.digest"},
		"a tag that is none": {
			func(s *sourcev1.OCIRepositorySpec) { s.Reference = &sourcev1.OCIRepositoryRef{Tag: "a b"} },
			sourcev1.ReadOperationFailedReason, "spec.ref.tag"},
		"a range that is none": {
			func(s *sourcev1.OCIRepositorySpec) { s.Reference = &sourcev1.OCIRepositoryRef{SemVer: "one"} },
			sourcev1.ReadOperationFailedReason, "spec.ref.semver: improper constraint: \"one\": write a range such as 1.x, ~1.4 or >=1.0.0 <2.0.0"},
		"a filter that is none": {
			func(s *sourcev1.OCIRepositorySpec) {
				s.Reference = &sourcev1.OCIRepositoryRef{SemVer: "1.x", SemverFilter: "("}
			},
			sourcev1.ReadOperationFailedReason, "semverFilter"},
		"an account without the feature gate": {
			func(s *sourcev1.OCIRepositorySpec) { s.Provider, s.ServiceAccountName = "aws", "app" },
			meta.FeatureGateDisabledReason, "ObjectLevelWorkloadIdentity"},
		"an identity for a host that is not the cloud's": {
			func(s *sourcev1.OCIRepositorySpec) { s.URL, s.Provider = "oci://registry.example.com/app", "azure" },
			sourcev1.InvalidProviderConfigurationReason, "spec.provider"},
		"ignore rules beyond the limits": {
			func(s *sourcev1.OCIRepositorySpec) { s.Ignore = ptr.To(strings.Repeat("x\n", 40000)) },
			sourcev1.ArchiveOperationFailedReason, "ignore rules"},
	}
	for title, tc := range tests {
		t.Run(title, func(t *testing.T) {
			f := setup(t)
			f.objects = append(f.objects, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "app"}})
			f.restart()
			tc.change(&f.obj.Spec)
			if err := f.failure(tc.reason, tc.text); !errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("%v is retried", err)
			}
			if asked := f.upstream.Asked(); len(asked) != 0 {
				t.Errorf("asked: %v", asked)
			}
		})
	}
}

func TestAFileThatSomebodyChangedIsMadeAnewAndTold(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"a.yaml": "a"})
	f.must()
	file := filepath.Join(f.dir, filepath.FromSlash(f.obj.Status.Artifact.Path))
	if err := os.Truncate(file, 1); err != nil {
		t.Fatal(err)
	}
	f.restart()
	told := f.must().Events
	if len(told) != 1 || told[0].Reason != "ArtifactVerificationFailed" {
		t.Errorf("told %+v", told)
	}
	if files := f.files(); files["a.yaml"] != "a" {
		t.Errorf("files %v", files)
	}
	if told := f.must().Events; len(told) != 0 {
		t.Errorf("told again: %+v", told)
	}
}

// The feature gate was asked for, though nobody needs the identity of a cloud.
func TestPullSecretsOfAServiceAccountComeBeforeTheProvider(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"a.yaml": "a"})
	account := &corev1.ServiceAccount{
		ObjectMeta:       metav1.ObjectMeta{Namespace: namespace, Name: "app"},
		ImagePullSecrets: []corev1.LocalObjectReference{{Name: "pull"}},
	}
	f.objects = append(f.objects, account)
	f.restart()
	f.obj.Spec.Provider, f.obj.Spec.ServiceAccountName = "aws", "app"
	f.fails(sourcev1.AuthenticationFailedReason, `"pull" not found`)
	f.objects = append(f.objects, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "pull"},
		Data:       map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": {"` + f.host + `": {"username": "a", "password": "b"}}}`)},
	})
	f.restart()
	f.must()
}

func TestWhatARegistryRefuses(t *testing.T) {
	f := setup(t)
	f.fails(sourcev1.OCIPullFailedReason, "failed to determine artifact digest")
	f.pushFiles("latest", map[string]string{"a.yaml": "a"})
	f.obj.Spec.Reference = &sourcev1.OCIRepositoryRef{SemVer: "1.x"}
	f.fails(sourcev1.ReadOperationFailedReason, "no match found for semver: 1.x")
	f.obj.Spec.Reference = nil
	f.upstream.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	f.fails(sourcev1.OCIPullFailedReason, "set spec.secretRef")
	got := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.FetchFailedCondition)
	if got == nil || got.Reason != sourcev1.OCIPullFailedReason {
		t.Errorf("FetchFailed is %+v", got)
	}
	f.obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "missing"}
	f.fails(sourcev1.AuthenticationFailedReason, "spec.secretRef")
	f.upstream.Answer(nil)
	f.objects = append(f.objects, registrytest.DockerConfig("missing", f.host, "ann", "pw"))
	f.restart()
	f.must()
	if apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.FetchFailedCondition) != nil {
		t.Error("FetchFailed stays")
	}
}

func TestTimeoutsAndIntervals(t *testing.T) {
	obj := &sourcev1.OCIRepository{}
	if got := source.Timeout(obj.Spec.Timeout); got != time.Minute {
		t.Errorf("unset: %s", got)
	}
}

// What Flux's controller had begun, or had failed at, stayed beside Ready for ever.
func TestConditionsOfFluxGoOnceTheArtifactIsThere(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"a.yaml": "a: 1"})
	for range 2 { // an artifact that is new, and one that is there
		sourcetest.TakenOver(f.obj)
		f.must()
		sourcetest.CheckNoFailures(t, f.obj)
	}
}

// Alerts were told of a new artifact when Sluice took over, although it was the same image.
func TestTheArtifactOfAnotherControllerIsNoNews(t *testing.T) {
	f := setup(t)
	f.pushFiles("latest", map[string]string{"app.yaml": "n: 1\n"})
	f.must()
	f.obj.Status.Artifact.Digest = "sha256:" + strings.Repeat("0", 64) // archived otherwise
	f.obj.Status.Artifact.URL = "http://source-controller.flux-system.svc.cluster.local./" + f.obj.Status.Artifact.Path
	if result := f.must(); len(result.Events) != 0 || !f.Publisher.Store.Holds(f.obj.Status.Artifact) {
		t.Errorf("events are %v, the artifact is %+v", result.Events, f.obj.Status.Artifact)
	}
}
