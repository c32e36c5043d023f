// SPDX-License-Identifier: Apache-2.0

package sources

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/source/sourcetest"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/test/s3"
)

// bucket follows the bucket of a gateway with the owner's keys.
func (f *fixture) bucket(g *s3.Server, name string, changes ...func(*sourcev1.Bucket)) *sourcev1.Bucket {
	f.t.Helper()
	obj := make.Bucket(f.ns, name, func(b *sourcev1.Bucket) {
		b.Spec.BucketName, b.Spec.Endpoint, b.Spec.Region = s3.Bucket, g.Host(), s3.Region
		b.Spec.SecretRef = &meta.LocalObjectReference{Name: "keys"}
	})
	for _, change := range changes {
		change(obj)
	}
	f.must(f.Client.Create(f.t.Context(), obj))
	return obj
}

// keys makes a Secret with keys of S3.
func (f *fixture) keys(name, access, secret string) {
	f.t.Helper()
	f.must(f.Client.Create(f.t.Context(), make.Secret(f.ns, name, map[string]string{"accesskey": access, "secretkey": secret})))
}

// awaits waits until a source is Ready, or not, with a reason and a part of the message.
func (f *fixture) awaits(obj *sourcev1.Bucket, status metav1.ConditionStatus, reason, text string) {
	f.t.Helper()
	harness.MustBecome(f.t, f.Client, obj, reason+" with "+text, func() bool {
		ready := apimeta.FindStatusCondition(obj.Status.Conditions, meta.ReadyCondition)
		if ready != nil && strings.Contains(ready.Message, s3.SecretKey) {
			f.t.Errorf("the condition shows the key: %s", ready.Message)
		}
		return ready != nil && ready.Status == status && ready.Reason == reason && strings.Contains(ready.Message, text)
	})
}

// failed waits until the bucket cannot be read.
func (f *fixture) failed(obj *sourcev1.Bucket, text string) {
	f.t.Helper()
	f.awaits(obj, metav1.ConditionFalse, sourcev1.BucketOperationFailedReason, text)
}

// succeeded waits for an artifact, and returns its files.
func (f *fixture) succeeded(obj *sourcev1.Bucket) map[string]string {
	f.t.Helper()
	f.awaits(obj, metav1.ConditionTrue, meta.SucceededReason, "stored artifact")
	return sourcetest.Files(f.t, f.store, obj.Status.Artifact)
}

func TestABucketIsApplied(t *testing.T) {
	t.Parallel()
	f, g := newFixture(t), s3.New(t)
	put := func(color string) { g.Put("deploy/app.yaml", f.manifest(color)) }
	put("blue")
	f.keys("keys", s3.AccessKey, s3.SecretKey)
	obj := f.bucket(g, "fleet")
	k := f.applies(sourcev1.BucketKind, "fleet", "./deploy")
	f.has("blue")
	put("green")
	f.request(sourcev1.BucketKind, "fleet")
	f.has("green")
	harness.MustBecome(f.t, f.Client, obj, "readiness", func() bool {
		return apimeta.IsStatusConditionTrue(obj.Status.Conditions, meta.ReadyCondition)
	})
	harness.MustBecome(f.t, f.Client, k, "the revision", func() bool {
		return strings.HasPrefix(k.Status.LastAppliedRevision, "sha256:") && k.Status.LastAppliedRevision == obj.Status.Artifact.Revision
	})

	f.must(f.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj))
	obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "others"}
	f.must(f.Client.Update(t.Context(), obj))
	f.awaits(obj, metav1.ConditionFalse, sourcev1.AuthenticationFailedReason, "spec.secretRef: failed to get secret")
	put("red")
	f.keys("others", s3.AccessKey, s3.SecretKey)
	f.has("red") // the Secret is watched
	f.must(f.Client.Delete(t.Context(), obj))
	harness.MustBecome(f.t, f.Client, obj, "the end of the object", func() bool {
		var list sourcev1.BucketList
		return f.Client.List(t.Context(), &list, client.InNamespace(f.ns)) == nil && len(list.Items) == 0
	})
}

