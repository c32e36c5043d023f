// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

// Labels of Jobs that verify, and of their pods.
const (
	pipelineLabel = "sluice.dev/pipeline"
	stageLabel    = "sluice.dev/stage"
	targetLabel   = "sluice.dev/target"
	bundleLabel   = "sluice.dev/bundle"
)

// keepJobs is for how long a Job that ended is there to be looked at, unless its template
// says otherwise.
const keepJobs = time.Hour

// jobTemplate is what a Pipeline says of a Job.
type jobTemplate struct {
	Metadata struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec batchv1.JobSpec `json:"spec"`
}

// parseJobTemplate refuses what would not be honoured: the name and the namespace are
// ours.
func parseJobTemplate(v *sluicev1.JobVerification) (jobTemplate, error) {
	var t jobTemplate
	if len(v.Template.Raw) == 0 {
		return t, errors.New("it is empty: it needs a spec")
	}
	if err := yaml.UnmarshalStrict(v.Template.Raw, &t); err != nil {
		return t, fmt.Errorf("it may have metadata.labels, metadata.annotations and the spec of a Job: %w", err)
	}
	if len(t.Spec.Template.Spec.Containers) == 0 {
		return t, errors.New("spec.template.spec.containers: there is none")
	}
	return t, nil
}

// verificationTarget is what proves one landing of a bundle on a target.
type verificationTarget struct {
	stage  *sluicev1.Stage
	target string
	index  int // of the verification
	bundle sluicev1.Bundle
	landed time.Time
	since  time.Time // the wave of the target has it
}

// jobs makes the Jobs that verify stages of a pipeline, and says what came of them.
type jobs struct {
	pipeline *sluicev1.Pipeline
	client   client.Client
	live     client.Reader
	// logs reads the end of a pod's log; nil is not at all.
	logs func(ctx context.Context, pod types.NamespacedName) (string, error)
}

// name is the same for the same landing: a Job that was made before a crash is found
// again, and not made twice.
func (j jobs) name(v verificationTarget) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d\x00%s\x00%d",
		j.pipeline.UID, v.stage.Name, v.target, v.index, v.bundle.ID, v.landed.UnixNano()))
	name := j.pipeline.Name + "-" + v.stage.Name
	return strings.Trim(strings.ReplaceAll(name[:min(len(name), 48)], ".", "-"), "-") + "-" + hex.EncodeToString(hash[:])[:10]
}

// verification says what came of a Job.
func (j jobs) verification(ctx context.Context, seen *objects, v verificationTarget) (promotion.Verification, string, error) {
	o := object{Object: cluster.Object{
		GroupVersionKind: batchv1.SchemeGroupVersion.WithKind("Job"),
		NamespacedName:   types.NamespacedName{Namespace: j.pipeline.Namespace, Name: j.name(v)},
	}}
	var job batchv1.Job
	answer, err := seen.read(ctx, o, &job)
	switch {
	case err != nil:
		return promotion.VerificationPending, "", err
	case answer.Unknown:
		return promotion.VerificationUnknown, answer.Why, nil
	case answer.Why != "":
		return promotion.VerificationPending, o.String() + " is about to be made", nil
	}
	for _, c := range job.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			return promotion.VerificationPassed, o.String() + " is complete", nil
		case c.Type == batchv1.JobFailed:
			return promotion.VerificationFailed, fmt.Sprintf("%s failed: %s%s", o, cmp.Or(c.Message, c.Reason), j.lastLines(ctx, o)), nil
		}
	}
	return promotion.VerificationPending, o.String() + " runs", nil
}

// Bounds of what a pod's log adds to a message.
const (
	logLines = 5
	logBytes = 1024 // of a message
	logRead  = 16 << 10
	logPods  = 100
)

// lastLines are the end of the log of the Job's newest pod, for a message; empty if there
// is none or it cannot be read, which is no reason to say less of the Job.
func (j jobs) lastLines(ctx context.Context, job object) string {
	var pods corev1.PodList
	err := j.live.List(ctx, &pods, client.InNamespace(job.Namespace),
		client.MatchingLabels{batchv1.JobNameLabel: job.Name}, client.Limit(logPods))
	if err != nil || len(pods.Items) == 0 || j.logs == nil {
		return ""
	}
	newest := slices.MaxFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	text, err := j.logs(ctx, client.ObjectKeyFromObject(&newest))
	if err != nil {
		return ""
	}
	text = strings.ToValidUTF8(text[max(0, len(text)-logBytes):], "")
	text = strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' || c == 0x7f {
			return -1 // what moves a terminal's cursor
		}
		return c
	}, text)
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return ": " + strings.Join(lines[max(0, len(lines)-logLines):], " | ")
}

