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

// readConfigs reads what the target's pod template refers to, sorted by name. An
// optional config that does not exist is none.
func (p *Pair) readConfigs(ctx context.Context, podSpec map[string]any) ([]Config, error) {
	if p.kit.opts.IgnoreConfigs || p.canary.DeletionTimestamp != nil { // nothing is promoted any more
		return nil, nil
	}
	required := map[string]bool{}
	byKey := map[string]ref{}
	for _, r := range refs(podSpec) {
		key := configKey(r.kind, r.name())
		byKey[key] = r
		required[key] = required[key] || !r.optional()
	}
	p.Configs = slices.Sorted(maps.Keys(byKey))
	if len(byKey) > maxConfigs {
		return nil, reconcile.TerminalError(fmt.Errorf("spec.targetRef: pods of %s.%s read %d ConfigMaps and Secrets, more than %d: put several into one",
			p.canary.Spec.TargetRef.Name, p.canary.Namespace, len(byKey), maxConfigs))
	}
	var configs []Config
	held := 0
	for key, r := range byKey {
		config, err := p.readConfig(ctx, r.kind, r.name())
		switch {
		case apierrors.IsNotFound(err) && !required[key]:
		case err != nil:
			return nil, err
		case config != nil:
			configs = append(configs, *config)
			if held += size(config.Content); held > p.kit.configBytes {
				return nil, p.checkSize(held)
			}
		}
	}
	slices.SortFunc(configs, func(a, b Config) int { return strings.Compare(a.key(), b.key()) })
	return configs, nil
}

// readConfig returns nil for a config that is not to be tracked. One that has not
// changed since it was read is not read again.
func (p *Pair) readConfig(ctx context.Context, kind, name string) (*Config, error) {
	key := configKey(kind, name)
	if before, ok := p.known.configs[key]; ok {
		now, err := p.version(ctx, corev1.SchemeGroupVersion.WithKind(kind), name)
		if err != nil {
			return nil, err
		}
		if now == before.version {
			return before.config, before.missing
		}
	}
	live := configObject(kind, p.canary.Namespace, name)
	if err := p.kit.live.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
		if apierrors.IsNotFound(err) {
			p.known.configs[key] = known{missing: err}
		}
		return nil, fmt.Errorf("reading %s %s.%s: %w", strings.ToLower(kind), name, p.canary.Namespace, err)
	}
	config, err := trackedConfig(live)
	if err != nil {
		return nil, err
	}
	p.known.configs[key] = known{version: live.GetResourceVersion(), config: config.bare()}
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
func (p *Pair) fetch(ctx context.Context, r *Revision) error {
	held := 0
	for i := range r.Configs {
		c := &r.Configs[i]
		if c.Content != nil {
			continue
		}
		live := configObject(c.Kind, p.canary.Namespace, c.Name)
		if err := p.kit.live.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
			return fmt.Errorf("reading %s: %w", c.key(), err)
		}
		now, err := configOf(live)
		if err != nil {
			return fmt.Errorf("reading %s: %w", c.key(), err)
		}
		if now.Checksum != c.Checksum {
			p.expect(-1)
			return fmt.Errorf("reading %s: it has just changed", c.key())
		}
		c.Content = now.Content
		held += size(c.Content)
		if err := p.checkSize(held); err != nil {
			return err
		}
	}
	return nil
}

// checkSize refuses configs that together are too large to be held.
func (p *Pair) checkSize(bytes int) error {
	if bytes <= p.kit.configBytes {
		return nil
	}
	return reconcile.TerminalError(fmt.Errorf("spec.targetRef: ConfigMaps and Secrets that pods of %s.%s read have more than %d bytes in all: annotate those that need no copy %s: disabled",
		p.canary.Spec.TargetRef.Name, p.canary.Namespace, p.kit.configBytes, optOut))
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

func configObject(kind, namespace, name string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	return u
}

// primaryNames chooses the names of the primary's copies: `<name>-primary`, or
// one of its own if another canary has promoted that copy of a shared config:
// what one canary measured must not reach the primary of another.
func (p *Pair) primaryNames(ctx context.Context, configs []Config) (map[string]string, error) {
	names := map[string]string{}
	for _, c := range configs {
		name := c.Name + primarySuffix
		held := configObject(c.Kind, p.canary.Namespace, name)
		err := p.kit.live.Get(ctx, client.ObjectKeyFromObject(held), held)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading %s %s.%s: %w", strings.ToLower(c.Kind), name, p.canary.Namespace, err)
		}
		if owner := metav1.GetControllerOf(held); err == nil && owner != nil && owner.UID != p.canary.UID {
			name = fmt.Sprintf("%s-%s%s", c.Name, p.canary.Name, primarySuffix)
		} else if err := p.checkConfigPlace(held, c); err != nil {
			return nil, err
		}
		names[c.key()] = name
	}
	return names, nil
}

// checkConfigPlace refuses to write a copy over somebody else's config.
func (p *Pair) checkConfigPlace(held *unstructured.Unstructured, c Config) error {
	has, err := configOf(held)
	if err != nil {
		return err
	}
	return p.checkPlace(held, has.Checksum == c.Checksum && has.Content["type"] == c.Content["type"])
}

// flaggerNames are those that Flagger gives to the copies, shared or not.
func flaggerNames(configs []Config) map[string]string {
	names := map[string]string{}
	for _, c := range configs {
		names[c.key()] = c.Name + primarySuffix
	}
	return names
}

// copyConfigs gives the primary the configuration of a revision.
func (p *Pair) copyConfigs(ctx context.Context, r *Revision) error {
	if err := p.fetch(ctx, r); err != nil {
		return err
	}
	names, err := p.primaryNames(ctx, r.Configs)
	if err != nil {
		return err
	}
	p.names.configs = names
	for _, c := range r.Configs {
		if err := p.copyConfig(ctx, c, names[c.key()]); err != nil {
			return fmt.Errorf("copying %s to %s.%s: %w", c.key(), names[c.key()], p.canary.Namespace, err)
		}
	}
	return nil
}

func (p *Pair) copyConfig(ctx context.Context, c Config, name string) error {
	copied := configObject(c.Kind, p.canary.Namespace, name)
	_, err := controllerutil.CreateOrPatch(ctx, p.kit.live, copied, func() error {
		if owner := metav1.GetControllerOf(copied); owner != nil && owner.UID != p.canary.UID {
			return fmt.Errorf("%s %s has made it meanwhile", owner.Kind, owner.Name)
		}
		if err := p.checkConfigPlace(copied, c); err != nil {
			return err
		}
		if before, ok := copied.Object["type"]; ok && before != c.Content["type"] {
			return errRetyped
		}
		fill(copied, c)
		copied.SetLabels(merge(copied.GetLabels(), included(c.Labels, p.kit.opts.IncludeLabelPrefix)))
		return p.claim(copied)
	})
	if !errors.Is(err, errRetyped) {
		return err
	}
	if err := p.kit.live.Delete(ctx, copied); client.IgnoreNotFound(err) != nil {
		return err
	}
	return p.copyConfig(ctx, c, name)
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

func merge(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	out := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for key, value := range m {
			out[key] = value
		}
	}
	return out
}
