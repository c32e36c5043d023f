// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/auth"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluice-cd/sluice/internal/bucket"
	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/test/make"
)

// lists has the server list one object of this key.
func (f *fixture) lists(key string) {
	f.upstream.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
		_, err := fmt.Fprintf(w, `<ListBucketResult><Contents><Key>%s</Key><ETag>"x"</ETag><Size>1</Size></Contents></ListBucketResult>`, key)
		return err == nil
	})
}

// What the look before had opened would go on with credentials, or to a server, that the spec has no more.
func TestABucketIsOpenedAgainWhenAnythingChanges(t *testing.T) {
	ask := func(change func(*sourcev1.Bucket, *bucket.Settings, *connectionSettings)) string {
		obj := make.Bucket("apps", name)
		settings := bucket.Settings{
			Secret: map[string][]byte{"accesskey": []byte("a")}, STS: &bucket.STS{Endpoint: "https://sts.example.com", Username: "u", Password: "p"},
		}
		conn := connectionSettings{}
		change(obj, &settings, &conn)
		return conn.id(obj, settings)
	}
	before := ask(func(*sourcev1.Bucket, *bucket.Settings, *connectionSettings) {})
	if again := ask(func(*sourcev1.Bucket, *bucket.Settings, *connectionSettings) {}); again != before {
		t.Error("it is opened again although nothing changed")
	}
	for name, change := range map[string]func(*sourcev1.Bucket, *bucket.Settings, *connectionSettings){
		"the provider": func(b *sourcev1.Bucket, _ *bucket.Settings, _ *connectionSettings) { b.Spec.Provider = "aws" },
		"the endpoint": func(b *sourcev1.Bucket, _ *bucket.Settings, _ *connectionSettings) {
			b.Spec.Endpoint = "other.example.com"
		},
		"the bucket": func(b *sourcev1.Bucket, _ *bucket.Settings, _ *connectionSettings) { b.Spec.BucketName = "other" },
		"the region": func(b *sourcev1.Bucket, _ *bucket.Settings, _ *connectionSettings) { b.Spec.Region = "eu-west-1" },
		"the prefix": func(b *sourcev1.Bucket, _ *bucket.Settings, _ *connectionSettings) { b.Spec.Prefix = "other/" },
		"encryption": func(b *sourcev1.Bucket, _ *bucket.Settings, _ *connectionSettings) {
			b.Spec.Insecure = !b.Spec.Insecure
		},
		"the ServiceAccount": func(b *sourcev1.Bucket, _ *bucket.Settings, _ *connectionSettings) {
			b.Spec.ServiceAccountName = "team"
		},
		"a key": func(_ *sourcev1.Bucket, s *bucket.Settings, _ *connectionSettings) {
			s.Secret["accesskey"] = []byte("b")
		},
		"the name of a key": func(_ *sourcev1.Bucket, s *bucket.Settings, _ *connectionSettings) {
			s.Secret = map[string][]byte{"x": []byte("a")}
		},
		"the password of STS": func(_ *sourcev1.Bucket, s *bucket.Settings, _ *connectionSettings) { s.STS.Password = "q" },
		"no STS":              func(_ *sourcev1.Bucket, s *bucket.Settings, _ *connectionSettings) { s.STS = nil },
		"certificates":        func(_ *sourcev1.Bucket, _ *bucket.Settings, w *connectionSettings) { w.server.CA = "ca" },
		"certificates of STS": func(_ *sourcev1.Bucket, _ *bucket.Settings, w *connectionSettings) { w.sts.CA = "ca" },
		"the proxy on the way": func(_ *sourcev1.Bucket, _ *bucket.Settings, w *connectionSettings) {
			w.server.Proxy = "http://proxy.example.com"
		},
	} {
		if ask(change) == before {
			t.Errorf("it is not opened again after a change of %s", name)
		}
	}
}

// The certificates of one source, and of its STS, are not those of another.
func TestNoTwoOwnConnectionsTogether(t *testing.T) {
	owners := map[string]bool{}
	for _, key := range []types.NamespacedName{{Namespace: "apps", Name: "a"}, {Namespace: "apps", Name: "b"}, {Namespace: "lab", Name: "a"}} {
		owners[serverOwner(key)], owners[stsOwner(key)] = true, true
	}
	if len(owners) != 6 {
		t.Errorf("the owners are %v", owners)
	}
}

func TestWhoseIdentityIsAskedFor(t *testing.T) {
	r := &Reconciler{Transports: outbound.NewTransports(nil)}
	for account, want := range map[string]string{"": "", "team": "apps/team"} {
		obj := make.Bucket("apps", name, func(b *sourcev1.Bucket) { b.Spec.ServiceAccountName = account })
		settings, conn, err := r.settings(t.Context(), obj, &secrets{})
		if err != nil || settings.Account != want {
			t.Errorf("with account %q it is that of %q: %v", account, settings.Account, err)
		}
		conn.proxy = &url.URL{Scheme: "http", Host: "proxy.example.com"}
		var asked auth.Options
		asked.Apply(r.identity(obj, conn)...)
		if asked.ServiceAccountName != account || asked.ServiceAccountNamespace != "apps" || asked.ProxyURL.Host != "proxy.example.com" {
			t.Errorf("with account %q it asks by %+v", account, asked)
		}
	}
}

func TestWhatNoArtifactCanHave(t *testing.T) {
	many := objectListing{objects: map[string]bucket.Object{}}
	for i := range maxObjects {
		key := fmt.Sprint(i)
		many.objects[key] = bucket.Object{Key: key}
	}
	more := objectListing{objects: map[string]bucket.Object{"one-more": {}}}
	for key, object := range many.objects {
		more.objects[key] = object
	}
	one := func(size, all int64) objectListing {
		return objectListing{objects: map[string]bucket.Object{"app.yaml": {Key: "app.yaml", Size: size}}, bytes: all}
	}
	for name, tc := range map[string]struct {
		listing objectListing
		want    string // "" is nothing
	}{
		"an empty object":        {one(0, 0), ""},
		"the largest object":     {one(maxObject, maxObject), ""},
		"a larger one":           {one(maxObject+1, maxObject+1), "object 'app.yaml' has 104857601 bytes, of which 104857600 are allowed"},
		"a size that is none":    {one(-1, 0), "object 'app.yaml' has -1 bytes"},
		"as much as is allowed":  {one(1, maxBytes), ""},
		"more than is allowed":   {one(1, maxBytes+1), "have 268435457 bytes, of which 268435456 are allowed"},
		"as many as are allowed": {many, ""},
		"one more":               {more, "has 50001 objects, of which 50000 are allowed"},
	} {
		err := tc.listing.check(make.Bucket("apps", "app"))
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestTheLongestKeyIsTaken(t *testing.T) {
	f := setup(t)
	f.lists(strings.Repeat("k", 200) + strings.Repeat("/"+strings.Repeat("k", 205), 4))
	cached, err := f.open(t.Context(), f.obj)
	if err != nil {
		t.Fatal(err)
	}
	listed, err := f.list(t.Context(), f.obj, cached, nil)
	if err != nil || len(listed.objects) != 1 {
		t.Errorf("%d objects: %v", len(listed.objects), err)
	}
}