// start makes the Jobs of a target that are not there, for what landed at a time. It
// reports whether it made any.
func (j jobs) start(ctx context.Context, a promotion.Verify, landed time.Time) (bool, error) {
	stage, made := j.pipeline.Spec.Stage(a.Stage), false
	for i, verification := range stage.Verify {
		if verification.Job == nil {
			continue
		}
		v := verificationTarget{stage: stage, target: a.Target, index: i, bundle: a.Bundle, landed: landed}
		job, err := j.build(v)
		if err == nil {
			err = j.client.Create(ctx, job)
		}
		switch {
		case err == nil:
			made = true
		case apierrors.IsAlreadyExists(err): // before a crash, or the watch has not told yet
		case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
			return made, refuse("spec.stages[%s].verify[%d].job.template: %w", a.Stage, i, err)
		default:
			return made, fmt.Errorf("making Job %s of stage %s: %w", job.Name, a.Stage, err)
		}
	}
	return made, nil
}

// build is the Job, in the namespace of the pipeline, whose ServiceAccount is the
// template's or that namespace's default: none of the controller's rights are in it.
func (j jobs) build(v verificationTarget) (*batchv1.Job, error) {
	t, err := parseJobTemplate(v.stage.Verify[v.index].Job)
	if err != nil {
		return nil, refuse("spec.stages[%s].verify[%d].job.template: %w", v.stage.Name, v.index, err)
	}
	isController := true
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: j.pipeline.Namespace, Name: j.name(v), Labels: t.Metadata.Labels, Annotations: t.Metadata.Annotations,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: sluicev1.GroupVersion.String(), Kind: sluicev1.PipelineKind,
				Name: j.pipeline.Name, UID: j.pipeline.UID, Controller: &isController,
			}},
		},
		Spec: t.Spec,
	}
	if job.Spec.ActiveDeadlineSeconds == nil && v.stage.VerifyTimeout.Duration > 0 {
		seconds := max(1, int64(v.stage.VerifyTimeout.Seconds()))
		job.Spec.ActiveDeadlineSeconds = &seconds
	}
	if job.Spec.TTLSecondsAfterFinished == nil {
		seconds := int32(keepJobs.Seconds())
		job.Spec.TTLSecondsAfterFinished = &seconds
	}
	for _, labels := range []*map[string]string{&job.Labels, &job.Spec.Template.Labels} {
		if *labels == nil {
			*labels = map[string]string{}
		}
		(*labels)[stageLabel], (*labels)[bundleLabel] = v.stage.Name, v.bundle.ID
		if len(j.pipeline.Name) <= 63 {
			(*labels)[pipelineLabel] = j.pipeline.Name
		}
		if v.target != "" {
			(*labels)[targetLabel] = v.target
		}
	}
	env := jobEnv(j.pipeline, v)
	pod := &job.Spec.Template.Spec
	for _, containers := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range containers {
			containers[i].Env = withEnv(env, containers[i].Env)
		}
	}
	return job, nil
}

// jobEnv says what a verification is about.
func jobEnv(p *sluicev1.Pipeline, v verificationTarget) []corev1.EnvVar {
	env := []corev1.EnvVar{
		{Name: "SLUICE_PIPELINE", Value: p.Name}, {Name: "SLUICE_STAGE", Value: v.stage.Name},
		{Name: "SLUICE_TARGET", Value: v.target}, {Name: "SLUICE_BUNDLE", Value: v.bundle.ID},
	}
	for _, version := range v.bundle.Versions {
		env = append(env, corev1.EnvVar{Name: versionVariable(version.Artifact), Value: cmp.Or(version.Tag, version.Digest)})
	}
	return env
}

// versionVariable is the name of the variable with the version of an artifact.
func versionVariable(artifact string) string {
	return "SLUICE_VERSION_" + strings.ToUpper(strings.ReplaceAll(artifact, "-", "_"))
}

// withEnv are our variables and theirs, which may refer to ours. Where they have one of
// the same name, it is theirs.
func withEnv(ours, theirs []corev1.EnvVar) []corev1.EnvVar {
	var env []corev1.EnvVar
	for _, v := range ours {
		if !slices.ContainsFunc(theirs, func(t corev1.EnvVar) bool { return t.Name == v.Name }) {
			env = append(env, v)
		}
	}
	return append(env, theirs...)
}
