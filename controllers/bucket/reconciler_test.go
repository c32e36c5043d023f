// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"crypto/md5" // etags are made with it
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/fluxcd/pkg/auth"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/outbound"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/source/sourcetest"
	"github.com/sluice-cd/sluice/test/make"
)

// list is the request for a list.
const list = "GET /app/"

func TestAnArtifactFollowsABucket(t *testing.T) {
	f := setup(t)
	f.put(map[string]string{"deploy/app.yaml": "n: 1\n", "deploy/logo.jpg": "x", "top": "t", "dir/": ""})
	result := f.must()
	f.asked()
	a := f.obj.Status.Artifact
	line := func(key, content string) string { return fmt.Sprintf("%s %x\n", key, md5.Sum([]byte(content))) }
	listed := line("deploy/app.yaml", "n: 1\n") + line("deploy/logo.jpg", "x") + line("top", "t")
	// It is the revision that Flux gives to these.
	revision := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(listed)))
	if a.Revision != revision || result.Message != "stored artifact: revision '"+revision+"'" {
		t.Errorf("revision %s, message %q, want %s", a.Revision, result.Message, revision)
	}
	if len(result.Events) != 1 || result.Events[0].Reason != "NewArtifact" ||
		result.Events[0].Message != "stored artifact with 3 fetched files from 'app' bucket" {
		t.Errorf("events are %+v", result.Events)
	}
	if f.obj.Status.URL != a.URL || a.URL != "http://store.example.com/bucket/apps/app/"+strings.TrimPrefix(revision, "sha256:")+".tar.gz" {
		t.Errorf("the URLs are %s and %s", f.obj.Status.URL, a.URL)
	}
	want := map[string]string{"deploy/app.yaml": "n: 1\n", "deploy/logo.jpg": "x", "top": "t"}
	if diff := cmp.Diff(want, f.files()); diff != "" {
		t.Error(diff)
	}
}

// TestAPrefixThatMatchesNothingKeepsTheArtifact: it made an empty one, by which a Kustomization that prunes deleted all that it had.
func TestAPrefixThatMatchesNothingKeepsTheArtifact(t *testing.T) {
	f := setup(t)
	f.put(map[string]string{"deploy/a.yaml": "1"})
	f.must()
	before := f.obj.Status.Artifact.DeepCopy()
	f.obj.Spec.Prefix = "nope/"
	_ = f.fails(sourcev1.BucketOperationFailedReason, "spec.prefix: no key of bucket 'app' begins with 'nope/'")
	if diff := cmp.Diff(before, f.obj.Status.Artifact); diff != "" {
		t.Error(diff)
	}
	f.obj.Spec.Prefix = "deploy/"
	f.must()
}

