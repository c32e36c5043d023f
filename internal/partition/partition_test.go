// SPDX-License-Identifier: Apache-2.0

package partition

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// state is what differs between StatefulSets of tests.
type state struct {
	pods, partition  int32
	weight           string
	released, behind bool
	unsettled        bool
	updated, current int32
	maxUnavailable   *intstr.IntOrString
	start            int32
}

func set(t *testing.T, st state) Set {
	t.Helper()
	template := corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "db", Image: "db:2"}}}}
	s := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db", Generation: 3, Annotations: map[string]string{}}}
	s.Spec.Replicas, s.Spec.Template = &st.pods, template
	s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: st.start}
	s.Spec.UpdateStrategy.RollingUpdate = &appsv1.RollingUpdateStatefulSetStrategy{Partition: &st.partition, MaxUnavailable: st.maxUnavailable}
	s.Status = appsv1.StatefulSetStatus{ObservedGeneration: 3, CurrentRevision: "db-1", UpdateRevision: "db-1",
		Replicas: st.pods, CurrentReplicas: st.current, UpdatedReplicas: st.updated}
	if st.behind {
		s.Status.UpdateRevision = "db-2"
	}
	if st.unsettled {
		s.Status.ObservedGeneration = 2
	}
	if st.weight != "" {
		s.Annotations[WeightAnnotation] = st.weight
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: object}
	read := func() Set {
		s, err := Read(u)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if st.released {
		u.SetAnnotations(map[string]string{WeightAnnotation: st.weight, ReleasedAnnotation: read().Fingerprint()})
	}
	return read()
}

func TestThePartitionThatACanaryWants(t *testing.T) {
	for name, tc := range map[string]struct {
		state
		want int32
	}{
		"at rest it reaches no pod":                {state{pods: 5}, HoldAllPods},
		"a new template is held back":              {state{pods: 5, behind: true}, HoldAllPods},
		"a weight is a share of the pods":          {state{pods: 5, behind: true, weight: "40"}, 3},
		"that is rounded up":                       {state{pods: 5, behind: true, weight: "41"}, 2},
		"and at least one":                         {state{pods: 5, behind: true, weight: "1"}, 4},
		"and never the last pod":                   {state{pods: 5, behind: true, weight: "100"}, 1},
		"two pods can be released":                 {state{pods: 2, behind: true, weight: "50"}, 1},
		"one pod cannot":                           {state{pods: 1, behind: true, weight: "50"}, 1},
		"no pod at all":                            {state{pods: 0, behind: true, weight: "50"}, 0},
		"promotion reaches all":                    {state{pods: 5, behind: true, weight: "40", released: true}, 0},
		"also before the status is about it":       {state{pods: 5, behind: true, released: true, unsettled: true}, 0},
		"a promotion that is complete":             {state{pods: 5, weight: "40", released: true}, HoldAllPods},
		"a weight that nobody understands is none": {state{pods: 5, behind: true, weight: "many"}, HoldAllPods},
		"more than everybody is none":              {state{pods: 5, behind: true, weight: "101"}, HoldAllPods},
	} {
		t.Run(name, func(t *testing.T) {
			if got := set(t, tc.state).Wanted(); got != tc.want {
				t.Errorf("got %d", got)
			}
		})
	}
}

func TestTheWeightInForce(t *testing.T) {
	for name, tc := range map[string]struct {
		state
		want     int
		followed bool
	}{
		"at rest":                         {state{pods: 5, partition: HoldAllPods, current: 5}, 0, true},
		"what the canary wants":           {state{pods: 3, partition: 2, behind: true, weight: "20", updated: 1, current: 2}, 20, true},
		"pods have not followed yet":      {state{pods: 3, partition: 2, behind: true, weight: "20", current: 3}, 20, false},
		"more pods than that":             {state{pods: 3, partition: HoldAllPods, behind: true, updated: 1, current: 2}, 0, false},
		"pods of a third revision":        {state{pods: 3, partition: 2, behind: true, weight: "20", updated: 1, current: 1}, 20, false},
		"a status about something else":   {state{pods: 5, partition: HoldAllPods, current: 5, unsettled: true}, 0, false},
		"somebody else's partition":       {state{pods: 3, partition: 0, behind: true, weight: "20"}, 100, false},
		"scaled up in the middle":         {state{pods: 6, partition: 2, behind: true, weight: "33", updated: 1, current: 5}, 67, false},
		"a partition without a template":  {state{pods: 3, partition: 0, current: 3}, 0, true},
		"while it is promoted":            {state{pods: 3, partition: 0, behind: true, weight: "34", released: true, updated: 3}, 34, true},
		"a revision taken back elsewhere": {state{pods: 3, partition: HoldAllPods, current: 2}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t, tc.state)
			if s.Live() != tc.want || s.RolledOut() != tc.followed {
				t.Errorf("weight %d, followed %v", s.Live(), s.RolledOut())
			}
		})
	}
}

func TestPodsThatHaveToComeBack(t *testing.T) {
	two := intstr.FromString("40%")
	for name, tc := range map[string]struct {
		state
		pods string // one letter each: 1 and 2 are ready with that revision, a and b are not, x is on its way out
		want []string
	}{
		"none at rest":                        {state{pods: 3, partition: HoldAllPods}, "111", nil},
		"none of those that may":              {state{pods: 3, partition: 2, behind: true}, "112", nil},
		"one after the other, the last first": {state{pods: 4, partition: HoldAllPods, behind: true}, "1222", []string{"db-3"}},
		"the next once the last is back":      {state{pods: 4, partition: HoldAllPods, behind: true}, "1221", []string{"db-2"}},
		"not while another is missing":        {state{pods: 4, partition: HoldAllPods, behind: true}, "122", nil},
		"not while another is on its way out": {state{pods: 4, partition: HoldAllPods, behind: true}, "122x", nil},
		"those that do not work at once":      {state{pods: 4, partition: HoldAllPods, behind: true}, "1bbb", []string{"db-1", "db-2", "db-3"}},
		"as many as may be unavailable": {
			state{pods: 5, partition: HoldAllPods, behind: true, maxUnavailable: &two},
			"12222",
			[]string{"db-4", "db-3"},
		},
		"ordinals that start elsewhere":       {state{pods: 3, partition: 2, behind: true, start: 10}, "122", []string{"db-11"}},
		"a revision that Git has taken back":  {state{pods: 3, partition: HoldAllPods}, "112", []string{"db-2"}},
		"not before the status is about that": {state{pods: 3, partition: HoldAllPods, unsettled: true}, "112", nil},
		"a pod of the old one that is broken": {state{pods: 3, partition: HoldAllPods, behind: true}, "1a2", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t, tc.state)
			var pods []corev1.Pod
			for i, kind := range tc.pods {
				pods = append(pods, pod(int32(i)+tc.start, kind))
			}
			var got []string
			for _, p := range s.Strays(pods) {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func pod(ordinal int32, kind rune) corev1.Pod {
	revision := map[rune]string{'1': "db-1", 'a': "db-1", '2': "db-2", 'b': "db-2", 'x': "db-2"}[kind]
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("db-%d", ordinal),
		Labels: map[string]string{appsv1.ControllerRevisionHashLabelKey: revision}}}
	if kind == 'x' {
		p.DeletionTimestamp = ptr.To(metav1.Now())
	}
	if kind == '1' || kind == '2' || kind == 'x' {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return p
}
