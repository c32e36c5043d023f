// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

const smoke = `
metadata: {labels: {team: shop}}
spec:
  backoffLimit: 2
  template:
    spec:
      serviceAccountName: smoke
      restartPolicy: Never
      containers:
      - {name: curl, image: curl, env: [{name: URL, value: "http://app/$(SLUICE_VERSION_APP)"}, {name: SLUICE_STAGE, value: mine}]}
`

// verifiedBy has staging verified by a Job.
func verifiedBy(t *testing.T, template string) func(*sluicev1.Pipeline) {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(template))
	if err != nil {
		t.Fatal(err)
	}
	return func(p *sluicev1.Pipeline) {
		p.Spec.Stages[0].Verify = []sluicev1.Verification{{Job: &sluicev1.JobVerification{Template: runtime.RawExtension{Raw: raw}}}}
	}
}

func (e *env) jobs() []batchv1.Job {
	e.t.Helper()
	var list batchv1.JobList
	if err := e.Client.List(e.t.Context(), &list, client.InNamespace("apps")); err != nil {
		e.t.Fatal(err)
	}
	return list.Items
}

// end ends a Job.
func (e *env) end(job batchv1.Job, how batchv1.JobConditionType, message string) {
	e.t.Helper()
	job.Status.Conditions = []batchv1.JobCondition{{Type: how, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded", Message: message}}
	if err := e.Client.Status().Update(e.t.Context(), &job); err != nil {
		e.t.Fatal(err)
	}
}

// tested is an env whose staging has version 2, applied, and a Job that verifies it.
func tested(t *testing.T) (*env, batchv1.Job) {
	t.Helper()
	e := newEnv(t)
	e.reconcile()
	verifiedBy(t, smoke)(e.pipeline)
	e.release("2")
	e.reconcile()
	if jobs := e.jobs(); len(jobs) != 0 {
		t.Fatalf("there are %d Jobs before staging is Ready", len(jobs))
	}
	e.apply("staging")
	e.reconcile()
	jobs := e.jobs()
	if len(jobs) != 1 {
		t.Fatalf("there are %d Jobs", len(jobs))
	}
	e.want("2", "1")
	return e, jobs[0]
}

func TestAJobVerifiesABundle(t *testing.T) {
	e, job := tested(t)
	if got := e.pipeline.Status.Stages[0].Message; !strings.Contains(got, "Job apps/"+job.Name+" runs") {
		t.Errorf("staging says %q", got)
	}
	e.end(job, batchv1.JobComplete, "")
	e.reconcile()
	e.want("2", "2")
	if err := e.Client.Delete(t.Context(), &job); err != nil { // its time is over
		t.Fatal(err)
	}
	e.reconcile()
	if got := e.pipeline.Status.Stages[0].Phase; got != sluicev1.StageVerified || len(e.jobs()) > 0 {
		t.Errorf("staging is %s, with %d Jobs", got, len(e.jobs()))
	}
}

func TestWhatAJobIsMadeOf(t *testing.T) {
	e, job := tested(t)
	owner := metav1.GetControllerOf(&job)
	if owner == nil || owner.UID != e.pipeline.UID || job.Labels["team"] != "shop" || job.Labels[stageLabel] != "staging" ||
		job.Labels[pipelineLabel] != "shop" {
		t.Errorf("metadata %+v", job.ObjectMeta)
	}
	id := e.pipeline.Status.Stages[0].Has.ID
	if job.Labels[bundleLabel] != id || job.Spec.Template.Labels[bundleLabel] != id {
		t.Errorf("it is of bundle %s, want %s", job.Labels[bundleLabel], id)
	}
	if *job.Spec.BackoffLimit != 2 || *job.Spec.ActiveDeadlineSeconds != 1800 || *job.Spec.TTLSecondsAfterFinished != 3600 ||
		job.Spec.Template.Spec.ServiceAccountName != "smoke" {
		t.Errorf("spec %+v", job.Spec)
	}
	var env []string
	for _, v := range job.Spec.Template.Spec.Containers[0].Env {
		env = append(env, v.Name+"="+v.Value)
	}
	want := []string{"SLUICE_PIPELINE=shop", "SLUICE_TARGET=", "SLUICE_BUNDLE=" +
		id, "SLUICE_VERSION_APP=2", "URL=http://app/$(SLUICE_VERSION_APP)", "SLUICE_STAGE=mine"}
	if !slices.Equal(env, want) {
		t.Errorf("env %q, want %q", env, want)
	}
}

func TestAJobThatFailsSaysWhy(t *testing.T) {
	e, job := tested(t)
	for i, text := range []string{"of an earlier try\n", "1\n2\n3\n4\nGET /health\n\x1b[31m500 Internal Server Error\n"} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Namespace: "apps", Name: fmt.Sprint("smoke-", i),
			Labels: map[string]string{batchv1.JobNameLabel: job.Name}, Annotations: map[string]string{"log": text},
			CreationTimestamp: metav1.NewTime(e.clock.Now().Add(time.Duration(i) * time.Minute)),
		}}
		if err := e.Client.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
	}
	e.logs = func(ctx context.Context, key types.NamespacedName) (string, error) {
		var pod corev1.Pod
		err := e.Client.Get(ctx, key, &pod)
		return pod.Annotations["log"], err
	}
	e.end(job, batchv1.JobFailed, "Job has reached the specified backoff limit")
	e.reconcile()
	e.want("1", "1")
	want := "Job apps/" + job.Name +
		" failed: Job has reached the specified backoff limit: 2 | 3 | 4 | GET /health | [31m500 Internal Server Error"
	if q := e.pipeline.Status.Quarantined; len(q) != 1 || q[0].Reason != want {
		t.Errorf("quarantined %+v, want %q", q, want)
	}
	e.apply("staging")
	e.reconcile()
	if jobs := e.jobs(); len(jobs) != 2 { // what it was given back is proved again
		t.Errorf("there are %d Jobs", len(jobs))
	}
}