// TestOnlyWhatChangedIsRead: a steady look lists and reads nothing, and a changed object
// costs one more request, also after a restart.
func TestOnlyWhatChangedIsRead(t *testing.T) {
	f := setup(t)
	all := map[string]string{}
	for i := range 20 {
		all[fmt.Sprintf("dir-%d/file.yaml", i)] = fmt.Sprint("n: ", i)
	}
	f.put(all)
	f.must()
	if n := len(f.asked()); n != 21 {
		t.Errorf("the first look asked %d times", n)
	}
	if result := f.must(); len(result.Events) > 0 {
		t.Errorf("a steady look says %+v", result.Events)
	}
	if diff := cmp.Diff([]string{list}, f.asked()); diff != "" {
		t.Error(diff)
	}
	f.restart()
	f.must()
	if diff := cmp.Diff([]string{list}, f.asked()); diff != "" {
		t.Error(diff)
	}
	all["dir-3/file.yaml"] = "n: 300"
	f.put(map[string]string{"dir-3/file.yaml": "n: 300"})
	delete(all, "dir-4/file.yaml")
	f.remove("dir-4/file.yaml")
	f.restart()
	f.must()
	if diff := cmp.Diff([]string{list, "GET /app/dir-3/file.yaml"}, f.asked()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(all, f.files()); diff != "" {
		t.Error(diff)
	}

	// Without what is kept beside the artifact, or with what is not its own, all is read again.
	for _, spoil := range []func(string) error{os.Remove, func(file string) error { return os.WriteFile(file, []byte(`{"x":"y"}`), 0o600) }} {
		notes, err := filepath.Glob(filepath.Join(f.dir, "bucket/apps/app/*.note"))
		if err != nil || len(notes) == 0 {
			t.Fatalf("notes %v, %v", notes, err)
		}
		for _, note := range notes {
			if err := spoil(note); err != nil {
				t.Fatal(err)
			}
		}
		all["new"] += "x"
		f.put(map[string]string{"new": all["new"]})
		f.must()
		if n := len(f.asked()); n != 21 {
			t.Errorf("it asked %d times", n)
		}
		if diff := cmp.Diff(all, f.files()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWhatABucketIgnores(t *testing.T) {
	f := setup(t)
	f.put(map[string]string{".sourceignore": "*.md\n", "a.md": "1", "b.txt": "2", "x/c.md": "3", "x/d.txt": "4", "x/.sourceignore": "*.txt\n"})
	f.must()
	all := map[string]string{"b.txt": "2", "x/d.txt": "4", "x/.sourceignore": "*.txt\n"}
	if diff := cmp.Diff(all, f.files()); diff != "" {
		t.Error(diff)
	}
	f.asked()
	f.must()
	if diff := cmp.Diff([]string{list}, f.asked()); diff != "" {
		t.Error("the rules were read again: " + diff)
	}
	f.obj.Spec.Ignore = ptr.To("!a.md\nb.txt\n")
	f.must()
	delete(all, "b.txt")
	all["a.md"] = "1"
	if diff := cmp.Diff(all, f.files()); diff != "" || !ptr.Equal(f.obj.Status.ObservedIgnore, f.obj.Spec.Ignore) {
		t.Errorf("observed %v\n%s", f.obj.Status.ObservedIgnore, diff)
	}
	f.obj.Spec.Prefix = "x/"
	f.must()
	delete(all, "a.md")
	if diff := cmp.Diff(all, f.files()); diff != "" {
		t.Error(diff)
	}
	f.asked()
	f.obj.Spec.Ignore = ptr.To(strings.Repeat("#", 100_000))
	err := f.fails(sourcev1.ArchiveOperationFailedReason, "spec.ignore")
	if !errors.Is(err, reconcile.TerminalError(nil)) || len(f.asked()) > 0 {
		t.Error("rules that are too large are tried")
	}
}

func TestAnObjectThatChangesWhileItIsRead(t *testing.T) {
	f := setup(t)
	f.put(map[string]string{"a": "1", "b": "2"})
	moved := false
	f.upstream.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/a") || moved {
			return false
		}
		moved = true
		f.remove("a")
		f.put(map[string]string{"b": "22"})
		return false
	})
	f.must()
	if diff := cmp.Diff(map[string]string{"b": "22"}, f.files()); diff != "" || !moved {
		t.Error(diff)
	}
	f.upstream.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/c") {
			w.WriteHeader(http.StatusPreconditionFailed)
			_, _ = w.Write([]byte("<Error><Code>PreconditionFailed</Code></Error>"))
			return true
		}
		return false
	})
	f.put(map[string]string{"c": "3"})
	f.asked()
	_ = f.fails(sourcev1.BucketOperationFailedReason, "failed to get 'c' object: the object has changed since it was listed")
	if diff := cmp.Diff(map[string]string{"b": "22"}, f.files()); diff != "" {
		t.Error("the artifact before is gone: " + diff)
	}
}

