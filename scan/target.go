// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"fmt"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/name"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/pattern"
	"github.com/sluice-cd/sluice/internal/registry"
)

// Target is what an ImageRepository asks to list, checked and compiled.
type Target struct {
	// Repository is where the tags are; its String is the canonical image name.
	Repository name.Repository
	// Timeout bounds one call.
	Timeout time.Duration

	maxTags   int // 0: the client's
	exclude   []func(string) bool
	size      int // of the expressions, see package pattern
	canonical string
	source    string
}

// maxDefaultTimeout bounds the timeout of an ImageRepository that sets none.
// Flux waits for a whole interval, so that a few registries that hang stop all
// scanning for hours; who needs longer can say so in spec.timeout.
const maxDefaultTimeout = time.Minute

// maxTimeout bounds that of every ImageRepository: a scan has one of the slots of a
// namespace for as long.
const maxTimeout = 10 * time.Minute

// NewTarget reads the image, the exclusion list and the timeout of repo. The
// errors are registry.ErrInvalidReference and [ErrInvalidExclusion].
func NewTarget(repo *imagev1.ImageRepository) (Target, error) {
	var scheme []name.Option
	if repo.Spec.Insecure {
		scheme = append(scheme, name.Insecure)
	}
	repository, err := registry.ParseRepository(repo.Spec.Image, scheme...)
	if err != nil {
		return Target{}, err
	}
	t := Target{Repository: repository, Timeout: repo.GetTimeout(), maxTags: repo.Spec.MaxTags, canonical: repository.String()}
	t.Timeout = min(t.Timeout, maxTimeout)
	if repo.Spec.Timeout == nil {
		t.Timeout = min(t.Timeout, maxDefaultTimeout)
	}
	exclusions := repo.GetExclusionList()
	for _, expression := range exclusions {
		if err := t.addExclusion(expression); err != nil {
			return Target{}, fmt.Errorf("%w: spec.exclusionList %.200q: %w", ErrInvalidExclusion, expression, err)
		}
	}
	t.source = strings.Join(append([]string{repository.Scheme(), t.canonical}, exclusions...), "\n")
	return t, nil
}

// RegistrySpec is what repo says of how its registry is reached.
func RegistrySpec(repo *imagev1.ImageRepository) registry.Spec {
	spec := registry.Spec{
		Kind: imagev1.ImageRepositoryKind, Namespace: repo.Namespace, Name: repo.Name,
		Image: repo.Spec.Image, Insecure: repo.Spec.Insecure,
		Provider: repo.GetProvider(), ServiceAccountName: repo.Spec.ServiceAccountName,
	}
	for to, ref := range map[*string]*meta.LocalObjectReference{
		&spec.SecretRef: repo.Spec.SecretRef, &spec.CertSecretRef: repo.Spec.CertSecretRef, &spec.ProxySecretRef: repo.Spec.ProxySecretRef,
	} {
		if ref != nil {
			*to = ref.Name
		}
	}
	return spec
}

// Image is the target as one identity reads it.
func (t Target) Image(access registry.Access) registry.Image {
	return registry.Image{Repository: t.Repository, Access: access, Timeout: t.Timeout}
}

// addExclusion adds an exclusion. Nearly every object has the default one: a look at the
// end of a tag costs a hundredth of the expression.
func (t *Target) addExclusion(expression string) error {
	if expression == `^.*\.sig$` {
		t.exclude = append(t.exclude, func(tag string) bool { return strings.HasSuffix(tag, ".sig") })
		return nil
	}
	compiled, err := pattern.Compile(expression)
	if err != nil {
		return err
	}
	t.exclude = append(t.exclude, compiled.MatchString)
	t.size += compiled.Size
	return nil
}

// Exclusions compiles an exclusion list by itself. What it returns says which entry
// leaves a tag out, or nothing.
func Exclusions(list []string) (func(tag string) string, error) {
	var t Target
	for _, expression := range list {
		if err := t.addExclusion(expression); err != nil {
			return nil, fmt.Errorf("%w: spec.exclusionList %.200q: %w", ErrInvalidExclusion, expression, err)
		}
	}
	return func(tag string) string {
		for i, matches := range t.exclude {
			if matches(tag) {
				return list[i]
			}
		}
		return ""
	}, nil
}

// excludes reports whether tag is treated as if the registry did not have it.
func (t Target) excludes(tag string) bool {
	for _, matches := range t.exclude {
		if matches(tag) {
			return true
		}
	}
	return false
}
