package workload

import "slices"

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
	for _, volume := range objectsAt(podSpec, "volumes") {
		add(kindConfigMap, mapAt(volume, "configMap"), "name")
		add(kindSecret, mapAt(volume, "secret"), "secretName")
		for _, source := range objectsAt(volume, "projected", "sources") {
			add(kindConfigMap, mapAt(source, "configMap"), "name")
			add(kindSecret, mapAt(source, "secret"), "name")
		}
	}
	for _, container := range slices.Concat(objectsAt(podSpec, "initContainers"), objectsAt(podSpec, "containers")) {
		for _, env := range objectsAt(container, "env") {
			from := mapAt(env, "valueFrom")
			add(kindConfigMap, mapAt(from, "configMapKeyRef"), "name")
			add(kindSecret, mapAt(from, "secretKeyRef"), "name")
		}
		for _, from := range objectsAt(container, "envFrom") {
			add(kindConfigMap, mapAt(from, "configMapRef"), "name")
			add(kindSecret, mapAt(from, "secretRef"), "name")
		}
	}
	return found
}

// imagesOf are those of the containers of a pod spec, in their order.
func imagesOf(podSpec map[string]any) []string {
	var images []string
	for _, container := range objectsAt(podSpec, "containers") {
		if image, ok := container["image"].(string); ok {
			images = append(images, image)
		}
	}
	return images
}