func TestBucketsThatFail(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil        func(*fixture)
		reason, says string
		terminal     bool
	}{
		"a bucket that is not there": {
			func(f *fixture) { f.obj.Spec.BucketName = "other" }, sourcev1.BucketOperationFailedReason, "bucket 'other' failed", false,
		},
		"a server that is not there": {
			func(f *fixture) { f.server.Close() }, sourcev1.BucketOperationFailedReason, "connection refused", false,
		},
		"a Secret that is not there": {
			func(f *fixture) { f.obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "gone"} },
			sourcev1.AuthenticationFailedReason, "spec.secretRef: failed to get secret 'apps/gone'", false,
		},
		"a Secret without keys": {
			func(f *fixture) { f.secret("empty", map[string]string{"x": "y"}) },
			sourcev1.AuthenticationFailedReason, "required fields 'accesskey' and 'secretkey'", false,
		},
		"an endpoint with a scheme": {
			func(f *fixture) { f.obj.Spec.Endpoint = f.server.URL }, sourcev1.InvalidProviderConfigurationReason, "spec.endpoint is no host", true,
		},
		"an endpoint with a password": {
			func(f *fixture) { f.obj.Spec.Endpoint = "user:hunter2@example.com" },
			sourcev1.InvalidProviderConfigurationReason, "spec.endpoint is no host", true,
		},
		"a name that is a path": {
			func(f *fixture) { f.obj.Spec.BucketName = "a/b" }, sourcev1.InvalidProviderConfigurationReason, `"a/b" is no name`, true,
		},
		"the identity of the controller to a server of the object's": {
			func(f *fixture) { f.obj.Spec.Provider, f.obj.Spec.Insecure = "aws", false },
			sourcev1.InvalidProviderConfigurationReason, "goes to hosts of AWS only", true,
		},
		"that of Google without encryption": {
			func(f *fixture) { f.obj.Spec.Provider, f.obj.Spec.Endpoint = "gcp", "storage.googleapis.com" },
			sourcev1.InvalidProviderConfigurationReason, "goes over https only", true,
		},
		"that of Azure through a proxy of the object's": {
			func(f *fixture) {
				f.secret("proxy", map[string]string{"address": "http://proxy.example.com"})
				f.obj.Spec.SecretRef, f.obj.Spec.ProxySecretRef = nil, f.obj.Spec.SecretRef
				f.obj.Spec.Provider, f.obj.Spec.Endpoint, f.obj.Spec.Insecure = "azure", "https://account.blob.core.windows.net", false
			},
			sourcev1.InvalidProviderConfigurationReason, "spec.proxySecretRef says", true,
		},
		"a managed identity of the machine to another host": {
			func(f *fixture) {
				f.secret("azure", map[string]string{"clientId": "x"})
				f.obj.Spec.Provider, f.obj.Spec.Endpoint, f.obj.Spec.Insecure = "azure", "https://account.example.com", false
			},
			sourcev1.InvalidProviderConfigurationReason, "names a managed identity", true,
		},
		"a ServiceAccount without the feature gate": {
			func(f *fixture) { f.obj.Spec.Provider, f.obj.Spec.ServiceAccountName = "aws", "team" },
			meta.FeatureGateDisabledReason, auth.FeatureGateObjectLevelWorkloadIdentity, true,
		},
		"a ServiceAccount of no cloud": {
			func(f *fixture) { f.obj.Spec.ServiceAccountName = "team" }, sourcev1.InvalidProviderConfigurationReason, "means nothing", true,
		},
		"certificates for a cloud": {
			func(f *fixture) {
				f.obj.Spec.Provider, f.obj.Spec.CertSecretRef = "gcp", &meta.LocalObjectReference{Name: "x"}
			},
			sourcev1.InvalidProviderConfigurationReason, "spec.certSecretRef is for provider generic only", true,
		},
		"an STS of another provider": {
			func(f *fixture) {
				f.obj.Spec.STS = &sourcev1.BucketSTSSpec{Provider: "aws", Endpoint: "https://sts.amazonaws.com"}
			},
			sourcev1.InvalidSTSConfigurationReason, "STS provider 'aws' is not supported for 'generic'", true,
		},
		"a proxy that is no URL": {
			func(f *fixture) {
				f.secret("proxy", map[string]string{"address": "hunter2"})
				f.obj.Spec.SecretRef, f.obj.Spec.ProxySecretRef = nil, f.obj.Spec.SecretRef
			},
			sourcev1.AuthenticationFailedReason, "'address': it is no URL such as http://host:port", false,
		},
		"a proxy whose Secret is not there": {
			func(f *fixture) { f.obj.Spec.ProxySecretRef = &meta.LocalObjectReference{Name: "gone"} },
			sourcev1.AuthenticationFailedReason, "spec.proxySecretRef: failed to get secret 'apps/gone'", false,
		},
		"a key that no cloud has": {
			func(f *fixture) { f.lists(strings.Repeat("k", maxKey+1)) },
			sourcev1.BucketOperationFailedReason, "has a key, or an etag, of more than 1024 bytes", false,
		},
		"a key that leads out of the artifact": {
			func(f *fixture) { f.put(map[string]string{"../x": "1"}) },
			sourcev1.BucketOperationFailedReason, "object '../x' has a key that no file can have", false,
		},
		"a key with an empty directory": {
			func(f *fixture) { f.put(map[string]string{"a//x": "1"}) },
			sourcev1.BucketOperationFailedReason, "object 'a//x' has a key that no file can have", false,
		},
		"a key that is a directory, too": {
			func(f *fixture) { f.put(map[string]string{"a": "1", "a/b": "2"}) }, sourcev1.BucketOperationFailedReason, "make no files", false,
		},
		"a server that lies about a size": {
			func(f *fixture) {
				f.put(map[string]string{"liar": "12345"})
				f.upstream.Answer(func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, "/liar") {
						w.Header().Set("ETag", `"x"`)
						w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
						_, _ = w.Write([]byte(strings.Repeat("x", 1000)))
						return true
					}
					return false
				})
			},
			sourcev1.BucketOperationFailedReason,
			"failed to get 'liar' object: the object has changed since it was listed: more than 5 bytes came", false,
		},
		"a server that claims a terabyte": {
			func(f *fixture) {
				f.upstream.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
					_, _ = w.Write([]byte(`<ListBucketResult><Contents><Key>a</Key><ETag>"x"</ETag><Size>1099511627776</Size></Contents>` +
						`</ListBucketResult>`))
					return true
				})
			},
			sourcev1.BucketOperationFailedReason, "have 1099511627776 bytes", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			tc.spoil(f)
			err := f.fails(tc.reason, tc.says)
			if errors.Is(err, reconcile.TerminalError(nil)) != tc.terminal {
				t.Errorf("terminal: %v, want %v", !tc.terminal, tc.terminal)
			}
			c := apimeta.FindStatusCondition(f.obj.Status.Conditions, sourcev1.FetchFailedCondition)
			if c == nil || c.Reason != tc.reason || strings.Contains(c.Message, "hunter2") {
				t.Errorf("the condition is %+v", c)
			}
		})
	}
}

