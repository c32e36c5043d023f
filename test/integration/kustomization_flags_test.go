// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/fake/gitserver"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/make"
)

// flagged is a namespace that the real process serves with some flags, and a Git server with its source.
type flagged struct {
	*harness.Playground
	t    *testing.T
	ns   string
	git  *gitserver.Server
	repo *gitserver.Repo
}

func startFlagged(t *testing.T, flags ...string) *flagged {
	t.Helper()
	f := &flagged{Playground: harness.Installed(t), t: t, git: gitserver.New(t)}
	f.ns, f.repo = f.NewNamespace(t, "flags-", nil), f.git.Repo("org/fleet")
	sluice, err := f.StartController(t.Context(), t.TempDir(), append(flags, "--controllers=source,kustomize", "--watch-namespace", f.ns)...)
	f.must(err)
	t.Cleanup(sluice.Stop)
	return f
}

func (f *flagged) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *flagged) create(objects ...client.Object) {
	f.t.Helper()
	for _, object := range objects {
		object.SetNamespace(f.ns)
		f.must(f.Client.Create(f.t.Context(), object))
	}
}

// applies commits files, and makes a Kustomization of them.
func (f *flagged) applies(name string, files gitserver.Files, change func(*kustomizev1.Kustomization)) {
	f.t.Helper()
	f.repo.Commit(name, files)
	f.create(
		make.GitRepository(f.ns, name, func(r *sourcev1.GitRepository) { r.Spec.URL, r.Spec.Reference.Branch = f.repo.URL, name }),
		make.Kustomization(f.ns, name, func(k *kustomizev1.Kustomization) {
			k.Spec.SourceRef.Name, k.Spec.TargetNamespace = name, f.ns
			k.Spec.RetryInterval = &metav1.Duration{Duration: time.Second}
			change(k)
		}),
	)
}

// is waits until Ready of a Kustomization says something.
func (f *flagged) is(name string, status metav1.ConditionStatus, says string) *kustomizev1.Kustomization {
	f.t.Helper()
	k := &kustomizev1.Kustomization{}
	_, err := harness.Eventually(f.t.Context(), fmt.Sprintf("%s being Ready=%s: %s", name, status, says), harness.Patience,
		func(ctx context.Context) (bool, string) {
			err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.ns, Name: name}, k)
			ready := apimeta.FindStatusCondition(k.Status.Conditions, meta.ReadyCondition)
			return err == nil && ready != nil && ready.Status == status && strings.Contains(ready.Message, says), fmt.Sprint(ready, err)
		})
	f.must(err)
	return k
}

// has waits until a ConfigMap has a value.
func (f *flagged) has(name, value string) {
	f.t.Helper()
	_, err := harness.Eventually(f.t.Context(), name+" having "+value, harness.Patience, func(ctx context.Context) (bool, string) {
		config := &corev1.ConfigMap{}
		err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.ns, Name: name}, config)
		return err == nil && config.Data["key"] == value, fmt.Sprint(config.Data, err)
	})
	f.must(err)
}

func (f *flagged) request(name string) {
	f.t.Helper()
	_, err := f.RequestReconcile(f.t.Context(), &kustomizev1.Kustomization{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: name}})
	f.must(err)
}

// TestFlagsThatAllowMore runs the process with the flags that allow what it refuses by default, and without.
func TestFlagsThatAllowMore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flag             string
		allowed, refused func(*flagged)
	}{
		"remote bases": {"--no-remote-bases=false", remoteBases, noRemoteBases},
		"commands":     {"--insecure-kubeconfig-exec", commandsOfKubeconfigs, noCommands},
		"kinds applied early": {
			"--custom-apply-stage-kinds=rbac.authorization.k8s.io/Role,rbac.authorization.k8s.io/RoleBinding", earlyKinds, noEarlyKinds,
		},
	} {
		t.Run(name, func(t *testing.T) { tc.allowed(startFlagged(t, tc.flag)) })
		t.Run("no "+name, func(t *testing.T) { tc.refused(startFlagged(t)) })
	}
}

