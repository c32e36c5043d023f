package workload

import "slices"

const (
	kindConfigMap = "ConfigMap"
	kindSecret    = "Secret"
)

// ref is a place in a pod spec that names a ConfigMap or a Secret.
type ref struct {
	kind   string
	holder map[string]any // of the name and of `optional`
	key    string         // under which holder has the name
}

func (r ref) name() string {
	name, _ := r.holder[r.key].(string)
	return name
}

func (r ref) optional() bool {
	optional, _ := r.holder["optional"].(bool)
	return optional
}

// refs finds every reference in a pod spec: volumes, projected volumes, env and
// envFrom of all containers.
func refs(podSpec map[string]any) []ref {
	var found []ref
	add := func(kind string, holder map[string]any, key string) {
		if r := (ref{kind, holder, key}); holder != nil && r.name() != "" {
			found = append(found, r)
		}
	}
	for _, volume := range list(podSpec, "volumes") {
		add(kindConfigMap, dict(volume, "configMap"), "name")
		add(kindSecret, dict(volume, "secret"), "secretName")
		for _, source := range list(dict(volume, "projected"), "sources") {
			add(kindConfigMap, dict(source, "configMap"), "name")
			add(kindSecret, dict(source, "secret"), "name")
		}
	}
	for _, container := range slices.Concat(list(podSpec, "initContainers"), list(podSpec, "containers")) {
		for _, env := range list(container, "env") {
			from := dict(env, "valueFrom")
			add(kindConfigMap, dict(from, "configMapKeyRef"), "name")
			add(kindSecret, dict(from, "secretKeyRef"), "name")
		}
		for _, from := range list(container, "envFrom") {
			add(kindConfigMap, dict(from, "configMapRef"), "name")
			add(kindSecret, dict(from, "secretRef"), "name")
		}
	}
	return found
}

// imagesOf are those of the containers of a pod spec, in their order.
func imagesOf(podSpec map[string]any) []string {
	var images []string
	for _, container := range list(podSpec, "containers") {
		if image, ok := container["image"].(string); ok {
			images = append(images, image)
		}
	}
	return images
}

// dict is a field that is an object, or nil.
func dict(m map[string]any, field string) map[string]any {
	value, _ := m[field].(map[string]any)
	return value
}

// list is a field that is a list of objects.
func list(m map[string]any, field string) []map[string]any {
	values, _ := m[field].([]any)
	var out []map[string]any
	for _, value := range values {
		if object, ok := value.(map[string]any); ok {
			out = append(out, object)
		}
	}
	return out
}
