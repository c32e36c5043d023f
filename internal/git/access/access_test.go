// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/acl"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// repository is a GitRepository that admits writes from namespaces.
func repository(namespace, name, writeFrom string) *sourcev1.GitRepository {
	repo := &sourcev1.GitRepository{}
	repo.Namespace, repo.Name = namespace, name
	if writeFrom != "" {
		repo.Annotations = map[string]string{imagev1.WriteFromAnnotation: writeFrom}
	}
	return repo
}

func reader(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{sourcev1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).Build()
}

func TestWhoMayWriteWithAGitRepository(t *testing.T) {
	for name, tc := range map[string]struct {
		access    Access
		namespace string
		of        string // of the GitRepositories below
		reason    string // empty is one who may
		terminal  bool
	}{
		"one of its own namespace":                     {namespace: "flux-system", of: "closed"},
		"one of another namespace":                     {namespace: "apps", of: "closed", reason: acl.AccessDeniedReason, terminal: true},
		"one of a namespace that it names":             {namespace: "apps", of: "shared"},
		"one whose name only begins so":                {namespace: "app", of: "shared", reason: acl.AccessDeniedReason, terminal: true},
		"anybody, if it says so":                       {namespace: "apps", of: "open"},
		"nobody, of one that is not there":             {namespace: "apps", of: "gone", reason: acl.AccessDeniedReason, terminal: true},
		"one of its own namespace, of one that is not": {namespace: "flux-system", of: "gone", reason: imagev1.SourceManagerFailedReason},
		"anybody, if the process says so":              {access: Access{AllowCrossNamespaceWrites: true}, namespace: "apps", of: "closed"},
		"no other namespace, if the process says so": {
			access: Access{NoCrossNamespaceRefs: true, AllowCrossNamespaceWrites: true}, namespace: "apps", of: "open",
			reason: acl.AccessDeniedReason, terminal: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.access.Client = reader(t, interceptor.Funcs{}, repository("flux-system", "closed", ""),
				repository("flux-system", "shared", "lab, apps"), repository("flux-system", "open", "*"))
			key := types.NamespacedName{Namespace: "flux-system", Name: tc.of}
			repo, err := tc.access.Repository(t.Context(), tc.namespace, key, time.Minute)
			if tc.reason == "" {
				if err != nil || repo.Name != tc.of {
					t.Errorf("got %v, %v", repo, err)
				}
				return
			}
			other := func(error) string { return "" }
			if reason := reconciler.ReasonOf(err, other); reason != tc.reason || errors.Is(err, reconcile.TerminalError(nil)) != tc.terminal {
				t.Errorf("got %q, %v", reason, err)
			}
			if !tc.terminal && !reconciler.IsPending(err) {
				t.Errorf("it is not waited for: %v", err)
			}
		})
	}
}

func TestAnAPIServerThatFailsRefusesNobodyForGood(t *testing.T) {
	access := Access{Client: reader(t, interceptor.Funcs{
		Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errors.New("the API server is away")
		},
	})}
	_, err := access.Repository(t.Context(), "apps", types.NamespacedName{Namespace: "flux-system", Name: "open"}, time.Minute)
	if err == nil || errors.Is(err, reconcile.TerminalError(nil)) {
		t.Errorf("got %v", err)
	}
}

func TestWhereAReferenceLeads(t *testing.T) {
	for _, tc := range []struct{ namespace, want string }{{"", "apps/fleet"}, {"flux-system", "flux-system/fleet"}} {
		ref := imagev1.CrossNamespaceSourceReference{Namespace: tc.namespace, Name: "fleet"}
		if got := KeyOf("apps", ref).String(); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
}

func TestKeysThatSignNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		data map[string][]byte
		kind imagev1.SigningKeyType
		says string
	}{
		"no Secret":                   {says: "not found"},
		"a Secret without a PGP key":  {data: map[string][]byte{"identity": []byte("x")}, says: "'git.asc'"},
		"a Secret without an SSH key": {data: map[string][]byte{"git.asc": []byte("x")}, kind: imagev1.SigningKeyTypeSSH, says: "'identity'"},
		"a PGP key that is none":      {data: map[string][]byte{"git.asc": []byte("top-secret")}, says: "'git.asc'"},
		"an SSH key that is none": {
			data: map[string][]byte{"identity": []byte("top-secret")}, kind: imagev1.SigningKeyTypeSSH, says: "'identity'"},
	} {
		t.Run(name, func(t *testing.T) {
			var objects []client.Object
			if tc.data != nil {
				secret := &corev1.Secret{Data: tc.data}
				secret.Namespace, secret.Name = "apps", "key"
				objects = append(objects, secret)
			}
			spec := &imagev1.SigningKey{Type: tc.kind}
			spec.SecretRef.Name = "key"
			signer, err := Access{Client: reader(t, interceptor.Funcs{}, objects...)}.Signer(t.Context(), "apps", "spec.git", spec)
			if err == nil || signer != nil || !strings.Contains(err.Error(), tc.says) ||
				!strings.Contains(err.Error(), "spec.git: secret apps/key") || strings.Contains(err.Error(), "top-secret") {
				t.Errorf("got %v, %v", signer, err)
			}
		})
	}
	if signer, err := (Access{}).Signer(t.Context(), "apps", "spec.git", nil); signer != nil || err != nil {
		t.Errorf("without a key: %v, %v", signer, err)
	}
}
