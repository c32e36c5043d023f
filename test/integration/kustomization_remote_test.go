// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sluice-cd/sluice/test/harness"
)

// TestKustomizationOfAnotherCluster: Kustomizations are in one cluster, what they apply is in
// another. It runs beside no other test: its controller looks at all namespaces, and would write the status of
// what a process of another test reconciles.
func TestKustomizationOfAnotherCluster(t *testing.T) {
	here, there := startKustomization(t).env(t), harness.SecondPlayground(t)
	// What the other cluster has is looked at as the test looks at its own.
	remote := &testEnv{cluster: &cluster{Client: there.Client}, t: t, ns: here.ns}
	remote.must(there.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: here.ns}}))
	config, err := clientcmd.LoadFromFile(there.Kubeconfig)
	here.must(err)
	here.kubeConfig("other", config)

	here.kustomization("app", appliesTo("other", func(s *kustomizev1.KustomizationSpec) { s.Prune, s.Wait = true, true }))
	revision := here.push(map[string]string{
		"app/a.yaml": configMap("a", "1"), "app/b.yaml": configMap("b", "1"), "app/d.yaml": deployment("d", 0, ""),
		"tenant/a.yaml": configMap("tenant", "1"), "near/a.yaml": configMap("near", "1"), "silent/a.yaml": configMap("silent", "1"),
	})
	here.ready("app", revision)
	if remote.object("v1", "ConfigMap", "a") == nil || here.object("v1", "ConfigMap", "a") != nil {
		t.Error("the objects are not where the kubeConfig leads")
	}
	remote.must(there.Client.Delete(t.Context(), remote.object("v1", "ConfigMap", "a")))
	harness.MustSucceed(remote.t, func(context.Context) error {
		if remote.object("v1", "ConfigMap", "a") == nil {
			return errors.New("an object that was deleted there does not come back")
		}
		return nil
	})

	t.Run("an account has its rights there", func(t *testing.T) { here.tenantThere(remote) })
	t.Run("a cluster that says nothing holds up nobody else", here.silentCluster)

	here.ready("app", here.push(map[string]string{"app/a.yaml": configMap("a", "2"), "app/d.yaml": deployment("d", 0, "")}))
	remote.gone("v1", "ConfigMap", "b")
	here.must(here.Delete(t.Context(), here.get("app")))
	remote.gone("v1", "ConfigMap", "a")
	remote.gone("apps/v1", "Deployment", "d")
}

// appliesTo makes a Kustomization one of the cluster of a Secret.
func appliesTo(secret string, change func(*kustomizev1.KustomizationSpec)) func(*kustomizev1.KustomizationSpec) {
	return func(s *kustomizev1.KustomizationSpec) {
		s.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: secret}}
		if change != nil {
			change(s)
		}
	}
}

// tenantThere: the account is one of the other cluster, and so are its rights.
func (b *testEnv) tenantThere(remote *testEnv) {
	b.kustomization("tenant", appliesTo("other", func(s *kustomizev1.KustomizationSpec) { s.ServiceAccountName = "deployer" }))
	b.failing("tenant", meta.ReconciliationFailedReason, "ServiceAccount "+b.ns+"/deployer does not exist")
	ctx := b.t.Context()
	remote.must(remote.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "deployer"}}))
	remote.must(remote.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "deployer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: b.ns, Name: "deployer"}},
	}))
	b.request("tenant", "again")
	b.condition("tenant", meta.ReadyCondition, metav1.Condition{Status: metav1.ConditionTrue})
	if remote.object("v1", "ConfigMap", "tenant") == nil {
		b.t.Error("nothing was applied in the name of the account")
	}
}

// silentCluster: more Kustomizations than there are workers wait for a server that takes
// connections and says nothing.
func (b *testEnv) silentCluster(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	b.must(err)
	defer func() { _ = listener.Close() }()
	config, err := clientcmd.Load(fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: x,
clusters: [{name: c, cluster: {server: "http://%s"}}], contexts: [{name: x, context: {cluster: c}}]}`, listener.Addr()))
	b.must(err)
	b.kubeConfig("silent", config)
	for i := range 20 {
		b.kustomization(fmt.Sprintf("silent%d", i), appliesTo("silent", func(s *kustomizev1.KustomizationSpec) { s.Path = "./silent" }))
	}
	for i := range 5 {
		near := fmt.Sprintf("near%d", i)
		b.kustomization(near, func(s *kustomizev1.KustomizationSpec) { s.Path = "./near" })
		b.condition(near, meta.ReadyCondition, metav1.Condition{Status: metav1.ConditionTrue})
	}
	if b.get("silent0").Status.LastAppliedRevision != "" {
		t.Error("a server that says nothing has applied something")
	}
	// A Secret that is put right is seen at once, without a retry.
	_ = listener.Close()
	b.must(b.Delete(b.t.Context(), b.object("v1", "Secret", "silent")))
	harness.MustSucceed(b.t, func(context.Context) error {
		for i := range 20 {
			k := b.get(fmt.Sprintf("silent%d", i))
			ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
			if ready == nil || !strings.Contains(ready.Message, "Secret "+b.ns+"/silent does not exist") {
				return fmt.Errorf("%s says %+v", k.Name, ready)
			}
		}
		return nil
	})
	for i := range 20 {
		k := b.get(fmt.Sprintf("silent%d", i))
		b.must(b.Delete(b.t.Context(), k))
	}
}

// kubeConfig writes a kubeconfig into a Secret.
func (b *testEnv) kubeConfig(name string, config *clientcmdapi.Config) {
	b.t.Helper()
	text, err := clientcmd.Write(*config)
	b.must(err)
	b.must(b.Create(b.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: name}, Data: map[string][]byte{"value": text},
	}))
}
