// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/signature/signaturetest"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/s3"
)

// sourceKills is few enough for every run of all tests.
var sourceKills = flag.Int("source-kills", 15, "how often the controller is killed while it fetches and applies")

const (
	// applied is how many ConfigMaps a source has, so that many a kill comes between two of them.
	applied = 20
	// forgedName is of the ConfigMap in what nobody signed.
	forgedName = "forged"
	// hookToken is that of the Receiver.
	hookToken = "letmein"
)

// from are the sources, each with a Kustomization of its name.
var from = []string{"bucket", "external", "included", "oci", "signed"}

// TestSourcesAreAppliedOnceWhateverIsKilled has a Bucket, an ExternalArtifact, a GitRepository
// that includes another one, and two OCIRepositories change, while a webhook tells of it, and the
// controller dies all the time. In the end, the cluster has what was published last: nothing
// was deleted that was to stay, nothing stays that was to go, nothing was ever applied of what is not
// signed, and what was not told before the last kill is told after it.
func TestSourcesAreAppliedOnceWhateverIsKilled(t *testing.T) {
	t.Parallel()
	t.Logf("-seed %d", chance())
	f := newPublishedSources(t)
	random := rand.New(rand.NewPCG(chance(), 4))
	for kill := range *sourceKills {
		f.publish(from[random.IntN(len(from))])
		f.callWebhook()
		<-time.After(time.Duration(random.Int64N(int64(writebackDelay)))) // at any point of the work
		f.sluice.Kill()
		if err := f.sluice.Start(t.Context()); err != nil {
			t.Fatalf("start %d: %v", kill, err)
		}
	}
	f.awaitNewest()
	harness.MustEventually(f.t, "all messages", func(context.Context) (bool, string) { return f.chat.heard(f.revisions()) })
	f.chat.setUnavailable(true)
	for _, name := range from {
		f.publish(name)
	}
	f.callWebhook()
	f.awaitNewest()
	harness.MustEventually(f.t, "messages that nobody takes", func(context.Context) (bool, string) { return f.chat.called(f.revisions()) })
	f.sluice.Kill()
	f.chat.setUnavailable(false)
	if err := f.sluice.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	harness.MustEventually(f.t, "what was not told", func(context.Context) (bool, string) { return f.chat.heard(f.revisions()) })
	f.check()
}

// publishedSources are sources, what was published in each of them, and who is told.
type publishedSources struct {
	*harness.Playground
	t      *testing.T
	ns     string
	sluice *harness.Controller
	chat   *chat
	key    signaturetest.Key // of the signed source
	files  *httptest.Server
	gate   *s3.Server
	repos  map[string]*harness.Repo
	begun  map[string]string // UIDs of what must not be made anew

	mu     sync.Mutex
	served []byte         // of the ExternalArtifact
	newest map[string]int // by source, the version published last
}

func newPublishedSources(t *testing.T) *publishedSources {
	t.Helper()
	f := &publishedSources{
		Playground: harness.Installed(t), t: t, gate: s3.New(t), chat: newChat(t), key: signaturetest.NewKey(t),
		repos: map[string]*harness.Repo{}, begun: map[string]string{}, newest: map[string]int{},
	}
	f.ns = f.NewNamespace(t, "crash-sources-", nil)
	f.files = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		_, _ = w.Write(f.served)
	}))
	t.Cleanup(f.files.Close)
	work := t.TempDir()
	for _, name := range []string{"lib", "app"} {
		repo, err := f.NewRepo(t.Context(), f.ns+"-"+name, work)
		f.must(err)
		f.repos[name] = repo
	}
	_, err := f.repos["app"].Commit(t.Context(), "Begin", map[string][]byte{
		"deploy/kustomization.yaml": []byte("resources: [lib/app.yaml]\n"),
	})
	f.must(err)
	f.must(f.Apply(t.Context(), []byte(f.objects())))
	trusted := f.key.Secret(t, f.ns)
	trusted.Name = "trusted"
	f.must(f.Client.Create(t.Context(), trusted))
	for _, name := range from {
		f.publish(name)
	}
	f.sluice, err = f.StartController(t.Context(), t.TempDir(), "--controllers=source,kustomize,notification", "--watch-namespace", f.ns)
	f.must(err)
	f.sluice.StopAfter(t)
	f.awaitNewest()
	for _, name := range from {
		for _, config := range f.applied(t.Context(), name) {
			f.begun[config.Name] = string(config.UID)
		}
	}
	return f
}

