// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"slices"

	"github.com/sluice-cd/sluice/canary/object"
)

const (
	kindConfigMap = "ConfigMap"
	kindSecret    = "Secret"
)

// configRef is a place in a pod spec that names a ConfigMap or a Secret.
type configRef struct {
	kind   string
	holder map[string]any // of the name and of `optional`
	key    string         // under which holder has the name
}

func (r configRef) name() string {
	name, _ := r.holder[r.key].(string)
	return name
}

func (r configRef) optional() bool {
	optional, _ := r.holder["optional"].(bool)
	return optional
}

// configRefs finds every reference in a pod spec: volumes, projected volumes, env and
// envFrom of all containers.
func configRefs(podSpec map[string]any) []configRef {
	var found []configRef
	add := func(kind string, holder map[string]any, key string) {
		if r := (configRef{kind, holder, key}); holder != nil && r.name() != "" {
			found = append(found, r)
		}
	}
	for _, volume := range object.List(podSpec, "volumes") {
		add(kindConfigMap, object.Map(volume, "configMap"), "name")
		add(kindSecret, object.Map(volume, "secret"), "secretName")
		for _, source := range object.List(volume, "projected", "sources") {
			add(kindConfigMap, object.Map(source, "configMap"), "name")
			add(kindSecret, object.Map(source, "secret"), "name")
		}
	}
	for _, container := range slices.Concat(object.List(podSpec, "initContainers"), object.List(podSpec, "containers")) {
		for _, env := range object.List(container, "env") {
			from := object.Map(env, "valueFrom")
			add(kindConfigMap, object.Map(from, "configMapKeyRef"), "name")
			add(kindSecret, object.Map(from, "secretKeyRef"), "name")
		}
		for _, from := range object.List(container, "envFrom") {
			add(kindConfigMap, object.Map(from, "configMapRef"), "name")
			add(kindSecret, object.Map(from, "secretRef"), "name")
		}
	}
	return found
}

// imagesOf are those of the containers of a pod spec, in their order.
func imagesOf(podSpec map[string]any) []string {
	var images []string
	for _, container := range object.List(podSpec, "containers") {
		if image, ok := container["image"].(string); ok {
			images = append(images, image)
		}
	}
	return images
}
