// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/object"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// optOut is the annotation by which a ConfigMap or Secret is left out.
const optOut = "flagger.app/config-tracking"

const (
	// maxConfigs bounds how many ConfigMaps and Secrets are copied for one primary, and
	// maxConfigBytes how much of them is held in memory meanwhile.
	maxConfigs     = 250
	maxConfigBytes = 32 << 20
)

// trackedSecrets are the types of Secrets that configure an application. Others,
// such as those for registries, belong to the platform.
var trackedSecrets = []corev1.SecretType{
	corev1.SecretTypeOpaque, corev1.SecretTypeBasicAuth, corev1.SecretTypeSSHAuth, corev1.SecretTypeTLS,
}

// configs are the ConfigMaps and Secrets that the pods of a target read, and the copies
// of them that the primary's pods read.
type configs struct {
	scope *scope
	// maxBytes bounds how much of their content is held at once.
	maxBytes int
}

// read reads what the target's pod template refers to, sorted by name, and returns the
// keys of all references. An optional config that does not exist is none.
func (c configs) read(ctx context.Context, podSpec map[string]any) (keys []string, read []Config, err error) {
	if c.scope.opts.IgnoreConfigs || c.scope.deleted() { // nothing is promoted any more
		return nil, nil, nil
	}
	required := map[string]bool{}
	byKey := map[string]configRef{}
	for _, r := range configRefs(podSpec) {
		key := configKey(r.kind, r.name())
		byKey[key] = r
		required[key] = required[key] || !r.optional()
	}
	keys = slices.Sorted(maps.Keys(byKey))
	if len(keys) > maxConfigs {
		return keys, nil, reconcile.TerminalError(fmt.Errorf("spec.targetRef: pods of %s.%s read %d ConfigMaps "+
			"and Secrets, more than %d: put several into one",
			c.scope.targetName(), c.scope.canary.Namespace, len(keys), maxConfigs))
	}
	total := 0
	for _, key := range keys {
		config, err := c.readOne(ctx, byKey[key].kind, byKey[key].name())
		switch {
		case apierrors.IsNotFound(err) && !required[key]:
		case err != nil:
			return keys, nil, err
		case config != nil:
			read = append(read, *config)
			total += size(config.Content)
			if err := c.checkSize(total); err != nil {
				return keys, nil, err
			}
		}
	}
	return keys, read, nil
}

// readOne returns nil for a config that is not to be tracked. One that has not
// changed since it was read is not read again.
func (c configs) readOne(ctx context.Context, kind, name string) (*Config, error) {
	key, gvk, cached := configKey(kind, name), corev1.SchemeGroupVersion.WithKind(kind), c.scope.entry.configs
	if before, ok := cached[key]; ok {
		now, err := c.scope.cachedVersion(ctx, gvk, name)
		if err != nil {
			return nil, err
		}
		if now == before.version {
			return before.config, before.missing
		}
	}
	live := c.scope.named(gvk, name)
	if err := c.scope.live.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
		if apierrors.IsNotFound(err) {
			cached[key] = cachedConfig{missing: err}
		}
		return nil, fmt.Errorf("reading %s %s.%s: %w", strings.ToLower(kind), name, c.scope.canary.Namespace, err)
	}
	config, err := trackedConfig(live)
	if err != nil {
		return nil, err
	}
	cached[key] = cachedConfig{version: live.GetResourceVersion(), config: config.bare()}
	return config, nil
}

// bare is a config without its content: Secrets are not kept in memory.
func (c *Config) bare() *Config {
	if c == nil {
		return nil
	}
	return &Config{Kind: c.Kind, Name: c.Name, Checksum: c.Checksum, Tracked: c.Tracked, Labels: c.Labels}
}

// fetch reads the content of configs that was not read with the revision. It must
// be the same still.
func (c configs) fetch(ctx context.Context, r *Revision) error {
	total := 0
	for i := range r.Configs {
		config := &r.Configs[i]
		if config.Content != nil {
			continue
		}
		live := c.scope.named(config.groupVersionKind(), config.Name)
		if err := c.scope.live.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
			return fmt.Errorf("reading %s: %w", config.key(), err)
		}
		now, err := configOf(live)
		if err != nil {
			return fmt.Errorf("reading %s: %w", config.key(), err)
		}
		if now.Checksum != config.Checksum {
			c.scope.entry.expectGeneration(-1)
			return fmt.Errorf("reading %s: it has just changed", config.key())
		}
		config.Content = now.Content
		total += size(config.Content)
		if err := c.checkSize(total); err != nil {
			return err
		}
	}
	return nil
}

// checkSize refuses configs that together are too large to be held.
func (c configs) checkSize(bytes int) error {
	if bytes <= c.maxBytes {
		return nil
	}
	return reconcile.TerminalError(fmt.Errorf("spec.targetRef: ConfigMaps and Secrets that pods of %s.%s read "+
		"have more than %d bytes in all: annotate those that need no copy %s: disabled",
		c.scope.targetName(), c.scope.canary.Namespace, c.maxBytes, optOut))
}

