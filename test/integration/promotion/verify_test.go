// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// onLoopback lets objects name what the playground runs on this machine.
const onLoopback = "--allow-addresses=127.0.0.0/8,::1/128"

// staging changes the fields of the stage that are named, and waits until the stage is
// verified with what it has.
func (f *fleet) staging(fields string) {
	f.Helper()
	p := f.pipeline()
	before := p.DeepCopy()
	f.must(yaml.UnmarshalStrict([]byte(strings.NewReplacer("NAMESPACE", f.namespace, "PROMETHEUS", f.p.Prometheus).Replace(fields)),
		&p.Spec.Stages[0]))
	f.must(f.p.Client.Patch(f.Context(), p, client.MergeFrom(before)))
}

func (f *fleet) begun() {
	f.Helper()
	f.pipelineBecomes("both stages are verified with what they have", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.0.0") && verified(p, "production", "1.0.0")
	})
}

// stagingHas reports whether staging has a version, verified or not.
func stagingHas(p *sluicev1.Pipeline, tag string) bool {
	return len(p.Status.Stages) == 2 && p.Status.Stages[0].Has != nil && p.Status.Stages[0].Has.Versions[0].Tag == tag
}

// takenBack waits until staging has an earlier version again, and for the reason.
func (f *fleet) takenBack(to, because string) {
	f.Helper()
	f.pipelineBecomes("staging has "+to+" again, because "+because, func(p *sluicev1.Pipeline) bool {
		return stagingHas(p, to) && len(p.Status.Quarantined) == 1 && strings.Contains(p.Status.Quarantined[0].Reason, because)
	})
}

func (f *fleet) stagingSays(tag, what string) {
	f.Helper()
	f.pipelineBecomes("staging has "+tag+" and says "+what, func(p *sluicev1.Pipeline) bool {
		return stagingHas(p, tag) && p.Status.Stages[0].Phase == sluicev1.StageVerifying && strings.Contains(p.Status.Stages[0].Message, what)
	})
}

const smoke = `
verify:
- name: smoke
  job:
    template:
      spec:
        backoffLimit: 0
        activeDeadlineSeconds: 5
        template:
          metadata: {annotations: {FATE}}
          spec: {restartPolicy: Never, containers: [{name: curl, image: curl}]}
`

func TestJobsOfAClusterVerify(t *testing.T) {
	f := newFleet(t, others)
	f.begun()
	f.staging(strings.Replace(smoke, "FATE", "", 1))
	f.push("1.1.0")
	f.pipelineBecomes("production has what the Job verified", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.1.0") && verified(p, "production", "1.1.0")
	})
	f.staging(strings.Replace(smoke, "FATE", `playground.sluice.dev/waiting: ImagePullBackOff`, 1))
	f.push("1.2.0")
	f.takenBack("1.1.0", " failed: Job was active longer than specified deadline")
	if reason := f.pipeline().Status.Quarantined[0].Reason; !strings.HasPrefix(reason, "smoke: Job "+f.namespace+"/shop-staging-") {
		t.Errorf("the reason is %q", reason)
	}
}

func TestAnApplicationOfArgoCDIsWaitedFor(t *testing.T) {
	p := harness.Installed(t)
	text, err := os.ReadFile("testdata/applications.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), text); err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, others)
	f.begun()
	f.apply("{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: shop, namespace: NAMESPACE}, spec: {project: default}}")
	f.argoSays("Succeeded", "Healthy", "")
	f.staging("ready: [{kind: Application, name: shop}]")
	f.push("1.1.0")
	f.stagingSays("1.1.0", "Application "+f.namespace+"/shop has not synced this version yet")
	f.argoSays("Succeeded", "Progressing", "")
	f.stagingSays("1.1.0", "is Synced and Progressing")
	f.argoSays("Succeeded", "Healthy", "")
	f.pipelineBecomes("production has what Argo CD synced to staging", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.1.0") && verified(p, "production", "1.1.0")
	})
	f.push("1.2.0")
	f.stagingSays("1.2.0", "has not synced this version yet")
	f.argoSays("Succeeded", "Degraded", "the Deployment exceeded its deadline")
	f.takenBack("1.1.0", "is Degraded: the Deployment exceeded its deadline")
}

