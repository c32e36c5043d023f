package workload

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Object names an object that a pair depends on.
type Object struct {
	schema.GroupVersionKind
	client.ObjectKey
}

// Objects are those whose changes concern the canary: its workloads, Services,
// autoscalers, and the configuration that they read. They need not exist.
func (p *Pair) Objects() []Object {
	if p.form == nil {
		return nil
	}
	objects := p.form.objects()
	for _, config := range p.Configs {
		kind, name, _ := strings.Cut(config, "/")
		if kind == "secret" {
			objects = append(objects, p.object(corev1.SchemeGroupVersion.WithKind(kindSecret), name))
		} else {
			objects = append(objects, p.object(corev1.SchemeGroupVersion.WithKind(kindConfigMap), name))
		}
	}
	return objects
}

func (p *Pair) object(kind schema.GroupVersionKind, name string) Object {
	return Object{kind, p.key(name)}
}

// services are the three Services of a canary that has users.
func (p *Pair) services() []Object {
	if !p.canary.HasService() {
		return nil
	}
	apex, primary, canary := p.canary.ServiceNames()
	service := corev1.SchemeGroupVersion.WithKind("Service")
	return []Object{p.object(service, apex), p.object(service, primary), p.object(service, canary)}
}