func (f *publishedSources) objects() string {
	text := f.SourceManifest(f.ns, "lib", f.repos["lib"]) + fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: keys, namespace: %[1]s}
stringData: {accesskey: %[2]s, secretkey: %[3]s}
---
apiVersion: v1
kind: Secret
metadata: {name: hook, namespace: %[1]s}
stringData: {token: %[4]s}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: Bucket
metadata: {name: bucket, namespace: %[1]s}
spec: {bucketName: %[5]s, endpoint: %[6]q, region: %[7]s, insecure: true, interval: 1h, secretRef: {name: keys}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: oci, namespace: %[1]s}
spec: {url: "oci://%[8]s/%[1]s", ref: {tag: latest}, insecure: true, interval: 1h}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: signed, namespace: %[1]s}
spec:
  url: "oci://%[8]s/%[1]s-signed"
  ref: {tag: latest}
  insecure: true
  interval: 1h
  verify: {provider: cosign, secretRef: {name: trusted}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: included, namespace: %[1]s}
spec:
  url: %[9]q
  interval: 1h
  ref: {branch: main}
  secretRef: {name: git}
  include: [{repository: {name: lib}, toPath: deploy/lib}]
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: ExternalArtifact
metadata: {name: external, namespace: %[1]s}
spec: {}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Provider
metadata: {name: chat, namespace: %[1]s}
spec: {type: generic, address: %[10]q}
---
apiVersion: notification.toolkit.fluxcd.io/v1beta3
kind: Alert
metadata: {name: chat, namespace: %[1]s}
spec: {providerRef: {name: chat}, eventSources: [{kind: Kustomization, name: "*"}]}
---
apiVersion: notification.toolkit.fluxcd.io/v1
kind: Receiver
metadata: {name: hook, namespace: %[1]s}
spec:
  type: generic
  secretRef: {name: hook}
  resources:
  - {kind: Bucket, name: bucket}
  - {kind: GitRepository, name: lib}
  - {kind: OCIRepository, name: oci}
  - {kind: OCIRepository, name: signed}
`, f.ns, s3.AccessKey, s3.SecretKey, hookToken, s3.Bucket, f.gate.Host(), s3.Region, f.Registry, f.repos["app"].URL, f.chat.URL)
	for _, name := range from {
		text += fmt.Sprintf(`---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %[2]s, namespace: %[1]s}