// TestWhatAGatewayRefuses has a server that checks signatures, regions and names.
func TestWhatAGatewayRefuses(t *testing.T) {
	t.Parallel()
	f, g := newFixture(t), s3.New(t)
	g.Put("a.yaml", "a: 1")
	f.keys("keys", s3.AccessKey, s3.SecretKey)
	f.keys("wrong", s3.AccessKey, "another-secret")
	f.keys("unknown", "nobody", s3.SecretKey)
	secret := func(name string) func(*sourcev1.Bucket) {
		return func(b *sourcev1.Bucket) { b.Spec.SecretRef = &meta.LocalObjectReference{Name: name} }
	}
	for name, tc := range map[string]struct {
		change func(*sourcev1.Bucket)
		text   string
	}{
		"wrong-secret":   {secret("wrong"), "The request signature we calculated does not match"},
		"unknown-key":    {secret("unknown"), "No user exists with the provided access key ID"},
		"no-credentials": {func(b *sourcev1.Bucket) { b.Spec.SecretRef = nil }, "Access Denied"},
		"no-such-bucket": {
			func(b *sourcev1.Bucket) { b.Spec.BucketName = "gone" }, "bucket 'gone' failed: The specified bucket does not exist",
		},
		"another-region": {
			func(b *sourcev1.Bucket) { b.Spec.Region = "us-west-2" }, `the region "us-west-2" is wrong; expecting "` + s3.Region + `"`,
		},
	} {
		f.failed(f.bucket(g, name, tc.change), tc.text)
	}

	// A key that is made to fit mends it at once.
	f.must(f.Client.Update(t.Context(), make.Secret(f.ns, "wrong", map[string]string{"accesskey": s3.AccessKey, "secretkey": s3.SecretKey})))
	mended := make.Bucket(f.ns, "wrong-secret")
	if diff := cmp.Diff(map[string]string{"a.yaml": "a: 1"}, f.succeeded(mended)); diff != "" {
		t.Error(diff)
	}
}

// TestWhatAGatewayLists has a bucket that takes two pages to list, of which parts are read.
func TestWhatAGatewayLists(t *testing.T) {
	t.Parallel()
	f, g := newFixture(t), s3.New(t)
	f.keys("keys", s3.AccessKey, s3.SecretKey)
	all := map[string]string{"deploy/app.yaml": "n: 1", "deploy/README.md": "# read"}
	for i := range 1_005 { // a page has 1,000
		all[fmt.Sprintf("many/%04d.yaml", i)] = fmt.Sprint("n: ", i)
	}
	var putting errgroup.Group
	putting.SetLimit(8)
	for key, content := range all {
		putting.Go(func() error {
			_, err := g.Owner.PutObject(t.Context(), s3.Bucket, key, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
			return err
		})
	}
	f.must(putting.Wait())
	g.Put(".sourceignore", "*.md\n")
	delete(all, "deploy/README.md")
	obj := f.bucket(g, "whole", func(b *sourcev1.Bucket) { b.Spec.Region = "" }) // which is asked for
	if diff := cmp.Diff(all, f.succeeded(obj)); diff != "" {
		t.Error(diff)
	}
	lists := 0
	for _, request := range g.Requests() {
		if request == "GET "+g.Host()+"/fleet/" {
			lists++
		}
	}
	if lists != 3 {
		t.Errorf("%d requests for the region and two pages", lists)
	}

	part := f.bucket(g, "part", func(b *sourcev1.Bucket) {
		b.Spec.Prefix, b.Spec.Ignore = "deploy/", ptr.To("!README.md\n")
	})
	if diff := cmp.Diff(map[string]string{"deploy/app.yaml": "n: 1", "deploy/README.md": "# read"}, f.succeeded(part)); diff != "" {
		t.Error(diff)
	}

	// Clouds have buckets as names of hosts: those of AWS are asked for by the name that is signed.
	f.must(f.Client.Create(t.Context(), make.Secret(f.ns, "proxy", map[string]string{"address": g.URL})))
	g.Requests()
	hosted := f.bucket(g, "hosted", func(b *sourcev1.Bucket) {
		b.Spec.Provider, b.Spec.Endpoint, b.Spec.Prefix = sourcev1.BucketProviderAmazon, "s3."+s3.Region+".amazonaws.com", "deploy/"
		b.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "proxy"}
	})
	if diff := cmp.Diff(map[string]string{"deploy/app.yaml": "n: 1"}, f.succeeded(hosted)); diff != "" {
		t.Error(diff)
	}
	host := "fleet." + s3.AWSHost
	want := []string{
		"GET " + host + "/", "GET " + host + "/.sourceignore", "GET " + host + "/deploy/app.yaml", "HEAD " + host + "/.sourceignore",
	}
	if diff := cmp.Diff(want, g.Requests()); diff != "" {
		t.Error(diff)
	}
}

