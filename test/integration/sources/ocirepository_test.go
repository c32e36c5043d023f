// SPDX-License-Identifier: Apache-2.0

package sources

import (
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-containerregistry/pkg/name"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// push pushes the manifest of a color as `flux push artifact` does, and returns the digest.
func (f *fixture) push(repository, tag, color string) string {
	f.t.Helper()
	image, err := harness.Manifests("deploy/app.yaml", f.manifest(color), "main@sha1:"+color)
	f.must(err)
	ref, err := name.NewTag(repository + ":" + tag)
	f.must(err)
	f.must(remote.Write(ref, image))
	digest, err := image.Digest()
	f.must(err)
	return digest.String()
}

func TestWhatIsPushedIsAppliedWithoutGit(t *testing.T) {
	f := newFixture(t)
	server := httptest.NewServer(fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/team/app"
	repo := make.OCIRepository(f.ns, "app", func(o *sourcev1.OCIRepository) {
		o.Spec.URL, o.Spec.Insecure = "oci://"+repository, true
		o.Spec.Reference = &sourcev1.OCIRepositoryRef{Tag: "staging"}
	})
	first := f.push(repository, "staging", "blue")
	f.must(f.Client.Create(t.Context(), repo))
	k := f.applies(sourcev1.OCIRepositoryKind, "app", "./deploy")
	applied := func(color, revision string) {
		t.Helper()
		f.has(color)
		harness.MustBecome(f.t, f.Client, k, "revision "+revision, func() bool { return k.Status.LastAppliedRevision == revision })
	}
	applied("blue", "staging@"+first)
	if k.Status.LastAppliedOriginRevision != "main@sha1:blue" {
		t.Errorf("the origin is %q", k.Status.LastAppliedOriginRevision)
	}
	second := f.push(repository, "staging", "green")
	f.request(sourcev1.OCIRepositoryKind, "app")
	applied("green", "staging@"+second)

	f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(repo), repo))
	repo.Spec.Reference = &sourcev1.OCIRepositoryRef{SemVer: ">=1"}
	f.must(f.Client.Update(t.Context(), repo))
	harness.MustBecome(f.t, f.Client, repo, "a failure", func() bool {
		ready := apimeta.FindStatusCondition(repo.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Reason == sourcev1.ReadOperationFailedReason && ready.Status == metav1.ConditionFalse
	})
	third := f.push(repository, "1.0.0", "red")
	f.request(sourcev1.OCIRepositoryKind, "app")
	applied("red", "1.0.0@"+third)

	// Whom to trust is looked at when the Secret changes, with no push and no request.
	key, keys := signaturetest.NewKey(t), signaturetest.NewKey(t).Secret(t, f.ns)
	key.Sign(t, repository, third)
	f.must(f.Client.Create(t.Context(), keys))
	f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(repo), repo))
	repo.Spec.Verify = &sourcev1.OCIRepositoryVerification{Provider: "cosign", SecretRef: &meta.LocalObjectReference{Name: keys.Name}}
	f.must(f.Client.Update(t.Context(), repo))
	verified := func(status metav1.ConditionStatus, reason string) {
		t.Helper()
		harness.MustBecome(f.t, f.Client, repo, "SourceVerified "+reason, func() bool {
			c := apimeta.FindStatusCondition(repo.Status.Conditions, sourcev1.SourceVerifiedCondition)
			return c != nil && c.Status == status && c.Reason == reason
		})
	}
	verified(metav1.ConditionFalse, sourcev1.VerificationError)
	keys.Data = key.Secret(t, f.ns).Data
	f.must(f.Client.Update(t.Context(), keys))
	verified(metav1.ConditionTrue, meta.SucceededReason)

	f.must(f.Client.Delete(t.Context(), repo))
	var left sourcev1.OCIRepositoryList
	harness.MustBecome(f.t, f.Client, repo, "the end of the object", func() bool { // its finalizer included
		return f.Client.List(t.Context(), &left, client.InNamespace(f.ns)) == nil && len(left.Items) == 0
	})
}
