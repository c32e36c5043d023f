// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func waiting(reason, message string) corev1.PodStatus {
	return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "app",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}}}
}

func TestWhyAPodDoesNotStart(t *testing.T) {
	crashed := waiting("CrashLoopBackOff", "back-off 5m0s restarting")
	crashed.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}
	initial := waiting("ErrImagePull", "get https://registry/?token=secret: denied")
	initial.InitContainerStatuses, initial.ContainerStatuses = initial.ContainerStatuses, nil
	for name, tc := range map[string]struct {
		status corev1.PodStatus
		want   string
	}{
		"it crashes":                  {crashed, "container app: CrashLoopBackOff (OOMKilled, exit code 137)"},
		"no image, nor what was said": {initial, "container app: ErrImagePull"},
		"its configuration is missing": {
			waiting("CreateContainerConfigError", `secret "db" not found`),
			`container app: CreateContainerConfigError: secret "db" not found`,
		},
		"a long story": {
			waiting("CreateContainerConfigError", strings.Repeat("ä", 500)),
			"container app: CreateContainerConfigError: " + strings.Repeat("ä", 197) + "...",
		},
		"it was evicted": {
			corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "The node was low on resource: memory."},
			"Evicted: The node was low on resource: memory.",
		},
		"somebody holds it back": {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Reason: corev1.PodReasonSchedulingGated, Message: "Scheduling is blocked"}}}, "SchedulingGated: Scheduling is blocked"},
		"it is just being made": {waiting("ContainerCreating", ""), ""},
		"no node has room": {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
			Reason: corev1.PodReasonUnschedulable, Message: "0/3 nodes are available"}}}, "Unschedulable: 0/3 nodes are available"},
		"it works": {corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := failureReason(&corev1.Pod{Status: tc.status}); got != tc.want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestATargetThatCrashesSaysSo(t *testing.T) {
	old := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "podinfo-old", CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour)),
		Labels: map[string]string{"app": "podinfo", "pod-template-hash": "a"}}, Status: waiting("ImagePullBackOff", "")}
	young := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "podinfo-new", CreationTimestamp: metav1.NewTime(noon),
		Labels: map[string]string{"app": "podinfo", "pod-template-hash": "b"}}, Status: waiting("CrashLoopBackOff", "")}
	b := newFixture(t, append(targetAndConfigs("podinfo:1"), old, young)...)
	if got := b.observe().Target.Why; !strings.Contains(got, "pod podinfo-new: container app: CrashLoopBackOff") ||
		strings.Contains(got, "podinfo-old") {
		t.Errorf("got %q", got)
	}
	d := &appsv1.Deployment{}
	b.get("podinfo", d)
	d.Spec.Replicas = ptr.To(int32(0))
	b.must(b.c.Update(t.Context(), d))
	if got := b.observe().Target.Why; got != "deployment is scaled to zero" {
		t.Errorf("got %q", got)
	}
}

func TestAnImageThatIsMissingIsNamed(t *testing.T) {
	pod := &corev1.Pod{
		Spec:   corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop/web:9"}}},
		Status: waiting("ImagePullBackOff", "denied: token abc"),
	}
	if got := failureReason(pod); got != "container app: ImagePullBackOff (image shop/web:9)" {
		t.Errorf("got %q", got)
	}
}

// A DaemonSet has no conditions, and a pod without a volume no status: only events tell.
func TestWhyThereAreNoPodsByEvents(t *testing.T) {
	about := func(uid, kind, reason, message string, at time.Duration) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: reason + uid}, InvolvedObject: corev1.ObjectReference{UID: types.UID(uid)},
			Type: kind, Reason: reason, Message: message, LastTimestamp: metav1.NewTime(noon.Add(at))}
	}
	warning, normal := corev1.EventTypeWarning, corev1.EventTypeNormal
	pending := func() *corev1.Pod {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "podinfo-a", UID: "pod", Labels: map[string]string{"app": "podinfo"}},
			Status:     waiting("ContainerCreating", ""),
		}
		pod.Status.Phase = corev1.PodPending
		return pod
	}
	for name, tc := range map[string]struct {
		objects []client.Object
		want    string // the end
	}{
		"a quota": {
			[]client.Object{about("set", warning, "FailedCreate", "exceeded quota", 0)},
			"; FailedCreate: exceeded quota",
		},
		"a quota that was extended": {
			[]client.Object{
				about("set", warning, "FailedCreate", "exceeded quota", 0),
				about("set", normal, "SuccessfulCreate", "created", time.Minute),
			},
			"available",
		},
		"a quota of somebody else": {[]client.Object{about("other", warning, "FailedCreate", "exceeded quota", 0)}, "available"},
		"a volume": {
			[]client.Object{pending(), about("pod", warning, "FailedMount", `secret "db" not found`, 0)},
			`; pod podinfo-a: FailedMount: secret "db" not found`,
		},
		"what a registry said": {[]client.Object{pending(), about("pod", warning, "Failed", "token=secret", 0)}, "available"},
	} {
		t.Run(name, func(t *testing.T) {
			d := agent("podinfo:1")
			d.UID, d.Status.DesiredNumberScheduled, d.Status.UpdatedNumberScheduled, d.Status.NumberAvailable = "set", 2, 2, 1
			b := daemonBench(t, d, tc.objects...)
			if got := b.observe().Target.Why; !strings.HasSuffix(got, tc.want) {
				t.Errorf("got %q", got)
			}
		})
	}
}
