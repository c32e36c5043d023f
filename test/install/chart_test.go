// SPDX-License-Identifier: Apache-2.0

// Package install holds the ways to install Sluice to one another: what the Helm
// chart renders is what the kustomizations below config hold.
package install

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/sluice-cd/sluice/test/harness"
)

// namespace is the one that the kustomizations install into.
const namespace = "flux-system"

func TestTheChartRendersWhatTheKustomizationsHold(t *testing.T) {
	for name, tc := range map[string]struct {
		kustomization string // below config
		values        []string
	}{
		"default": {"default", nil},
		"beside a Flux that serves the other kinds": {"beside", []string{"-f", chart(t, "values-beside.yaml")}},
	} {
		t.Run(name, func(t *testing.T) {
			want := kustomize(t, tc.kustomization)
			// Helm makes the namespace, with --create-namespace.
			delete(want, "Namespace/"+namespace)
			got := render(t, append(tc.values, "--set", "crds.keep=false")...)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the chart differs (-config/%s +chart)\n%s", tc.kustomization, diff)
			}
		})
	}
}

// Labels of an installation are those of its chart or its kustomization; Flux's clients need part-of.
func TestTheChartMonitorsAsTheKustomizationDoes(t *testing.T) {
	all := render(t, set("monitoring.podMonitor=true", "monitoring.dashboards=true")...)
	for id, want := range kustomize(t, "monitoring") {
		got := all[id]
		for _, object := range []map[string]any{want, got} {
			labels, _, _ := unstructured.NestedMap(object, "metadata", "labels")
			if labels["app.kubernetes.io/part-of"] != "flux" || strings.HasPrefix(id, "ConfigMap") && labels["grafana_dashboard"] != "1" {
				t.Errorf("%s has labels %v", id, labels)
			}
			unstructured.RemoveNestedField(object, "metadata", "labels")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the chart differs (-config/monitoring +chart)\n%s", diff)
		}
	}
}

func TestValuesReachTheirFields(t *testing.T) {
	deployment := "Deployment/sluice"
	for name, tc := range map[string]struct {
		values []string
		object string
		want   string // in the object's YAML
	}{
		"an image by digest": {
			set("image.repository=r.example.com/s", "image.digest=sha256:"+strings.Repeat("a", 64)),
			deployment,
			"r.example.com/s@sha256:aaaa",
		},
		"an image by tag":      {set("image.tag=v1"), deployment, "sluice:v1"},
		"pull secrets":         {set("imagePullSecrets[0].name=regcred"), deployment, "regcred"},
		"flags":                {set("args[0]=--log-level=debug"), deployment, "--log-level=debug"},
		"the state of objects": {set("monitoring.resourceInfo=true"), deployment, "--resource-info"},
		"an environment":       {set("env[0].name=HTTPS_PROXY", "env[0].value=http://proxy"), deployment, "HTTPS_PROXY"},
		"a claim":              {set("storage.existingClaim=cache"), deployment, "claimName:cache"},
		"the host's network":   {set("hostNetwork=true"), deployment, "hostNetwork:true"},
		"the address of the store": {
			set("storage.advertisedAddress=artifacts.example.com"),
			deployment,
			"--storage-adv-addr=artifacts.example.com",
		},
		"CRDs that stay":         {nil, "CustomResourceDefinition/canaries.flagger.app", "helm.sh/resource-policy:keep"},
		"a cloud's identity":     {set("serviceAccount.annotations.role=arn"), "ServiceAccount/sluice", "role:arn"},
		"tokens of identities":   {set("rbac.workloadIdentity=true"), "ClusterRole/sluice-workload-identity", "serviceaccounts/token"},
		"the web page":           {page(), deployment, "--ui-url=https://sluice.example.com"},
		"the page's address":     {page(), "Service/sluice-ui", "http-ui"},
		"the page's way in":      {page(), "NetworkPolicy/allow-ui", "8443"},
		"the page's certificate": {page("ui.tlsSecretName=cert"), deployment, "secretName:cert"},
		"the page's sessions":    {page("ui.sessionKeySecretName=key"), deployment, "--ui-session-key-file=/etc/sluice/ui-session/key"},
		"the page's provider": {
			page("ui.oidc.issuerURL=https://id.example.com", "ui.oidc.clientID=sluice", "ui.oidc.clientSecretName=oidc"), deployment,
			"--ui-oidc-client-secret-file=/etc/sluice/ui-oidc/client-secret",
		},
		"people of a provider": {
			page("ui.oidc.issuerURL=https://id.example.com", "ui.oidc.clientID=sluice"), "ClusterRole/sluice-ui-impersonate", "impersonate",
		},
		"people who do not sign in": {page("ui.anonymous=true"), "ClusterRole/sluice-ui-impersonate", "impersonate"},
		"tolerations":               {set("tolerations[0].key=infra"), deployment, "key:infra"},
		"labels of the pod":         {set("podLabels.team=platform"), deployment, "team:platform"},
		"annotations of the pod":    {set("podAnnotations.a=b"), deployment, "a:b"},
	} {
		t.Run(name, func(t *testing.T) {
			object, ok := render(t, tc.values...)[tc.object]
			if got := fmt.Sprint(object); !ok || !strings.Contains(got, tc.want) {
				t.Errorf("%s has no %q:\n%v", tc.object, tc.want, got)
			}
		})
	}
}

