// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-containerregistry/pkg/name"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/promotion"
)

const (
	// tagTimeout bounds a look at a tag, and the move of one.
	tagTimeout = 30 * time.Second
	// copyTimeout bounds a copy. One that was cut off goes on with the blobs that lack.
	copyTimeout = 5 * time.Minute
)

// tagMemory is what the tags of a pipeline point at, by repository:tag; "" is a tag that
// does not exist. Nobody tells when somebody moves one: they are looked at once in an
// interval, and after each move of ours.
type tagMemory struct {
	lookedAt time.Time
	cause    string
	digests  map[string]string
}

// lookAtTags forgets what tags pointed at if that was long ago, or if somebody asks for it.
func (r *run) lookAtTags() {
	asked, _ := meta.ReconcileAnnotationValue(r.pipeline.Annotations)
	cause := fmt.Sprintf("%s %d", asked, r.pipeline.Generation)
	m := &r.memory.tags
	if m.digests != nil && m.cause == cause && r.Clock.Now().Before(m.lookedAt.Add(r.pipeline.Spec.Interval.Duration)) {
		return
	}
	m.lookedAt, m.cause, m.digests = r.Clock.Now(), cause, map[string]string{}
}

// tagName parses the tag of a target.
func tagName(w *sluicev1.WriteTag) (name.Tag, error) {
	var scheme []name.Option
	if w.Insecure {
		scheme = append(scheme, name.Insecure)
	}
	repository, err := name.NewRepository(w.Repository, scheme...)
	if err != nil || strings.Contains(w.Repository, "://") {
		return name.Tag{}, fmt.Errorf("repository: %q is no repository of a registry, which has no scheme, tag or digest", w.Repository)
	}
	tag, err := name.NewTag(repository.Name()+":"+w.Tag, append(scheme, name.StrictValidation)...)
	if err != nil {
		return name.Tag{}, fmt.Errorf("tag: %q is no tag", w.Tag)
	}
	return tag, nil
}

// artifactOf is the artifact that a tag points at.
func artifactOf(p *sluicev1.Pipeline, w *sluicev1.WriteTag) string {
	return cmp.Or(w.Artifact, p.Spec.Artifacts[0].Name)
}

// tagOf is the tag of a target as it is reached: with the credentials of its Secret or
// with none, whatever identity this process has.
func (r *run) tagOf(ctx context.Context, t target) (registry.Image, name.Tag, error) {
	field := fmt.Sprintf("spec.stages[%s].write.tag", t.stage)
	if r.Registry == nil {
		return registry.Image{}, name.Tag{}, refuse("%s: this process does not speak with registries", field)
	}
	tag, err := tagName(t.tag)
	if err != nil {
		return registry.Image{}, tag, refuse("%s.%w", field, err)
	}
	if err := r.Registry.CheckAddress(tag.Repository); err != nil {
		return registry.Image{}, tag, refuse("%s.repository: %w", field, err)
	}
	spec := registry.Spec{
		Kind: sluicev1.PipelineKind, Namespace: r.pipeline.Namespace, Name: r.pipeline.Name, Image: t.tag.Repository, Insecure: t.tag.Insecure,
	}
	if t.tag.SecretRef != nil {
		spec.SecretRef = t.tag.SecretRef.Name
	}
	access, err := registry.ReadAccess(ctx, r.Live, spec)
	if err != nil {
		return registry.Image{}, tag, tagError(t, err)
	}
	return registry.Image{Repository: tag.Repository, Access: access, Timeout: tagTimeout}, tag, nil
}

// tagError is an error about the tag of a target.
func tagError(t target, err error) error {
	err = reconciler.WithReason(sluicev1.RegistryFailedReason, fmt.Errorf("spec.stages[%s].write.tag: %w", t.stage, err))
	if limited := (*registry.RateLimited)(nil); errors.As(err, &limited) {
		return reconciler.Pending(err, max(limited.After, time.Second))
	}
	return err
}

// tagStage reads what a stage without Git has, and whether it runs that.
func (r *run) tagStage(ctx context.Context, stage *sluicev1.Stage) (promotion.StageSeen, error) {
	seen := promotion.StageSeen{Wrote: r.memory.wrote[stage.Name]}
	for _, t := range targetsOf(stage) {
		digest, err := r.pointsAt(ctx, t)
		if err != nil {
			return seen, err
		}
		one := promotion.TargetSeen{Name: t.name, Wave: t.wave}
		has := r.tagContent(t, digest)
		one.Content = r.whole(stage, has)
		if err := r.judge(ctx, stage, t, &one); err != nil {
			return seen, err
		}
		one.Content = has
		seen.Targets = append(seen.Targets, one)
	}
	return seen, nil
}

// pointsAt is the digest that the tag of a target points at; "" if there is no such tag.
func (r *run) pointsAt(ctx context.Context, t target) (string, error) {
	image, tag, err := r.tagOf(ctx, t)
	if err != nil {
		return "", err
	}
	if digest, known := r.memory.tags.digests[tag.Name()]; known {
		return digest, nil
	}
	digest, err := r.Registry.Digest(ctx, image, tag.TagStr())
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return "", tagError(t, err)
	}
	r.memory.tags.digests[tag.Name()] = digest
	return digest, nil
}

