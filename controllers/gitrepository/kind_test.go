// SPDX-License-Identifier: Apache-2.0

package gitrepository

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/test/make"
)

func TestWhatIsAskedOfAGitRepository(t *testing.T) {
	k := kind()
	obj := make.GitRepository("apps", "app", func(r *sourcev1.GitRepository) { r.Spec.URL = "https://git.example.com/app" })
	if k.Suspended(obj) {
		t.Error("it is suspended")
	}
	obj.Spec.Suspend = true
	if !k.Suspended(obj) {
		t.Error("spec.suspend is not seen")
	}
	seen := k.Observed(obj)
	*seen.Generation, *seen.HandledAt = 7, "now"
	if obj.Status.ObservedGeneration != 7 || obj.Status.LastHandledReconcileAt != "now" {
		t.Errorf("status is %+v", obj.Status)
	}
	if host := k.Host(t.Context(), obj); !strings.Contains(host, "git.example.com") {
		t.Errorf("it waits for %q", host)
	}
	if about := k.About(obj); about != nil {
		t.Errorf("without an artifact events have %v", about)
	}
	obj.Status.Artifact = &meta.Artifact{Revision: "main@sha1:1", Digest: "sha256:2"}
	want := map[string]string{"source.toolkit.fluxcd.io/revision": "main@sha1:1", "source.toolkit.fluxcd.io/digest": "sha256:2"}
	if diff := cmp.Diff(want, k.About(obj)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&sourcev1.GitRepository{}, k.New()); diff != "" {
		t.Error(diff)
	}
}

func TestTheSecretsThatASourceIsReachedWith(t *testing.T) {
	obj := &sourcev1.GitRepository{}
	if names := secretsOf(obj); len(names) != 0 {
		t.Errorf("without any: %v", names)
	}
	obj.Spec.SecretRef, obj.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "token"}, &meta.LocalObjectReference{Name: "proxy"}
	if diff := cmp.Diff([]string{"token", "proxy"}, secretsOf(obj)); diff != "" {
		t.Error(diff)
	}
}

func TestTimeoutsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct{ timeout, want time.Duration }{
		"none is a minute":           {0, time.Minute},
		"one of no time is a minute": {-time.Second, time.Minute},
		"one of its own":             {5 * time.Second, 5 * time.Second},
		"one of days is an hour":     {48 * time.Hour, time.Hour},
	} {
		obj := &sourcev1.GitRepository{}
		obj.Spec.Timeout = &metav1.Duration{Duration: tc.timeout}
		if got := source.Timeout(obj.Spec.Timeout); got != tc.want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := source.Timeout(nil); got != time.Minute {
		t.Errorf("unset: %s", got)
	}
}

func TestTheSubjectOfACommitIsOneShortLine(t *testing.T) {
	full := strings.Repeat("\u00fc", maxSubject)
	for name, tc := range map[string]struct{ message, want string }{
		"a line":               {"Bump app\n", "Bump app"},
		"the first of several": {"\nBump app\n\nbecause", "Bump app"},
		"as long as it may be": {full, full},
		"longer than that":     {full + "x", full[:2*(maxSubject-3)] + "..."},
	} {
		if got := subject(tc.message); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAnErrorOfNoKindIsAFailure(t *testing.T) {
	if reason := reconciler.ReasonOf(errors.New("x"), (*Reconciler)(nil).Reason); reason != meta.FailedReason {
		t.Errorf("the reason is %q", reason)
	}
}