// A process that ends between making a Job and noting anything made a second one.
func TestARestartMakesNoSecondJob(t *testing.T) {
	e, job := tested(t)
	template := e.pipeline.Spec.Stages[0].Verify
	e.Reconciler = e.process(e.Client)
	e.pipeline = shop(func(p *sluicev1.Pipeline) { p.Spec.Stages[0].Verify = template })
	e.reconcile()
	if jobs := e.jobs(); len(jobs) != 1 || jobs[0].Name != job.Name {
		t.Errorf("there are %d Jobs", len(jobs))
	}
}

// A Job that completed for the version before made the next one look verified.
func TestAJobProvesOneLanding(t *testing.T) {
	e, job := tested(t)
	e.end(job, batchv1.JobComplete, "")
	e.reconcile()
	e.release("3")
	e.reconcile()
	e.apply("staging")
	e.reconcile()
	e.want("3", "2")
	if jobs := e.jobs(); len(jobs) != 2 {
		t.Errorf("there are %d Jobs", len(jobs))
	}
}

func TestJobTemplatesThatAreRefused(t *testing.T) {
	for name, tc := range map[string]struct{ template, want string }{
		"no containers": {
			"spec: {template: {spec: {}}}",
			"spec.stages[staging].verify[0].job.template: spec.template.spec.containers: there is none",
		},
		"a name":              {strings.Replace(smoke, "{labels", "{name: mine, labels", 1), `unknown field "name"`},
		"another namespace":   {strings.Replace(smoke, "{labels", "{namespace: kube-system, labels", 1), `unknown field "namespace"`},
		"a field of no Job":   {strings.Replace(smoke, "backoffLimit", "retries", 1), `unknown field "retries"`},
		"nothing":             {"{}", "containers: there is none"},
		"another kind of job": {"apiVersion: batch/v1\n" + smoke, `unknown field "apiVersion"`},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, verifiedBy(t, tc.template))
			if _, err := e.Reconcile(t.Context(), e.pipeline); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A label has at most 63 characters, and the name of a pipeline may have more.
func TestAJobHasTheNameOfItsPipelineIfThatIsALabel(t *testing.T) {
	for length, labelled := range map[int]bool{1: true, 63: true, 64: false} {
		p := shop(verifiedBy(t, smoke), func(p *sluicev1.Pipeline) { p.Name = strings.Repeat("a", length) })
		job, err := jobs{pipeline: p}.build(verificationTarget{stage: &p.Spec.Stages[0], bundle: sluicev1.Bundle{ID: "abc"}})
		must(t, err)
		if got, has := job.Labels[pipelineLabel]; has != labelled || labelled && got != p.Name {
			t.Errorf("with a name of %d characters it has %v", length, job.Labels)
		}
		if job.Spec.Template.Labels[bundleLabel] != "abc" {
			t.Errorf("its pods have %v", job.Spec.Template.Labels)
		}
	}
}
