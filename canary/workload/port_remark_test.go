// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

func TestAPortThatNoContainerHasWasLedToInSilence(t *testing.T) {
	for name, tc := range map[string]struct {
		targetPort intstr.IntOrString
		port       int32
		edit       func(*corev1.PodSpec)
		want       string
	}{
		"a name that a container has":                       {targetPort: intstr.FromString("http")},
		"a number that a container has":                     {targetPort: intstr.FromInt32(9797)},
		"no target port, and a container that has the port": {},
		"a misspelt name": {
			targetPort: intstr.FromString("htpp"),
			want:       `spec.service.targetPort: no container of deployment podinfo.test has a port named "htpp", only http 80, metrics 9797`,
		},
		"a number that none declares": {
			targetPort: intstr.FromInt32(9999),
			want:       `spec.service.targetPort: no container of deployment podinfo.test declares port 9999, only http 80, metrics 9797`,
		},
		"no target port, and another port": {
			port: 8080, want: `spec.service.port: no container of deployment podinfo.test declares port 8080, only http 80, metrics 9797`,
		},
		"a number where nobody declares any": {
			targetPort: intstr.FromInt32(9999), edit: func(pods *corev1.PodSpec) { pods.Containers[0].Ports = nil },
		},
		"a name where nobody declares any": {
			targetPort: intstr.FromString("http"), edit: func(pods *corev1.PodSpec) { pods.Containers[0].Ports = nil },
			want: `spec.service.targetPort: no container of deployment podinfo.test has a port named "http", nor any other`,
		},
		"a name of another protocol": {
			targetPort: intstr.FromString("http"), edit: func(pods *corev1.PodSpec) { pods.Containers[0].Ports[0].Protocol = corev1.ProtocolUDP },
			want: `spec.service.targetPort: no container of deployment podinfo.test has a port named "http", only metrics 9797`,
		},
		"a sidecar that runs as long as the pod": {
			targetPort: intstr.FromString("web"), edit: func(pods *corev1.PodSpec) {
				pods.InitContainers[0].RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
				pods.InitContainers[0].Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: 8080}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := podinfo("podinfo:1")
			if tc.edit != nil {
				tc.edit(&target.Spec.Template.Spec)
			}
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(target)
			if err != nil {
				t.Fatal(err)
			}
			u := &unstructured.Unstructured{Object: content}
			u.SetKind("Deployment")
			u.SetNamespace("test")
			service := &flaggerv1.CanaryService{Port: cmp.Or(tc.port, 80), TargetPort: tc.targetPort}
			if got, err := portRemark(service, u); err != nil || got != tc.want {
				t.Errorf("got  %q, %v\nwant %q", got, err, tc.want)
			}
		})
	}
}
