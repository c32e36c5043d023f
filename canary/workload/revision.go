// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/canary"
)

// Revision is everything that makes one version of the target.
type Revision struct {
	// Digest names the revision.
	Digest string `json:"-"`
	// Template is the pod template, as the API server returns it.
	Template map[string]any `json:"template"`
	// Rollout are the fields of the workload that say how to roll it out. They
	// are promoted with the template, but a change of them is not a new version.
	Rollout map[string]any `json:"rollout"`
	// Selector is the target's, for a primary that has to be made again while there is
	// no target. It is no part of what makes a version.
	Selector map[string]any `json:"selector,omitempty"`
	// Configs are the ConfigMaps and Secrets that the template reads.
	Configs []Config `json:"configs"`
}

// Config is the content of one ConfigMap or Secret.
type Config struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Checksum string `json:"checksum"`
	// Tracked is Flagger's checksum, which covers what Flagger sees.
	Tracked string            `json:"-"`
	Labels  map[string]string `json:"labels,omitempty"`
	// Content has the fields data, binaryData and type. It is never stored with
	// the template: Secrets stay Secrets.
	Content map[string]any `json:"-"`
}

func (c Config) groupVersionKind() schema.GroupVersionKind {
	return corev1.SchemeGroupVersion.WithKind(c.Kind)
}

// key is how status.trackedConfigs names a config.
func (c Config) key() string { return configKey(c.Kind, c.Name) }

func configKey(kind, name string) string {
	if kind == kindSecret {
		return "secret/" + name
	}
	return "configmap/" + name
}

// newRevision reads a revision off a workload's spec.
func newRevision(spec map[string]any, rollout []string, configs []Config) (*Revision, error) {
	template, ok := spec["template"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("spec.template: missing")
	}
	r := &Revision{Template: template, Rollout: map[string]any{}, Configs: configs}
	for _, field := range rollout {
		if value, ok := spec[field]; ok {
			r.Rollout[field] = value
		}
	}
	var err error
	r.Digest, err = r.digest()
	return r, err
}

// digest covers what the pods are made of. Maps are encoded with sorted keys.
func (r *Revision) digest() (string, error) {
	checksums := map[string]string{}
	for _, c := range r.Configs {
		checksums[c.key()] = c.Checksum
	}
	template := withoutNulls(r.Template).(map[string]any)
	if metadata, ok := template["metadata"].(map[string]any); ok {
		delete(metadata, "creationTimestamp")
	}
	sum, err := hash(map[string]any{"template": template, "configs": checksums})
	if err != nil {
		return "", fmt.Errorf("digesting pod template: %w", err)
	}
	return canary.DigestPrefix + sum, nil
}

func hash(v any) (string, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), nil
}

// withoutNulls copies a JSON value. An old API server writes null where a new one
// writes nothing.
func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if value != nil {
				out[key] = withoutNulls(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = withoutNulls(value)
		}
		return out
	default:
		return v
	}
}

// checksum is Flagger's for what Flagger sees. It never sees binaryData, whose
// changes would go unnoticed.
func checksum(content map[string]any) (string, error) {
	if binary, ok := content["binaryData"].(map[string]any); ok && len(binary) > 0 {
		return checksumOfData(map[string]any{"data": content["data"], "binaryData": binary})
	}
	return checksumOfData(content["data"])
}

func checksumOfData(data any) (string, error) {
	sum, err := hash(data)
	if err != nil {
		return "", err
	}
	return sum[:16], nil
}

// TrackedConfigs is status.trackedConfigs for this revision, as Flagger has it.
func (r *Revision) TrackedConfigs() map[string]string {
	if len(r.Configs) == 0 {
		return nil
	}
	tracked := make(map[string]string, len(r.Configs))
	for _, c := range r.Configs {
		tracked[c.key()] = c.Tracked
	}
	return tracked
}