// size is about how many bytes a config has.
func size(content any) (bytes int) {
	switch content := content.(type) {
	case string:
		return len(content)
	case map[string]any:
		for key, value := range content {
			bytes += len(key) + size(value)
		}
	}
	return bytes
}

func trackedConfig(live *unstructured.Unstructured) (*Config, error) {
	if strings.HasPrefix(live.GetAnnotations()[optOut], "disable") {
		return nil, nil
	}
	if live.GetKind() == kindSecret {
		secretType, _ := live.Object["type"].(string)
		if !slices.Contains(trackedSecrets, corev1.SecretType(secretType)) {
			return nil, nil
		}
	}
	return configOf(live)
}

func configOf(live *unstructured.Unstructured) (*Config, error) {
	c := &Config{Kind: live.GetKind(), Name: live.GetName(), Labels: live.GetLabels(), Content: map[string]any{}}
	for _, field := range []string{"data", "binaryData", "type"} {
		if value, ok := live.Object[field]; ok {
			c.Content[field] = value
		}
	}
	var err error
	if c.Checksum, err = checksum(c.Content); err != nil {
		return nil, err
	}
	c.Tracked, err = checksumOfData(c.Content["data"])
	return c, err
}

// primaryNames chooses the names of the primary's copies: `<name>-primary`, or
// one of its own if another canary has promoted that copy of a shared config:
// what one canary measured must not reach the primary of another.
func (c configs) primaryNames(ctx context.Context, read []Config) (map[string]string, error) {
	names := map[string]string{}
	for _, config := range read {
		name := flaggerv1.PrimaryName(config.Name)
		existing := c.scope.named(config.groupVersionKind(), name)
		err := c.scope.live.Get(ctx, client.ObjectKeyFromObject(existing), existing)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading %s %s.%s: %w", strings.ToLower(config.Kind), name, c.scope.canary.Namespace, err)
		}
		if owner := metav1.GetControllerOf(existing); err == nil && owner != nil && owner.UID != c.scope.canary.UID {
			name = flaggerv1.PrimaryName(config.Name + "-" + c.scope.canary.Name)
		} else if err := c.checkPlace(existing, config); err != nil {
			return nil, err
		}
		names[config.key()] = name
	}
	return names, nil
}

// checkPlace refuses to write a copy over somebody else's config.
func (c configs) checkPlace(existing *unstructured.Unstructured, config Config) error {
	has, err := configOf(existing)
	if err != nil {
		return err
	}
	return c.scope.checkPlace(existing,
		func() bool { return has.Checksum == config.Checksum && has.Content["type"] == config.Content["type"] })
}

// flaggerNames are those that Flagger gives to the copies, shared or not.
func flaggerNames(configs []Config) map[string]string {
	names := map[string]string{}
	for _, c := range configs {
		names[c.key()] = flaggerv1.PrimaryName(c.Name)
	}
	return names
}

// copyToPrimary gives the primary the configuration of a revision, and returns the names
// of the copies.
func (c configs) copyToPrimary(ctx context.Context, r *Revision) (map[string]string, error) {
	if err := c.fetch(ctx, r); err != nil {
		return nil, err
	}
	names, err := c.primaryNames(ctx, r.Configs)
	if err != nil {
		return nil, err
	}
	for _, config := range r.Configs {
		name := names[config.key()]
		if err := c.copyOne(ctx, config, name); err != nil {
			return nil, fmt.Errorf("copying %s to %s.%s: %w", config.key(), name, c.scope.canary.Namespace, err)
		}
	}
	return names, nil
}

func (c configs) copyOne(ctx context.Context, config Config, name string) error {
	copied := c.scope.named(config.groupVersionKind(), name)
	_, err := controllerutil.CreateOrPatch(ctx, c.scope.live, copied, func() error {
		if owner := metav1.GetControllerOf(copied); owner != nil && owner.UID != c.scope.canary.UID {
			return fmt.Errorf("%s %s has made it meanwhile", owner.Kind, owner.Name)
		}
		if err := c.checkPlace(copied, config); err != nil {
			return err
		}
		if before, ok := copied.Object["type"]; ok && before != config.Content["type"] {
			return errRetyped
		}
		fill(copied, config)
		copied.SetLabels(object.Merge(copied.GetLabels(), included(config.Labels, c.scope.opts.IncludeLabelPrefix)))
		c.scope.claim(copied)
		return nil
	})
	if !errors.Is(err, errRetyped) {
		return err
	}
	if err := c.scope.live.Delete(ctx, copied); client.IgnoreNotFound(err) != nil {
		return err
	}
	return c.copyOne(ctx, config, name)
}

// errRetyped means that a Secret has another type now, which cannot be changed.
var errRetyped = errors.New("the type has changed")

// fill replaces the content of a copy.
func fill(copied *unstructured.Unstructured, c Config) {
	for _, field := range []string{"data", "binaryData"} {
		delete(copied.Object, field)
	}
	for field, value := range runtime.DeepCopyJSON(c.Content) {
		copied.Object[field] = value
	}
}
