// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// byWaves is a stage in two clusters, the second of which waits for the first.
const byWaves = `
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME-eu, namespace: NAMESPACE}
spec: {interval: 1h, path: ./eu, prune: true, sourceRef: {kind: GitRepository, name: NAME}, targetNamespace: NAMESPACE}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: NAME-us, namespace: NAMESPACE}
spec: {interval: 1h, path: ./us, prune: true, sourceRef: {kind: GitRepository, name: NAME}, targetNamespace: NAMESPACE}
---
apiVersion: sluice.dev/v1alpha1
kind: Pipeline
metadata: {name: NAME, namespace: NAMESPACE}
spec:
  interval: 1h
  artifacts: [{name: app, imagePolicyRef: {name: NAME}}]
  sourceRef: {kind: GitRepository, name: NAME}
  stages:
  - name: production
    write: {commit: {}}
    targets:
    - name: eu
      path: ./eu
      kubeConfig: {secretRef: {name: NAME-eu}}
      ready: [{kind: Kustomization, name: NAME-eu}]
    - name: us
      path: ./us
      wave: 1
      kubeConfig: {configMapRef: {name: NAME-us}}
      ready: [{kind: Kustomization, name: NAME-us}]
`

// TestWavesOfClusters: each target is looked at through the API server of its kubeConfig, as
// whom that says, who may see nothing but the one object. One kubeConfig is a Secret with a
// token, the other one an identity for which tokens are made.
func TestWavesOfClusters(t *testing.T) {
	s := newScenario(t, "waves")
	s.must(s.git.commit(t.Context(), "Two clusters", map[string]string{
		"eu/app.yaml": s.stageFile("eu", "1.0.0"), "us/app.yaml": s.stageFile("us", "1.0.0"),
	}))
	s.clusterBySecret("eu", s.viewer("eu"))
	s.clusterByIdentity("us", s.viewer("us"))
	s.apply(images, byWaves)
	verified := func(version string) *sluicev1.Pipeline {
		return s.pipelineBecomes("all is verified with "+version, func(p *sluicev1.Pipeline) bool {
			return hasVerified(p, "production", version)
		})
	}
	for _, target := range statusOf(verified("1.0.0"), "production").Targets {
		if target.Ready != metav1.ConditionTrue {
			t.Errorf("%s is %+v", target.Name, target)
		}
	}

	s.suspend("eu", true)
	s.push("1.1.0")
	s.pipelineBecomes("the second cluster waits for the first", func(p *sluicev1.Pipeline) bool {
		return s.has("main", "eu") == "1.1.0" && strings.Contains(statusOf(p, "production").Message, s.name+"-eu is suspended")
	})
	s.look()
	s.want("main", "us", "1.0.0")
	s.suspend("eu", false)
	verified("1.1.0")
	s.want("main", "us", "1.1.0")

	s.must(s.git.commit(t.Context(), "Break the first cluster", map[string]string{"eu/kustomization.yaml": "resources: [nowhere.yaml]\n"}))
	s.fetch()
	s.push("1.2.0")
	s.pipelineBecomes("it is taken back", func(p *sluicev1.Pipeline) bool {
		return len(p.Status.Quarantined) == 1 && s.has("main", "eu") == "1.1.0"
	})
	s.must(s.git.commit(t.Context(), "Mend it", map[string]string{"eu/kustomization.yaml": "resources: [app.yaml]\n"}))
	s.fetch()
	verified("1.1.0")
	if log := strings.Join(s.subjects(), "\n"); strings.Count(log, "Promote production to app 1.2.0") != 1 {
		t.Errorf("the line did not stop at the first failure:\n%s", log)
	}
	s.want("main", "us", "1.1.0")

	s.must(s.p.Client.Delete(t.Context(), &corev1.Secret{ObjectMeta: s.meta("eu")}))
	s.request(&sluicev1.Pipeline{}, s.name)
	s.pipelineBecomes("it is said that the kubeConfig is gone", func(p *sluicev1.Pipeline) bool {
		ready := apimeta.FindStatusCondition(p.Status.Conditions, meta.ReadyCondition)
		return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == meta.DependencyNotReadyReason &&
			strings.Contains(ready.Message, "does not exist: create or correct it") &&
			strings.Contains(ready.Message, "spec.stages[production].targets[eu].kubeConfig")
	})
}

func (s *scenario) meta(of string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: s.name + "-" + of}
}

// viewer is an account that may look at one Kustomization, and a token of it.
func (s *scenario) viewer(of string) *authenticationv1.TokenRequest {
	s.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: s.meta(of)}
	s.must(s.p.Client.Create(s.Context(), account))
	s.must(s.p.Client.Create(s.Context(), &rbacv1.Role{ObjectMeta: s.meta(of), Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"kustomize.toolkit.fluxcd.io"}, Resources: []string{"kustomizations"}, ResourceNames: []string{account.Name},
		Verbs: []string{"get", "list", "watch"},
	}}}))
	s.must(s.p.Client.Create(s.Context(), &rbacv1.RoleBinding{
		ObjectMeta: s.meta(of), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: account.Name}},
	}))
	token := &authenticationv1.TokenRequest{}
	s.must(s.p.Client.SubResource("token").Create(s.Context(), account, token))
	return token
}

// apiServer is the one of the playground.
func (s *scenario) apiServer() clientcmdapi.Cluster {
	s.Helper()
	config, err := clientcmd.LoadFromFile(s.p.Kubeconfig)
	s.must(err)
	s.must(clientcmdapi.FlattenConfig(config))
	return *config.Clusters[config.Contexts[config.CurrentContext].Cluster]
}

// clusterBySecret is a kubeconfig with a token.
func (s *scenario) clusterBySecret(name string, as *authenticationv1.TokenRequest) {
	s.Helper()
	cluster, config := s.apiServer(), clientcmdapi.NewConfig()
	config.Clusters["it"], config.AuthInfos["viewer"] = &cluster, &clientcmdapi.AuthInfo{Token: as.Status.Token}
	config.Contexts["it"], config.CurrentContext = &clientcmdapi.Context{Cluster: "it", AuthInfo: "viewer"}, "it"
	text, err := clientcmd.Write(*config)
	s.must(err)
	s.must(s.p.Client.Create(s.Context(), &corev1.Secret{ObjectMeta: s.meta(name), Data: map[string][]byte{"value": text}}))
}

// clusterByIdentity is the address of the cluster, and an account for which tokens are made.
func (s *scenario) clusterByIdentity(name string, as *authenticationv1.TokenRequest) {
	s.Helper()
	cluster := s.apiServer()
	s.must(s.p.Client.Create(s.Context(), &corev1.ConfigMap{ObjectMeta: s.meta(name), Data: map[string]string{
		meta.KubeConfigKeyProvider: "generic", meta.KubeConfigKeyAddress: cluster.Server,
		meta.KubeConfigKeyCACert:             string(cluster.CertificateAuthorityData),
		meta.KubeConfigKeyServiceAccountName: s.meta(name).Name, meta.KubeConfigKeyAudiences: strings.Join(as.Spec.Audiences, "\n"),
	}}))
}