// remotely makes a Kustomization with a base in another repository, and a patch at a URL there.
func (f *flagged) remotely() *gitserver.Repo {
	f.t.Helper()
	bases := f.git.Repo("org/bases")
	bases.Commit("main", gitserver.Files{"app/kustomization.yaml": "resources: [c.yaml, ../lib]\n", "app/c.yaml": configMap("near", "one"),
		"lib/kustomization.yaml": "resources: [c.yaml]\n", "lib/c.yaml": configMap("far", "one")})
	f.applies("app", gitserver.Files{"kustomization.yaml": "resources: ['" + bases.URL + "//app?ref=main']\nnamePrefix: my-\n"},
		func(*kustomizev1.Kustomization) {})
	return bases
}

func remoteBases(f *flagged) {
	bases := f.remotely()
	f.has("my-near", "one")
	f.has("my-far", "one")
	before := f.is("app", metav1.ConditionTrue, "Applied revision: app@sha1:")

	// A base that moved needs no commit of the source, and one that is broken no other commit than its own.
	bases.Commit("main", gitserver.Files{"lib/c.yaml": "{"})
	f.request("app")
	f.is("app", metav1.ConditionFalse, "c.yaml is no valid YAML")
	bases.Commit("main", gitserver.Files{"lib/c.yaml": configMap("far", "two"), "app/kustomization.yaml": "resources: [../lib]\n"})
	f.has("my-far", "two")
	after := f.is("app", metav1.ConditionTrue, "Applied revision: app@sha1:")
	if after.Status.LastAppliedRevision != before.Status.LastAppliedRevision {
		f.t.Errorf("applied %s after %s", after.Status.LastAppliedRevision, before.Status.LastAppliedRevision)
	}
	err := f.Client.Get(f.t.Context(), client.ObjectKey{Namespace: f.ns, Name: "my-near"}, &corev1.ConfigMap{})
	if client.IgnoreNotFound(err) != nil || err == nil {
		f.t.Errorf("what left the base is there: %v", err)
	}
}

func noRemoteBases(f *flagged) {
	bases := f.remotely()
	k := f.is("app", metav1.ConditionFalse,
		bases.URL+"//app?ref=main; commit it to the source, or run the controller with --no-remote-bases=false")
	if !apimeta.IsStatusConditionTrue(k.Status.Conditions, meta.StalledCondition) {
		f.t.Errorf("it is tried again: %+v", k.Status.Conditions)
	}
}

// byCommand makes a Kustomization whose kubeconfig has a command, which prints the file credential.json beside it.
func (f *flagged) byCommand(dir string) {
	f.t.Helper()
	script := fmt.Sprintf(`#!/bin/sh
echo run >> %[1]s/runs
case "$KUBERNETES_EXEC_INFO" in *'"server":"%[2]s"'*) ;; *) exit 3 ;; esac
test "$1" = credential -a "$CLUSTER" = here && exec cat %[3]s
`, dir, f.REST.Host, filepath.Join(dir, "credential.json"))
	command := filepath.Join(dir, "plugin")
	f.must(os.WriteFile(command, []byte(script), 0o700)) // it has to run
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{
		Server: f.REST.Host, CertificateAuthorityData: f.REST.CAData, CertificateAuthority: f.REST.CAFile,
	}
	if len(f.REST.CAData) == 0 {
		ca, err := os.ReadFile(f.REST.CAFile)
		f.must(err)
		config.Clusters["c"].CertificateAuthorityData, config.Clusters["c"].CertificateAuthority = ca, ""
	}
	config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: command, Args: []string{"credential"},
		Env: []clientcmdapi.ExecEnvVar{{Name: "CLUSTER", Value: "here"}}, ProvideClusterInfo: true,
		InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}}
	config.Contexts["x"], config.CurrentContext = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}, "x"
	text, err := clientcmd.Write(*config)
	f.must(err)
	f.create(make.Secret(f.ns, "there", map[string][]byte{"value": text}))
	f.applies("app", gitserver.Files{"c.yaml": configMap("c", "one")}, func(k *kustomizev1.Kustomization) {
		k.Spec.KubeConfig = &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: "there"}}
	})
}

