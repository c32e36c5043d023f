// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// portRemark says that no container of the target has the port to which its Services
// lead, "" if one has it. Flagger accepts that, and so users get no answer. A number is
// not remarked when nobody declares TCP ports: they need not be declared.
func portRemark(service *flaggerv1.CanaryService, target *unstructured.Unstructured) (string, error) {
	var pods corev1.PodSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(podSpec(target), &pods); err != nil {
		return "", fmt.Errorf("reading containers of %s: %w", title(target), err)
	}
	port := ports{service, nil}.main().TargetPort
	field := "spec.service.targetPort"
	if service.TargetPort == (intstr.IntOrString{}) {
		field = "spec.service.port"
	}
	var has []string
	for _, container := range append(pods.Containers, sidecars(pods)...) {
		for _, declared := range container.Ports {
			switch {
			case declared.Protocol != "" && declared.Protocol != corev1.ProtocolTCP:
				continue
			case port.Type == intstr.String && declared.Name == port.StrVal, port.Type == intstr.Int && declared.ContainerPort == port.IntVal:
				return "", nil
			case !slices.Contains(provider.Sidecars(), container.Name):
				has = append(has, strings.TrimPrefix(fmt.Sprintf("%s %d", declared.Name, declared.ContainerPort), " "))
			}
		}
	}
	switch {
	case port.Type == intstr.String && len(has) == 0:
		return fmt.Sprintf("%s: no container of %s has a port named %q, nor any other", field, title(target), port.StrVal), nil
	case port.Type == intstr.String:
		return fmt.Sprintf("%s: no container of %s has a port named %q, only %s", field, title(target), port.StrVal, listed(has)), nil
	case len(has) == 0:
		return "", nil
	}
	return fmt.Sprintf("%s: no container of %s declares port %d, only %s", field, title(target), port.IntVal, listed(has)), nil
}

// sidecars are the init containers that run as long as the pod does.
func sidecars(pods corev1.PodSpec) []corev1.Container {
	return slices.DeleteFunc(slices.Clone(pods.InitContainers), func(c corev1.Container) bool {
		return c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways
	})
}

// listed names the first of many.
func listed(names []string) string {
	const most = 8
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