// argoSays writes the status of the Application as Argo CD does when it synced the head of
// main.
func (f *fleet) argoSays(phase, health, message string) {
	f.Helper()
	head, err := f.repo.Head(f.Context())
	f.must(err)
	now := time.Now().UTC().Format(time.RFC3339)
	app := &unstructured.Unstructured{}
	app.SetGroupVersionKind(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"})
	app.SetNamespace(f.namespace)
	app.SetName("shop")
	patch := fmt.Sprintf(`{"status":{"reconciledAt":%q,"health":{"status":%q,"message":%q},"sync":{"status":"Synced","revision":%q},`+
		`"operationState":{"phase":%q,"finishedAt":%[1]q,"syncResult":{"revision":%[4]q}}}}`, now, health, message, head, phase)
	f.must(f.p.Client.Patch(f.Context(), app, client.RawPatch("application/merge-patch+json", []byte(patch))))
}

func TestAStageInAnotherClusterIsHeldWhileThatIsAway(t *testing.T) {
	f := newFleet(t, others, onLoopback)
	f.begun()
	f.remote(func(server string) string { return server })
	f.staging("{verifyTimeout: 5s, ready: [{kind: Kustomization, name: staging, kubeConfig: {secretRef: {name: cluster}}}]}")
	f.push("1.1.0")
	f.pipelineBecomes("production has what the other cluster runs", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.1.0") && verified(p, "production", "1.1.0")
	})
	address, err := harness.FreeAddr()
	f.must(err)
	f.remote(func(string) string { return "https://" + address })
	f.push("1.2.0")
	f.stagingSays("1.2.0", "(cluster of kubeConfig cluster) is not known: ")
	since := time.Now()
	_, err = harness.Eventually(t.Context(), "verifyTimeout is over", harness.Patience, func(context.Context) (bool, string) {
		return time.Since(since) > 7*time.Second, ""
	})
	f.must(err)
	f.stagingSays("1.2.0", "(cluster of kubeConfig cluster) is not known: ")
	f.remote(func(server string) string { return server })
	f.look()
	f.pipelineBecomes("production has what the cluster runs that is there again", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.2.0") && verified(p, "production", "1.2.0")
	})
}

// look has the pipeline look at everything: nobody tells of a Secret.
func (f *fleet) look() {
	f.Helper()
	_, err := f.p.RequestReconcile(f.Context(), f.pipeline())
	f.must(err)
}

// remote writes a kubeconfig of this cluster, with another address, into a Secret.
func (f *fleet) remote(server func(string) string) {
	f.Helper()
	config, err := clientcmd.LoadFromFile(f.p.Kubeconfig)
	f.must(err)
	for _, c := range config.Clusters {
		c.Server = server(c.Server)
	}
	text, err := clientcmd.Write(*config)
	f.must(err)
	secret, err := yaml.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"name": "cluster", "namespace": f.namespace}, "data": map[string]any{"value": text},
	})
	f.must(err)
	f.must(f.p.Apply(f.Context(), secret))
}

const byMetrics = `
verify:
- name: latency
  metrics:
    for: 2s
    interval: 1s
    checks:
    - name: p99
      interval: 1s
      thresholdRange: {max: 500}
      templateRef: {name: latency}
      templateVariables: {value: "VALUE"}
    - name: served
      interval: 1s
      thresholdRange: {min: 1}
      query: count(up) or vector(1)
`

func TestMetricsOfAPrometheusVerify(t *testing.T) {
	f := newFleet(t, others, onLoopback)
	f.begun()
	f.apply(strings.Replace(`
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: latency, namespace: NAMESPACE}
spec: {provider: {type: prometheus, address: "PROMETHEUS"}, query: "vector({{ variables.value }})"}
`, "PROMETHEUS", f.p.Prometheus, 1))
	f.staging(strings.Replace(byMetrics, "VALUE", "120", 1))
	f.push("1.1.0")
	f.pipelineBecomes("production has what metrics verified", func(p *sluicev1.Pipeline) bool {
		return verified(p, "staging", "1.1.0") && verified(p, "production", "1.1.0")
	})
	f.staging(strings.Replace(byMetrics, "VALUE", "612.5", 1))
	f.push("1.2.0")
	f.takenBack("1.1.0", "latency: p99 is 612.5, and may be at most 500, in 1 of 1 looks, and 0 may be bad")
}