// TestABucketThatChangesUnderTheReader: what was listed is what is read, or the bucket is listed anew; and what is the
// same is not read again.
func TestABucketThatChangesUnderTheReader(t *testing.T) {
	t.Parallel()
	f, g := newFixture(t), s3.New(t)
	f.keys("keys", s3.AccessKey, s3.SecretKey)
	for _, key := range []string{"a", "b", "c"} {
		g.Put(key, key)
	}
	g.First("/fleet/b", func() {
		g.Remove("b")
		g.Put("c", "cc")
	})
	obj := f.bucket(g, "moving")
	if diff := cmp.Diff(map[string]string{"a": "a", "c": "cc"}, f.succeeded(obj)); diff != "" {
		t.Error(diff)
	}
	again := func(want ...string) {
		t.Helper()
		before := obj.Status.LastHandledReconcileAt
		f.request(sourcev1.BucketKind, "moving")
		harness.MustBecome(f.t, f.Client, obj, "another look", func() bool { return obj.Status.LastHandledReconcileAt != before })
		for i, path := range want {
			want[i] = "GET " + g.Host() + path
		}
		if diff := cmp.Diff(want, g.Requests()); diff != "" {
			t.Error(diff)
		}
	}
	g.Requests()
	again("/fleet/")
	g.Put("c", "c3")
	g.Put("d", "d")
	again("/fleet/", "/fleet/c", "/fleet/d")
	g.First("/fleet/c", func() { g.Put("c", "c5") }) // there, but another: the gateway refuses what was listed
	g.Put("c", "c4")
	again("/fleet/", "/fleet/", "/fleet/c", "/fleet/c")
	if diff := cmp.Diff(map[string]string{"a": "a", "c": "c5", "d": "d"}, f.succeeded(obj)); diff != "" {
		t.Error(diff)
	}
}

// TestKeysOfATokenService has a service that lends the gateway's keys for a while.
func TestKeysOfATokenService(t *testing.T) {
	t.Parallel()
	f, g := newFixture(t), s3.New(t)
	g.Put("a.yaml", "a: 1")
	f.must(f.Client.Create(t.Context(), make.Secret(f.ns, "ldap", map[string]string{"username": "user", "password": "pass"})))
	var lent atomic.Int32
	lend := func(secret string, expires time.Time) string {
		sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := r.FormValue("LDAPUsername") + ":" + r.FormValue("LDAPPassword")
			if r.FormValue("Action") != "AssumeRoleWithLDAPIdentity" || who != "user:pass" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			lent.Add(1)
			_, _ = fmt.Fprintf(w, `<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">`+
				`<AssumeRoleWithLDAPIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey>`+
				`<Expiration>%s</Expiration></Credentials></AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>`,
				s3.AccessKey, secret, expires.UTC().Format(time.RFC3339))
		}))
		t.Cleanup(sts.Close)
		return sts.URL
	}
	by := func(endpoint string) func(*sourcev1.Bucket) {
		return func(b *sourcev1.Bucket) {
			b.Spec.SecretRef = nil
			b.Spec.STS = &sourcev1.BucketSTSSpec{Provider: "ldap", Endpoint: endpoint, SecretRef: &meta.LocalObjectReference{Name: "ldap"}}
		}
	}
	looks := func(name string, want int32) {
		t.Helper()
		lent.Store(0)
		obj := make.Bucket(f.ns, name)
		f.request(sourcev1.BucketKind, name)
		harness.MustBecome(f.t, f.Client, obj, "another look", func() bool { return obj.Status.LastHandledReconcileAt != "" })
		if n := lent.Load(); n != want {
			t.Errorf("%s: keys were lent %d times for one more look, want %d", name, n, want)
		}
	}
	f.succeeded(f.bucket(g, "lasting", by(lend(s3.SecretKey, time.Now().Add(24*time.Hour)))))
	looks("lasting", 0)
	f.succeeded(f.bucket(g, "expired", by(lend(s3.SecretKey, time.Now().Add(-time.Hour)))))
	looks("expired", 1)
	f.failed(f.bucket(g, "revoked", by(lend("revoked", time.Now().Add(time.Hour)))), "signature we calculated does not match")
}