// print has the command print the credentials of a service account.
func (f *flagged) print(dir, account string, expires time.Time) {
	f.t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](600)}}
	of := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: account}}
	f.must(f.Client.SubResource("token").Create(f.t.Context(), of, request))
	text := fmt.Sprintf(`{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
"status": {"token": %q, "expirationTimestamp": %q}}`, request.Status.Token, expires.UTC().Format(time.RFC3339))
	next := filepath.Join(dir, "next")
	f.must(os.WriteFile(next, []byte(text), 0o600))
	f.must(os.Rename(next, filepath.Join(dir, "credential.json")))
}

// deployer makes a service account with a role.
func (f *flagged) deployer(name string, rules ...rbacv1.PolicyRule) {
	f.t.Helper()
	f.create(
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: f.ns, Name: name}},
		},
	)
}

func commandsOfKubeconfigs(f *flagged) {
	f.deployer("idle")
	f.deployer("deployer", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}})
	dir := f.t.TempDir()
	// Credentials that may do nothing, for a moment, and others after.
	f.print(dir, "idle", time.Now().Add(15*time.Second))
	f.byCommand(dir)
	f.is("app", metav1.ConditionFalse, "system:serviceaccount:"+f.ns+":idle")
	f.print(dir, "deployer", time.Now().Add(10*time.Minute))
	f.has("c", "one")
	f.is("app", metav1.ConditionTrue, "Applied revision: app@sha1:")

	// Repairs and deletions go by the command, too. Its account may not list ConfigMaps of all namespaces, which a watch does.
	f.must(f.Client.Delete(f.t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: f.ns, Name: "c"}}))
	f.request("app")
	f.has("c", "one")
	k := f.is("app", metav1.ConditionTrue, "Applied revision: app@sha1:")
	f.must(f.Client.Delete(f.t.Context(), k))
	_, err := harness.Eventually(f.t.Context(), "the objects going with their Kustomization", harness.Patience,
		func(ctx context.Context) (bool, string) {
			err := f.Client.Get(ctx, client.ObjectKey{Namespace: f.ns, Name: "c"}, &corev1.ConfigMap{})
			return client.IgnoreNotFound(err) == nil && err != nil, fmt.Sprint(err)
		})
	f.must(err)
	if runs, err := os.ReadFile(filepath.Join(dir, "runs")); err != nil || strings.Count(string(runs), "run") != 2 {
		f.t.Errorf("its runs: %q, %v; want one for each of its credentials", runs, err)
	}
}

func noCommands(f *flagged) {
	dir := f.t.TempDir()
	f.byCommand(dir)
	f.is("app", metav1.ConditionFalse, "has `exec`, and commands are run only by a controller with --insecure-kubeconfig-exec")
	if _, err := os.Stat(filepath.Join(dir, "runs")); !os.IsNotExist(err) {
		f.t.Errorf("the command ran: %v", err)
	}
}

// granting makes a Kustomization in the name of an account that may apply Roles alone, and the rest by a Role among its objects.
func (f *flagged) granting() {
	f.t.Helper()
	f.deployer("deployer", rbacv1.PolicyRule{
		APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"*"},
	})
	f.applies("app", gitserver.Files{"c.yaml": configMap("c", "one"), "role.yaml": fmt.Sprintf(`apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: maps}
rules: [{apiGroups: [""], resources: [configmaps], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: maps}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: maps}
subjects: [{kind: ServiceAccount, namespace: %s, name: deployer}]
`, f.ns)}, func(k *kustomizev1.Kustomization) { k.Spec.ServiceAccountName = "deployer" })
}

func earlyKinds(f *flagged) {
	f.granting()
	f.has("c", "one")
	f.is("app", metav1.ConditionTrue, "Applied revision: app@sha1:")
}

func noEarlyKinds(f *flagged) {
	f.granting()
	f.is("app", metav1.ConditionFalse, "configmaps")
}
