// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	imageautov1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagereflv1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/s3"
)

const (
	namespace = "takeover"
	app       = "podinfo" // the name of everything in it
	included  = "shared"  // but for the GitRepository that another one includes
	applier   = "kustomize-controller"
)

// kinds are what changes hands: upstream's Go type, and the field manager under
// which upstream's controller writes.
var kinds = map[string]struct {
	upstream func() client.Object
	manager  string
	// stateless kinds have no status and no finalizer at upstream.
	stateless bool
	// foreign kinds are somebody else's to serve, who sets no finalizer.
	foreign bool
}{
	"GitRepository": {
		upstream: func() client.Object { return &sourcev1.GitRepository{} }, manager: "source-controller",
	},
	"Bucket": {
		upstream: func() client.Object { return &sourcev1.Bucket{} }, manager: "source-controller",
	},
	"OCIRepository": {
		upstream: func() client.Object { return &sourcev1.OCIRepository{} }, manager: "source-controller",
	},
	"ExternalArtifact": {
		upstream: func() client.Object { return &sourcev1.ExternalArtifact{} }, manager: "source-watcher", foreign: true,
	},
	"Kustomization": {
		upstream: func() client.Object { return &kustomizev1.Kustomization{} }, manager: "gotk-kustomize-controller",
	},
	"ImageRepository": {
		upstream: func() client.Object { return &imagereflv1.ImageRepository{} }, manager: "image-reflector-controller",
	},
	"ImagePolicy": {
		upstream: func() client.Object { return &imagereflv1.ImagePolicy{} }, manager: "image-reflector-controller",
	},
	"ImageUpdateAutomation": {
		upstream: func() client.Object { return &imageautov1.ImageUpdateAutomation{} }, manager: "image-automation-controller",
	},
	"Receiver": {
		upstream: func() client.Object { return &notificationv1.Receiver{} }, manager: "notification-controller",
	},
	"Provider": {
		upstream: func() client.Object { return &notificationv1beta3.Provider{} }, manager: "notification-controller", stateless: true,
	},
	"Alert": {
		upstream: func() client.Object { return &notificationv1beta3.Alert{} }, manager: "notification-controller", stateless: true,
	},
}

// fleet is a chain that Flux runs, and then Sluice, and then Flux again.
type fleet struct {
	*harness.Playground
	repo       *harness.Repo
	repository string // of the image
	values     *strings.Replacer
	key        signaturetest.Key // that the OCIRepository trusts
	// upstream knows the kinds by upstream's Go types; Client by Sluice's.
	upstream client.Client
}

// newFleet builds the chain as it is when Flux has committed and applied 1.1.0.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	p := harness.Require(t)
	if err := p.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	repo, err := p.NewRepo(t.Context(), namespace, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(repo.Bare) })
	f := &fleet{
		Playground: p, repo: repo, upstream: newUpstream(t, p),
		repository: fmt.Sprintf("%s-%d/%s", namespace, time.Now().UnixMilli(), app),
		key:        signaturetest.NewKey(t),
	}
	f.push(t, "1.0.0")
	f.push(t, "1.1.0")
	f.values = strings.NewReplacer("{image}", f.image())
	deployment := f.read(t, "podinfo.yaml")
	f.commit(t, "Begin", map[string]string{"deploy/podinfo.yaml": deployment, "deploy/settings.yaml": f.read(t, "settings.yaml")})
	updated := strings.ReplaceAll(deployment, ":1.0.0", ":1.1.0")
	head := f.commit(t, "Update from image update automation", map[string]string{"deploy/podinfo.yaml": updated})
	bucket := s3.New(t)
	bucket.Put("app.yaml", "a: 1\n")
	manifests, err := harness.Manifests("app.yaml", "a: 1\n", "main@sha1:"+head)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := f.Push(t.Context(), f.repository+"-manifests", "latest", manifests)
	if err != nil {
		t.Fatal(err)
	}
	f.key.Sign(t, f.image()+"-manifests", digest)
	f.values = strings.NewReplacer("{image}", f.image(), "{git}", repo.URL, "{head}", head, "{s3}", bucket.Host())
	f.populate(t, updated)
	return f
}

// newUpstream is a client as upstream's controllers have it.
func newUpstream(t *testing.T, p *harness.Playground) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		imagereflv1.AddToScheme, imageautov1.AddToScheme, sourcev1.AddToScheme, kustomizev1.AddToScheme,
		notificationv1.AddToScheme, notificationv1beta3.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(p.REST, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f *fleet) image() string { return f.Registry + "/" + f.repository }

func (f *fleet) push(t *testing.T, tag string) {
	t.Helper()
	if _, err := f.PushImage(t.Context(), f.repository, tag, nil); err != nil {
		t.Fatal(err)
	}
}

// commit commits files; an empty one is deleted.
func (f *fleet) commit(t *testing.T, message string, files map[string]string) string {
	t.Helper()
	data := map[string][]byte{}
	for name, content := range files {
		data[name] = []byte(content)
		if content == "" {
			data[name] = nil
		}
	}
	commit, err := f.repo.Commit(t.Context(), message, data)
	if err != nil {
		t.Fatal(err)
	}
	return commit
}

func (f *fleet) read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return f.values.Replace(string(data))
}

// populate writes the objects: what is applied under the manager that applies,
// the chain itself under those that wrote it.
func (f *fleet) populate(t *testing.T, deployment string) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "git", Namespace: namespace},
		StringData: map[string]string{
			"username": f.GitUsername, "password": f.GitPassword, "token": "letmein", "accesskey": s3.AccessKey, "secretkey": s3.SecretKey,
		},
	}
	for _, object := range []client.Object{ns, secret, f.key.Secret(t, namespace)} {
		if err := f.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { f.remove(t, ns) })
	for _, object := range append(parse(t, deployment), parse(t, f.read(t, "settings.yaml"))...) {
		f.apply(t, object)
	}
	for _, object := range parse(t, f.read(t, "before.yaml")) {
		f.leave(t, object)
	}
}

// apply applies what Git has, as kustomize-controller does.
func (f *fleet) apply(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	object.SetLabels(map[string]string{
		"kustomize.toolkit.fluxcd.io/name": app, "kustomize.toolkit.fluxcd.io/namespace": namespace,
	})
	err := f.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(applier))
	if err != nil {
		t.Fatal(err)
	}
}

// leave writes an object as upstream's controller leaves it: applied from Git,
// with a finalizer and a status that are the controller's own.
func (f *fleet) leave(t *testing.T, want *unstructured.Unstructured) {
	t.Helper()
	kind := kinds[want.GetKind()]
	if _, err := strict(want, kind.upstream()); err != nil {
		t.Fatalf("the fixture is not upstream's: %v", err)
	}
	spec := want.DeepCopy()
	spec.SetFinalizers(nil)
	unstructured.RemoveNestedField(spec.Object, "status")
	f.apply(t, spec)

	if kind.stateless {
		return
	}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(want.GroupVersionKind())
	if err := f.Client.Get(t.Context(), client.ObjectKeyFromObject(want), live); err != nil {
		t.Fatal(err)
	}
	live.SetFinalizers(want.GetFinalizers())
	if err := f.Client.Update(t.Context(), live, client.FieldOwner(kind.manager)); err != nil {
		t.Fatal(err)
	}
	live.Object["status"] = want.Object["status"]
	if err := f.Client.Status().Update(t.Context(), live, client.FieldOwner(kind.manager)); err != nil {
		t.Fatal(err)
	}
}

// parse reads every document of a YAML stream.
func parse(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	found, err := harness.Objects([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return found
}