// secret makes a Secret and lets the source use it.
func (f *fixture) secret(name string, data map[string]string) {
	f.Helper()
	f.objects = []client.Object{make.Secret("apps", name, data)}
	f.restart()
	f.obj.Spec.SecretRef = &meta.LocalObjectReference{Name: name}
}

// TestCredentialsOfS3 has a server that wants signed requests, behind certificates of its
// own, and a service that gives keys to those who have a password.
func TestCredentialsOfS3(t *testing.T) {
	f := setup(t)
	f.put(map[string]string{"a": "1"})
	signed := func(key string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+key+"/") {
				return false
			}
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<Error><Code>AccessDenied</Code><Message>no, hunter2</Message></Error>"))
			return true
		}
	}
	f.upstream.Answer(signed("ann"))
	_ = f.fails(sourcev1.BucketOperationFailedReason, "listing objects from bucket 'app' failed: no, hunter2")
	f.secret("keys", map[string]string{"accesskey": "bob", "secretkey": "hunter2"})
	_ = f.fails(sourcev1.BucketOperationFailedReason, "failed: no, ***")
	f.secret("keys", map[string]string{"accesskey": "ann", "secretkey": "hunter2"})
	f.must()

	sts := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("LDAPUsername") != "user" || r.FormValue("LDAPPassword") != "pass" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(`<AssumeRoleWithLDAPIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">` +
			`<AssumeRoleWithLDAPIdentityResult><Credentials><AccessKeyId>lent</AccessKeyId><SecretAccessKey>s</SecretAccessKey>` +
			`<Expiration>2100-01-01T00:00:00Z</Expiration><SessionToken>t</SessionToken></Credentials></AssumeRoleWithLDAPIdentityResult>` +
			`</AssumeRoleWithLDAPIdentityResponse>`))
	}))
	t.Cleanup(sts.Close)
	f.upstream.Answer(signed("lent"))
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: sts.Certificate().Raw}))
	f.objects = []client.Object{
		make.Secret("apps", "ldap", map[string]string{"username": "user", "password": "pass"}),
		make.Secret("apps", "ca", map[string]string{"ca.crt": ca}),
	}
	f.restart()
	f.obj.Spec.SecretRef = nil
	f.obj.Spec.STS = &sourcev1.BucketSTSSpec{
		Provider: "ldap", Endpoint: sts.URL, SecretRef: &meta.LocalObjectReference{Name: "ldap"},
	}
	_ = f.fails(sourcev1.BucketOperationFailedReason, "certificate")
	f.obj.Spec.STS.CertSecretRef = &meta.LocalObjectReference{Name: "ca"}
	f.must()
}