spec: {interval: 1h, path: %[4]s, prune: true, sourceRef: {kind: %[3]s, name: %[2]s}}
`, f.ns, name, sourceKinds[name], map[bool]string{true: "./deploy", false: "./"}[name == "included"])
	}
	return text
}

// sourceKinds are the kinds of the sources.
var sourceKinds = map[string]string{
	"bucket": sourcev1.BucketKind, "external": sourcev1.ExternalArtifactKind,
	"included": sourcev1.GitRepositoryKind, "oci": sourcev1.OCIRepositoryKind, "signed": sourcev1.OCIRepositoryKind,
}

func (f *publishedSources) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// publish makes the next version of a source. Every other one has an object more.
func (f *publishedSources) publish(name string) {
	f.t.Helper()
	f.newest[name]++
	version := f.newest[name]
	var text strings.Builder
	for _, config := range f.wanted(name) {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: %s}\ndata: {version: \"%d\"}\n",
			config, f.ns, version)
	}
	revision := fmt.Sprintf("v%d", version)
	switch name {
	case "bucket":
		f.gate.Put("app.yaml", text.String())
	case "included":
		_, err := f.repos["lib"].Commit(f.t.Context(), revision, map[string][]byte{"app.yaml": []byte(text.String())})
		f.must(err)
	case "oci":
		image, err := harness.Manifests("app.yaml", text.String(), revision)
		f.must(err)
		_, err = f.Push(f.t.Context(), f.ns, "latest", image)
		f.must(err)
	case "signed":
		f.publishSigned(text.String(), revision)
	default:
		image, err := harness.Manifests("app.yaml", text.String(), revision)
		f.must(err)
		layers, err := image.Layers()
		f.must(err)
		content, err := layers[0].Compressed()
		f.must(err)
		data, err := io.ReadAll(content)
		f.must(err)
		f.serve(data, revision)
	}
}

// publishSigned publishes what nobody signed, and then what the trusted key has signed before the tag points to it. What nobody
// signed stays in the cluster once it is applied.
func (f *publishedSources) publishSigned(text, revision string) {
	f.t.Helper()
	forged, err := harness.Manifests("app.yaml", fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\n"+
		"metadata: {name: %s, namespace: %s, annotations: {kustomize.toolkit.fluxcd.io/prune: disabled}}\n", forgedName, f.ns), revision)
	f.must(err)
	repository := f.ns + "-signed"
	_, err = f.Push(f.t.Context(), repository, "latest", forged)
	f.must(err)
	if f.sluice != nil {
		f.callWebhook()
	}
	image, err := harness.Manifests("app.yaml", text, revision)
	f.must(err)
	digest, err := f.Push(f.t.Context(), repository, revision, image)
	f.must(err)
	f.key.Sign(f.t, f.Registry+"/"+repository, digest)
	_, err = f.Push(f.t.Context(), repository, "latest", image)
	f.must(err)
}

// wanted are the names of what the newest version of a source has.
func (f *publishedSources) wanted(name string) []string {
	count := applied + f.newest[name]%2
	names := make([]string, 0, count)
	for i := range count {
		names = append(names, fmt.Sprintf("%s-%02d", name, i))
	}
	return names
}

// serve is what the controller of an ExternalArtifact does.
func (f *publishedSources) serve(data []byte, revision string) {
	f.t.Helper()
	f.mu.Lock()
	f.served = data
	f.mu.Unlock()
	obj := &sourcev1.ExternalArtifact{}
	f.must(f.Client.Get(f.t.Context(), client.ObjectKey{Namespace: f.ns, Name: "external"}, obj))
	size := int64(len(data))
	obj.Status.Artifact = &meta.Artifact{
		Path: "externalartifact/" + f.ns + "/external/x.tar.gz", URL: f.files.URL + "/x.tar.gz", Revision: revision,
		Digest: digest.FromBytes(data).String(), Size: &size, LastUpdateTime: metav1.Now(),
	}
	f.must(f.Client.Status().Update(f.t.Context(), obj))
}

// callWebhook calls the webhook until it is answered, as those who send webhooks do. What was
// answered is not said again.
func (f *publishedSources) callWebhook() {
	f.t.Helper()
	receiver := &notificationv1.Receiver{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "hook"}}
	call := harness.Call{Method: http.MethodPost, URL: f.sluice.Webhooks + receiver.GetWebhookPath(hookToken)}
	harness.MustEventually(f.t, "an answer to a webhook", func(ctx context.Context) (bool, string) {
		return call.Answered(ctx, http.StatusOK)
	})
}

// applied are the ConfigMaps of a Kustomization.
func (f *publishedSources) applied(ctx context.Context, name string) []corev1.ConfigMap {
	var list corev1.ConfigMapList
	labels := client.MatchingLabels{"kustomize.toolkit.fluxcd.io/name": name, "kustomize.toolkit.fluxcd.io/namespace": f.ns}
	if err := f.Client.List(ctx, &list, client.InNamespace(f.ns), labels); err != nil {
		return nil
	}
	return list.Items
}

// awaitNewest waits until the cluster has the newest version of every source, and no more, and
// the Kustomizations say so.
func (f *publishedSources) awaitNewest() {
	f.t.Helper()
	for _, name := range from {
		want := map[string]string{}
		for _, config := range f.wanted(name) {
			want[config] = fmt.Sprint(f.newest[name])
		}
		harness.MustEventually(f.t, "the newest of "+name, func(ctx context.Context) (bool, string) {
			got := map[string]string{}
			for _, config := range f.applied(ctx, name) {
				got[config.Name] = config.Data["version"]
			}
			diff := cmp.Diff(want, got)
			k, said := f.kustomization(ctx, name)
			return diff == "" && said && len(k.Status.Inventory.Entries) == len(want), fmt.Sprintf("%s\n%+v", diff, k.Status)
		})
	}
}

// kustomization reads the one of a source, and reports whether it says that it applied what the
// source has.
func (f *publishedSources) kustomization(ctx context.Context, name string) (*kustomizev1.Kustomization, bool) {
	k := &kustomizev1.Kustomization{}
	key := client.ObjectKey{Namespace: f.ns, Name: name}
	var source interface {
		client.Object
		GetArtifact() *meta.Artifact
	}
	switch name {
	case "bucket":
		source = &sourcev1.Bucket{}
	case "external":
		source = &sourcev1.ExternalArtifact{}
	case "included":
		source = &sourcev1.GitRepository{}
	case "oci", "signed":
		source = &sourcev1.OCIRepository{}
	}
	if f.Client.Get(ctx, key, k) != nil || f.Client.Get(ctx, key, source) != nil || source.GetArtifact() == nil {
		return k, false
	}
	revision := source.GetArtifact().Revision
	return k, k.Status.LastAppliedRevision == revision && k.Status.LastAttemptedRevision == revision
}

// revisions are those that the Kustomizations have applied.
func (f *publishedSources) revisions() []string {
	f.t.Helper()
	var all []string
	for _, name := range from {
		k, _ := f.kustomization(f.t.Context(), name)
		all = append(all, k.Status.LastAppliedRevision)
	}
	return all
}

// check demands that what was there from the beginning is what was there.
func (f *publishedSources) check() {
	f.t.Helper()
	f.awaitNewest()
	err := f.Client.Get(f.t.Context(), client.ObjectKey{Namespace: f.ns, Name: forgedName}, &corev1.ConfigMap{})
	if !apierrors.IsNotFound(err) {
		f.t.Errorf("what nobody signed was applied: %v", err)
	}
	now := map[string]string{}
	for _, name := range from {
		for _, config := range f.applied(f.t.Context(), name) {
			if _, ok := f.begun[config.Name]; ok {
				now[config.Name] = string(config.UID)
			}
		}
	}
	for i := range from { // the last of each goes with every other version
		delete(f.begun, fmt.Sprintf("%s-%02d", from[i], applied))
		delete(now, fmt.Sprintf("%s-%02d", from[i], applied))
	}
	if diff := cmp.Diff(f.begun, now); diff != "" {
		f.t.Errorf("UIDs differ (-before +after):\n%s", diff)
	}
}

// chat is told of what is applied, and can be away.
type chat struct {
	*httptest.Server
	mu             sync.Mutex
	away           bool
	taken, refused []string // bodies
}

func newChat(t *testing.T) *chat {
	t.Helper()
	r := &chat{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case err != nil: // of a process that was killed
		case r.away:
			r.refused = append(r.refused, string(body))
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			r.taken = append(r.taken, string(body))
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *chat) setUnavailable(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

// heard reports whether it took a message of each revision, and called whether it refused one.
func (r *chat) heard(revisions []string) (bool, string) { return r.has(&r.taken, revisions) }

func (r *chat) called(revisions []string) (bool, string) { return r.has(&r.refused, revisions) }

func (r *chat) has(bodies *[]string, revisions []string) (bool, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := strings.Join(*bodies, "\n")
	for _, revision := range revisions {
		if !strings.Contains(all, fmt.Sprintf("%q", revision)) {
			return false, "nothing about " + revision
		}
	}
	return true, ""
}