// tagContent is what a digest is a version of. One that no known bundle has is content that
// somebody put there.
func (r *run) tagContent(t target, digest string) promotion.Content {
	if digest == "" {
		return promotion.Content{}
	}
	artifact := artifactOf(r.pipeline, t.tag)
	v := sluicev1.Version{Artifact: artifact, Image: t.tag.Repository, Digest: digest}
	if newest := r.newest[artifact]; newest.Digest == digest {
		v.Image = newest.Image
		return promotion.Content{Versions: []sluicev1.Version{v}}
	}
	for _, b := range slices.Backward(r.memory.kept.state.Bundles) {
		if known, ok := versionOf(b.Bundle, artifact); ok && known.Digest == digest {
			v.Image = known.Image
			break
		}
	}
	return promotion.Content{Versions: []sluicev1.Version{v}}
}

func versionOf(b sluicev1.Bundle, artifact string) (sluicev1.Version, bool) {
	i := slices.IndexFunc(b.Versions, func(v sluicev1.Version) bool { return v.Artifact == artifact })
	if i < 0 {
		return sluicev1.Version{}, false
	}
	return b.Versions[i], true
}

// whole is the bundle that a stage landed if a content is that: a tag tells of one of its
// artifacts, and Canaries of the images of others.
func (r *run) whole(stage *sluicev1.Stage, has promotion.Content) promotion.Content {
	if b, known := r.memory.kept.state.Bundle(landingOf(r.memory.kept.state, stage.Name).Bundle); known && has.Is(b) {
		return promotion.Content{Versions: b.Versions}
	}
	return has
}

// writeTags points the tags of targets at the artifact of a bundle.
func (r *run) writeTags(ctx context.Context, stage *sluicev1.Stage, w promotion.Write) (bool, error) {
	did := false
	for _, t := range targetsOf(stage) {
		if !slices.Contains(w.Targets, t.name) {
			continue
		}
		v, _ := versionOf(w.Bundle, artifactOf(r.pipeline, t.tag))
		if v.Digest == "" {
			return did, refuse("spec.stages[%s].write.tag: %s has no digest: %s", t.stage, cmp.Or(v.Tag, w.Bundle.ID), digestRemedy)
		}
		moved, err := r.point(ctx, t, v)
		did = did || moved
		if err != nil {
			return did, err
		}
		if !moved {
			return true, nil // somebody else moved it: what they did is decided about first
		}
	}
	r.memory.wrote[w.Stage] = w.Bundle.ID
	return did, nil
}

// digestRemedy is what makes an ImagePolicy tell digests.
const digestRemedy = "set spec.digestReflectionPolicy of its ImagePolicy to IfNotPresent or Always"

// point points the tag of a target at a version, unless somebody moved it since it was
// looked at. Registries cannot compare and swap: who moves it in the moment between is
// overwritten.
func (r *run) point(ctx context.Context, t target, v sluicev1.Version) (bool, error) {
	image, tag, err := r.tagOf(ctx, t)
	if err != nil {
		return false, err
	}
	decided := r.memory.tags.digests[tag.Name()]
	delete(r.memory.tags.digests, tag.Name()) // whatever comes of this
	if is, err := r.pointsAt(ctx, t); err != nil || is != decided {
		return false, err
	}
	image.Write = true
	from, err := r.copiedFrom(image, t, v)
	if err != nil {
		return false, err
	}
	if from.Repository.Name() != image.Repository.Name() {
		to := image
		to.Timeout = copyTimeout
		if err := r.Registry.Copy(ctx, from, to, v.Digest); err != nil {
			return false, tagError(t, err)
		}
	}
	if err := r.Registry.Tag(ctx, image, v.Digest, tag.TagStr()); err != nil {
		return false, tagError(t, err)
	}
	delete(r.memory.tags.digests, tag.Name()) // it is read back
	return true, nil
}

// copiedFrom is where a version is, with the credentials of the tag. Only the registry of
// the tag itself is spoken to without TLS because of its insecure.
func (r *run) copiedFrom(to registry.Image, t target, v sluicev1.Version) (registry.Image, error) {
	from := to
	from.Write, from.Timeout = false, copyTimeout
	var err error
	if from.Repository, err = name.NewRepository(v.Image); err != nil {
		return from, refuse("spec.artifacts[%s]: %q is no repository of a registry", v.Artifact, v.Image)
	}
	if t.tag.Insecure && from.Repository.RegistryStr() == to.Repository.RegistryStr() {
		from.Repository, err = name.NewRepository(v.Image, name.Insecure)
	}
	if err == nil {
		err = r.Registry.CheckAddress(from.Repository)
	}
	if err != nil {
		return from, refuse("spec.artifacts[%s]: %w", v.Artifact, err)
	}
	return from, nil
}

// tagCarries reports whether a revision of an OCI artifact is that of a content.
func tagCarries(artifact, revision string, want promotion.Content) bool {
	_, digest := ociRevision(strings.TrimSpace(revision))
	v, has := versionOf(sluicev1.Bundle{Versions: want.Versions}, artifact)
	return digest != "" && has && v.Digest == digest
}