func TestABucketBehindCertificates(t *testing.T) {
	f := setup(t)
	f.put(map[string]string{"a": "1"})
	front := httptest.NewTLSServer(f.server.Config.Handler)
	t.Cleanup(front.Close)
	f.obj.Spec.Endpoint, f.obj.Spec.Insecure = strings.TrimPrefix(front.URL, "https://"), false
	_ = f.fails(sourcev1.BucketOperationFailedReason, "certificate")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	f.secret("ca", map[string]string{"ca.crt": ca})
	f.obj.Spec.SecretRef, f.obj.Spec.CertSecretRef = nil, f.obj.Spec.SecretRef
	f.must()
}

// TestGoogleCloudStorage has a server with the answers of its JSON API, in two pages, to
// those who have a token for the key of a service account.
func TestGoogleCloudStorage(t *testing.T) {
	f := setup(t)
	content := map[string]string{"a/x.yaml": "1", "b y": "22"}
	f.upstream.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "application/json")
		object := func(key string) map[string]any {
			return map[string]any{"name": key, "etag": "CI" + key, "size": fmt.Sprint(len(content[key])), "generation": "7"}
		}
		key := strings.TrimPrefix(r.URL.Path, "/storage/v1/b/app/o/")
		switch {
		case r.URL.Path == "/token":
			_, _ = w.Write([]byte(`{"access_token":"good","token_type":"Bearer","expires_in":3600}`))
		case r.Header.Get("Authorization") != "Bearer good":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/storage/v1/b/app/o" && r.URL.Query().Get("pageToken") == "":
			_ = json.NewEncoder(w).Encode(map[string]any{"items": []any{object("a/x.yaml")}, "nextPageToken": "next"})
		case r.URL.Path == "/storage/v1/b/app/o":
			_ = json.NewEncoder(w).Encode(map[string]any{"items": []any{object("b y")}})
		case content[key] != "" && r.URL.Query().Get("alt") == "media" && r.URL.Query().Get("ifGenerationMatch") == "7":
			_, _ = w.Write([]byte(content[key]))
		default:
			http.NotFound(w, r)
		}
		return true
	})
	f.obj.Spec.Provider = "gcp"
	f.secret("key", map[string]string{"serviceaccount": `{"type":"external_account","credential_source":{"file":"/etc/passwd"}}`})
	_ = f.fails(sourcev1.AuthenticationFailedReason, "'serviceaccount' of spec.secretRef is no key of a service account")
	f.secret("key", map[string]string{"serviceaccount": serviceAccount(t, f.server.URL+"/token")})
	f.must()
	if diff := cmp.Diff(content, f.files()); diff != "" {
		t.Error(diff)
	}
	f.asked()
	f.must()
	if diff := cmp.Diff([]string{"GET /storage/v1/b/app/o", "GET /storage/v1/b/app/o"}, f.asked()); diff != "" {
		t.Error(diff)
	}
}