func TestValuesCanLeaveThingsOut(t *testing.T) {
	for name, tc := range map[string]struct {
		values []string
		gone   string // prefix of what is not there
	}{
		"CRDs":                   {set("crds.install=false"), "CustomResourceDefinition/"},
		"roles":                  {set("rbac.create=false"), "ClusterRole"},
		"cluster-admin":          {set("rbac.clusterAdmin=false"), "ClusterRoleBinding/sluice-kustomize-cluster-admin"},
		"rights for people":      {set("rbac.userRoles=false"), "ClusterRole/sluice-edit"},
		"the policy of commands": {set("admissionPolicy.create=false"), "ValidatingAdmissionPolicy"},
		"a group's policy":       {set("controllers[0]=image"), "ValidatingAdmissionPolicy"},
		"network policies":       {set("networkPolicies.create=false"), "NetworkPolicy/"},
		"the quota":              {set("resourceQuota.create=false"), "ResourceQuota/"},
		"a group's Service":      {set("controllers[0]=image"), "Service/"},
	} {
		t.Run(name, func(t *testing.T) {
			for id := range render(t, tc.values...) {
				if strings.HasPrefix(id, tc.gone) {
					t.Errorf("%s is there", id)
				}
			}
		})
	}
}

func TestTheSchemaRefusesValuesThatMeanNothing(t *testing.T) {
	for name, tc := range map[string]struct{ value, want string }{
		"a misspelt value":              {"image.repositry=x", "repositry"},
		"an unknown group":              {"controllers[0]=helm", "controllers"},
		"a digest without an algorithm": {"image.digest=abc", "digest"},
		"a size that is none":           {"storage.size=big", "size"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := template(t, "--set", tc.value); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("--set %s: %v", tc.value, err)
			}
		})
	}
}

func TestTheChartPassesHelmsLinter(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), harness.RequireUpstream(t, "helm"), "lint", "--strict", chart(t)).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func set(values ...string) []string {
	var args []string
	for _, v := range values {
		args = append(args, "--set", v)
	}
	return args
}

// chart is a path in the chart's folder.
func chart(t *testing.T, path ...string) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{root, "charts", "sluice"}, path...)...)
}

func template(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), harness.RequireUpstream(t, "helm"),
		append([]string{"template", "sluice", chart(t), "--namespace", namespace}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = errors.Join(err, errors.New(stderr.String()))
	}
	return out, err
}

func render(t *testing.T, args ...string) map[string]map[string]any {
	t.Helper()
	out, err := template(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return byName(t, out)
}

func kustomize(t *testing.T, dir string) map[string]map[string]any {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "config", dir))
	if err != nil {
		t.Fatal(err)
	}
	out, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return byName(t, out)
}

// byName are the objects of a stream by Kind/name.
func byName(t *testing.T, stream []byte) map[string]map[string]any {
	t.Helper()
	objects, err := harness.Objects(stream)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]any{}
	for _, o := range objects {
		id := o.GetKind() + "/" + o.GetName()
		if _, ok := found[id]; ok {
			t.Errorf("%s is there twice", id)
		}
		found[id] = normal(o).Object
	}
	return found
}

// normal leaves out what differs and means nothing.
func normal(o *unstructured.Unstructured) *unstructured.Unstructured {
	if len(o.GetAnnotations()) == 0 {
		o.SetAnnotations(nil)
	}
	return o
}

// Who may impersonate users can do what any of them may: a chart without need of it does not grant it.
func TestNobodyIsImpersonatedWithoutAProvider(t *testing.T) {
	for object := range render(t, page()...) {
		if strings.Contains(object, "impersonate") {
			t.Errorf("renders %s", object)
		}
	}
}

// page are values with the web page, and more.
func page(more ...string) []string {
	return set(append([]string{"ui.enabled=true", "ui.url=https://sluice.example.com"}, more...)...)
}
