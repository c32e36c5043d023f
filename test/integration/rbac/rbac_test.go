// SPDX-License-Identifier: Apache-2.0

// Package rbac runs a release with the rights that config/rbac grants and no
// more, because only a real API server knows which ones a controller needs.
//
// The binding to cluster-admin is left out. What Git says is applied in the name
// of a service account that may edit its namespace, as a careful installation
// would have it.
package rbac

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/harness"
)

// Where the controllers run, and where the release does.
const (
	system    = "flux-system"
	namespace = "least"
)

// grants are what an installation without cluster-admin has to add: rights for
// who applies, and for sluice to watch what is applied.
const grants = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: applier, namespace: least}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: applier, namespace: least}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: applier, namespace: least}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: applier-canaries, namespace: least}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-canary-edit}
subjects: [{kind: ServiceAccount, name: applier, namespace: least}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: least-gateways}
rules:
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get, list, watch, create, patch, delete]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: applier-gateways, namespace: least}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: least-gateways}
subjects: [{kind: ServiceAccount, name: applier, namespace: least}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: least-watch}
rules:
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: least-watch}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: least-watch}
subjects: [{kind: ServiceAccount, name: sluice, namespace: flux-system}]
`

func TestAReleaseNeedsNoMoreThanTheRoles(t *testing.T) {
	p := harness.Require(t)
	work := t.TempDir()
	c, err := chain.Setup(t.Context(), p, work, chain.Options{Namespace: namespace, Interval: time.Second, Threshold: 20})
	if err != nil {
		t.Fatal(err)
	}
	install(t, p)
	if err := p.Apply(t.Context(), []byte(grants)); err != nil {
		t.Fatal(err)
	}
	applyAs(t, c, "applier")
	c.Users(t)

	limited := *p
	limited.Kubeconfig = kubeconfigOf(t, p, "sluice")
	sluice, err := limited.StartController(t.Context(), work,
		"--enable-leader-election", "--namespace", system, "--watch-namespace", namespace, "--canary-min-interval", "1s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sluice.Stop)
	t.Cleanup(func() { noneForbidden(t, sluice) })

	if err := c.Ready(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, sluice.Tail(4000))
	}
	if err := c.Release(t.Context(), chain.Release{Tag: "1.1.0"}); err != nil {
		t.Fatal(err)
	}
	outcome, err := c.Verdict(t.Context(), "1.1.0")
	if err != nil || outcome != chain.Promoted {
		t.Fatalf("1.1.0 was %s (%v), want %s\n%s", outcome, err, chain.Promoted, sluice.Tail(4000))
	}
}

// install applies the service account and the roles, without cluster-admin.
func install(t *testing.T, p *harness.Playground) {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "config", "rbac", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no roles found (%v)", err)
	}
	for _, file := range append([]string{filepath.Join(root, "config", "manager", "namespace.yaml")}, files...) {
		switch filepath.Base(file) {
		case "kustomization.yaml", "kustomize-cluster-admin.yaml", "workload-identity.yaml":
			continue
		}
		if err := p.ApplyFile(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
}

// applyAs makes the chain's Kustomization apply in the name of an account.
func applyAs(t *testing.T, c *chain.Chain, account string) {
	t.Helper()
	k := &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: chain.App}}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"serviceAccountName":"`+account+`"}}`))
	if err := c.Client.Patch(t.Context(), k, patch); err != nil {
		t.Fatal(err)
	}
}

// kubeconfigOf writes a kubeconfig with a token of a service account.
func kubeconfigOf(t *testing.T, p *harness.Playground, account string) string {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(p.REST)
	if err != nil {
		t.Fatal(err)
	}
	token, err := clientset.CoreV1().ServiceAccounts(system).CreateToken(t.Context(), account,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(3600))}},
		metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.LoadFromFile(p.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// noneForbidden fails for every refusal that the controller met, also those that
// did not keep the release from ending well.
func noneForbidden(t *testing.T, sluice *harness.Controller) {
	t.Helper()
	log, err := os.ReadFile(sluice.Log())
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(log) {
		if bytes.Contains(bytes.ToLower(line), []byte("forbidden")) {
			t.Errorf("the API server refused: %s", line)
		}
	}
}