// TestAzureBlobStorage has a server with the answers of its REST API.
func TestAzureBlobStorage(t *testing.T) {
	f := setup(t)
	f.upstream.Answer(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("x-ms-version", "2023-11-03")
		shared, sas := strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey 127:"), r.URL.Query().Get("sig") == "good"
		switch {
		case !shared && !sas:
			w.Header().Set("x-ms-error-code", "AuthenticationFailed")
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/app" && r.URL.Query().Get("comp") == "list" && r.URL.Query().Get("prefix") == "a":
			w.Header().Set("Content-Type", "application/xml")
			_, _ = w.Write([]byte(`<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs><Blob><Name>a/x</Name><Properties>` +
				`<Etag>0x8D</Etag><Content-Length>3</Content-Length></Properties></Blob></Blobs><NextMarker/></EnumerationResults>`))
		case r.URL.Path == "/app/a/x" && r.Header.Get("If-Match") == "0x8D":
			w.Header().Set("ETag", "0x8D")
			_, _ = w.Write([]byte("one"))
		default:
			w.Header().Set("x-ms-error-code", "BlobNotFound")
			w.WriteHeader(http.StatusNotFound)
		}
		return true
	})
	f.obj.Spec.Provider, f.obj.Spec.Prefix, f.obj.Spec.Endpoint = "azure", "a", f.server.URL
	f.secret("azure", map[string]string{"sasKey": "?sv=1&sig=bad-signature"})
	err := f.fails(sourcev1.BucketOperationFailedReason, "AuthenticationFailed")
	if strings.Contains(err.Error(), "bad-signature") {
		t.Errorf("the error shows the signature: %v", err)
	}
	f.secret("azure", map[string]string{"sasKey": "?sv=1&sig=good"})
	f.must()
	revision := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(fmt.Sprintf("a/x %x\n", "0x8D"))))
	if diff := cmp.Diff(map[string]string{"a/x": "one"}, f.files()); diff != "" || f.obj.Status.Artifact.Revision != revision {
		t.Errorf("revision %s, want %s\n%s", f.obj.Status.Artifact.Revision, revision, diff)
	}
	f.obj.Status.Artifact = nil
	f.secret("azure", map[string]string{"accountKey": "aGVsbG8="})
	f.must()
	f.secret("azure", map[string]string{"other": "x"})
	_ = f.fails(sourcev1.AuthenticationFailedReason, "spec.secretRef requires 'accountKey', 'sasKey'")
}

func TestWhatIsAskedOfABucket(t *testing.T) {
	k, obj := kind(), make.Bucket("apps", name)
	if k.About(obj) != nil || k.Suspended(obj) || k.New() == nil || k.Host(t.Context(), obj) != "127.0.0.1:1" {
		t.Errorf("%+v", k)
	}
	obj.Spec.Endpoint, obj.Spec.ProxySecretRef = "https://Account.blob.core.windows.net", &meta.LocalObjectReference{Name: "proxy"}
	if host := k.Host(t.Context(), obj); host != "account.blob.core.windows.net through apps/proxy" {
		t.Errorf("it waits at %s", host)
	}
	obj.Status.Artifact = &meta.Artifact{Revision: "r", Digest: "d"}
	if k.About(obj)["source.toolkit.fluxcd.io/revision"] != "r" {
		t.Error("events do not say the revision")
	}
	obj.Spec.SecretRef = &meta.LocalObjectReference{Name: "a"}
	b, c := &meta.LocalObjectReference{Name: "b"}, &meta.LocalObjectReference{Name: "c"}
	obj.Spec.STS = &sourcev1.BucketSTSSpec{SecretRef: b, CertSecretRef: c}
	if diff := cmp.Diff([]string{"a", "proxy", "b", "c"}, secretsOf(obj)); diff != "" {
		t.Error(diff)
	}
	f := setup(t)
	f.put(map[string]string{"a": "1"})
	f.must()
	key, shared := client.ObjectKeyFromObject(f.obj), f.Transports.Len()
	for proxy, owner := range map[string]string{"http://a.example:1": serverOwner(key), "http://b.example:1": stsOwner(key)} {
		if _, err := f.Transports.ForOwner(owner, outbound.Settings{Proxy: proxy}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Clean(key); err != nil || f.Publisher.Store.Holds(f.obj.Status.Artifact) || f.opened.Len() > 0 ||
		f.Transports.Len() != shared {
		t.Errorf("it is not gone: %v", err)
	}
	if reason := reconciler.ReasonOf(errors.New("x"), f.Reason); reason != meta.FailedReason {
		t.Errorf("reason %s", reason)
	}
}

func TestABucketLeadsToNoForbiddenAddress(t *testing.T) {
	f := setup(t)
	guard := outbound.NewGuard(nil)
	f.Guard, f.Transports = guard, outbound.NewTransports(guard)
	for name, spoil := range map[string]func(){
		"the server": func() {},
		"metadata":   func() { f.obj.Spec.Endpoint = "169.254.169.254" },
		"a number":   func() { f.obj.Spec.Endpoint = "2130706433:80" },
		"blobs":      func() { f.obj.Spec.Provider, f.obj.Spec.Endpoint = "azure", "http://[::1]:10000/account" },
		"a token server": func() {
			f.obj.Spec.Endpoint = "s3.example.com"
			f.obj.Spec.STS = &sourcev1.BucketSTSSpec{Provider: "ldap", Endpoint: "https://127.0.0.1/sts"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := f.obj.Spec.DeepCopy()
			spoil()
			err := f.fails(sourcev1.URLInvalidReason, outbound.ErrForbiddenAddress.Error())
			if !errors.Is(err, reconcile.TerminalError(nil)) || len(f.asked()) > 0 {
				t.Error("it is tried")
			}
			f.obj.Spec = *before
		})
	}
	// A name that resolves to such an address is found out when it is dialed.
	f.obj.Spec.Endpoint = strings.Replace(f.obj.Spec.Endpoint, "127.0.0.1", "ip6-localhost.localdomain", 1)
	if _, err := f.Reconcile(t.Context(), f.obj); err == nil || len(f.asked()) > 0 {
		t.Errorf("got %v", err)
	}
}

// What Flux's controller had begun, or had failed at, stayed beside Ready for ever.
func TestConditionsOfFluxGoOnceTheArtifactIsThere(t *testing.T) {
	f := setup(t)
	f.put(map[string]string{"a.yaml": "a: 1"})
	for range 2 { // an artifact that is new, and one that is there
		sourcetest.TakenOver(f.obj)
		f.must()
		sourcetest.CheckNoFailures(t, f.obj)
	}
}

// Alerts were told of a new artifact when Sluice took over, although it was the same objects.
func TestTheArtifactOfAnotherControllerIsNoNews(t *testing.T) {
	f := setup(t)
	f.put(map[string]string{"app.yaml": "n: 1\n"})
	f.must()
	f.obj.Status.Artifact.Digest = "sha256:" + strings.Repeat("0", 64) // archived otherwise
	f.obj.Status.Artifact.URL = "http://source-controller.flux-system.svc.cluster.local./" + f.obj.Status.Artifact.Path
	if result := f.must(); len(result.Events) != 0 || !f.Publisher.Store.Holds(f.obj.Status.Artifact) {
		t.Errorf("events are %v, the artifact is %+v", result.Events, f.obj.Status.Artifact)
	}
}
