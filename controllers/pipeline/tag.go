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

	"github.com/google/go-containerregistry/pkg/name"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/registry"
	"github.com/sluice-cd/sluice/promotion"
)

// tagTimeout bounds a look at a tag, and the move of one.
const tagTimeout = 30 * time.Second

// tagCache is what the tags of a pipeline point at, by repository:tag; "" is a tag that
// does not exist. Nobody tells when somebody moves one: they are looked at once in an
// interval, and after each move of ours.
type tagCache struct {
	lastPoll poll
	digests  map[string]string
	copies   pendingCopies
}

// refresh forgets what tags pointed at if that was long ago, or if somebody asks for it.
func (m *tagCache) refresh(p *sluicev1.Pipeline, now time.Time) {
	if next := pollAt(p, now); next.isDue(m.lastPoll, p) {
		m.lastPoll, m.digests = next, map[string]string{}
	}
}

// tags reads and moves the tags that stages of a pipeline are written to.
type tags struct {
	pipeline *sluicev1.Pipeline
	registry *registry.Client // nil refuses them
	secrets  client.Reader
	cache    *tagCache
	wrote    writtenBundles
	copying  *background.Runner[copyKey, struct{}]
	sources  ociSources
	clock    clock.PassiveClock
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

// open is the tag of a target as it is reached: with the credentials of its Secret or
// with none, whatever identity this process has.
func (ts tags) open(ctx context.Context, t target) (registry.Image, name.Tag, error) {
	field := fmt.Sprintf("spec.stages[%s].write.tag", t.stage)
	if ts.registry == nil {
		return registry.Image{}, name.Tag{}, refuse("%s: this process does not speak with registries", field)
	}
	tag, err := tagName(t.tag)
	if err != nil {
		return registry.Image{}, tag, refuse("%s.%w", field, err)
	}
	if err := ts.registry.CheckAddress(field+".repository", tag.Repository); err != nil {
		return registry.Image{}, tag, refuse("%w", err)
	}
	spec := registry.Spec{
		Kind: sluicev1.PipelineKind, Namespace: ts.pipeline.Namespace, Name: ts.pipeline.Name, Field: field,
		Image: t.tag.Repository, Insecure: t.tag.Insecure,
	}
	if t.tag.SecretRef != nil {
		spec.SecretRef = t.tag.SecretRef.Name
	}
	access, err := registry.ReadAccess(ctx, ts.secrets, spec)
	if err != nil { // it names the field
		return registry.Image{}, tag, reconciler.WithReason(sluicev1.RegistryFailedReason, err)
	}
	return registry.Image{Repository: tag.Repository, Access: access, Timeout: tagTimeout}, tag, nil
}

// tagError is an error about the tag of a target.
func tagError(t target, err error) error {
	copying := errors.Is(err, background.ErrPending)
	err = reconciler.WithReason(sluicev1.RegistryFailedReason, fmt.Errorf("spec.stages[%s].write.tag: %w", t.stage, err))
	if copying {
		return reconciler.Pending(err, copyTimeout) // at the latest: its end wakes the pipeline
	}
	if limited := (*registry.RateLimited)(nil); errors.As(err, &limited) {
		return reconciler.Pending(err, max(limited.After, time.Second))
	}
	return err
}

// pointsAt is the digest that the tag of a target points at; "" if there is no such tag.
func (ts tags) pointsAt(ctx context.Context, t target) (string, error) {
	image, tag, err := ts.open(ctx, t)
	if err != nil {
		return "", err
	}
	if digest, known := ts.cache.digests[tag.Name()]; known {
		return digest, nil
	}
	digest, err := ts.registry.Digest(ctx, image, tag.TagStr())
	if err != nil && !errors.Is(err, registry.ErrNotFound) {
		return "", tagError(t, err)
	}
	ts.cache.digests[tag.Name()] = digest
	return digest, nil
}

// tagContent is what the digest of a tag is a version of: the newest of its artifact, or
// that of a bundle of the state. One that is neither is content that somebody put there.
func tagContent(p *sluicev1.Pipeline, t target, digest string, newest promotion.Newest, s promotion.State) promotion.Content {
	if digest == "" {
		return promotion.Content{}
	}
	artifact := artifactOf(p, t.tag)
	v := sluicev1.Version{Artifact: artifact, Image: t.tag.Repository, Digest: digest}
	if newest.Digest == digest {
		v.Image = newest.Image
		return promotion.Content{Versions: []sluicev1.Version{v}}
	}
	for _, b := range slices.Backward(s.Bundles) {
		if i := slices.IndexFunc(b.Versions, func(known sluicev1.Version) bool { return known.Digest == digest }); i >= 0 {
			v.Image = b.Versions[i].Image // whatever its artifact was called then
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

// wholeContent is the bundle that a stage landed if a content is that: a tag tells of one of
// its artifacts, and Canaries of the images of others.
func wholeContent(s promotion.State, stage string, has promotion.Content) promotion.Content {
	if b, known := s.Bundle(landingOf(s, stage).Bundle); known && has.Is(b) {
		return promotion.Content{Versions: b.Versions}
	}
	return has
}

// write points the tags of targets at the artifact of a bundle.
func (ts tags) write(ctx context.Context, stage *sluicev1.Stage, w promotion.Write) (bool, error) {
	did := false
	for _, t := range targetsOf(stage) {
		if !slices.Contains(w.Targets, t.name) {
			continue
		}
		v, _ := versionOf(w.Bundle, artifactOf(ts.pipeline, t.tag))
		if v.Digest == "" {
			return did, refuse("spec.stages[%s].write.tag: %s has no digest: %s", t.stage, cmp.Or(v.Tag, w.Bundle.ID), digestRemedy)
		}
		moved, err := ts.point(ctx, t, v)
		switch {
		case err != nil:
			return did, err
		case !moved:
			return true, nil // somebody else moved it: what they did is decided about first
		}
		did = true
		ts.wrote[targetKey{w.Stage, t.name}] = writtenBundle{w.Bundle.ID, ts.clock.Now()}
	}
	return did, nil
}

// digestRemedy is how an ImagePolicy gets a digest into its status.
const digestRemedy = "set spec.digestReflectionPolicy of its ImagePolicy to IfNotPresent or Always"

// point points the tag of a target at a version, unless somebody moved it since it was
// looked at. Registries cannot compare and swap: who moves it in the moment between is
// overwritten.
func (ts tags) point(ctx context.Context, t target, v sluicev1.Version) (bool, error) {
	image, tag, err := ts.open(ctx, t)
	if err != nil {
		return false, err
	}
	decided := ts.cache.digests[tag.Name()]
	delete(ts.cache.digests, tag.Name()) // whatever comes of this
	if is, err := ts.pointsAt(ctx, t); err != nil || is != decided {
		return false, err
	}
	image.Write = true
	from, err := ts.copiedFrom(image, t, v)
	if err != nil {
		return false, err
	}
	if from.Repository.Name() != image.Repository.Name() {
		if err := ts.copy(ctx, from, image, copyKey{client.ObjectKeyFromObject(ts.pipeline), tag.Name()}, v.Digest); err != nil {
			return false, tagError(t, err)
		}
	}
	if err := ts.registry.Tag(ctx, image, v.Digest, tag.TagStr()); err != nil {
		return false, tagError(t, err)
	}
	delete(ts.cache.digests, tag.Name()) // it is read back
	ts.sources.requestTag(ctx, ts.pipeline, t, tag, v.Digest)
	return true, nil
}

// tagCarries reports whether a revision of an OCI artifact is that of a content.
func tagCarries(artifact, revision string, want promotion.Content) bool {
	_, digest := ociRevision(strings.TrimSpace(revision))
	v, has := versionOf(sluicev1.Bundle{Versions: want.Versions}, artifact)
	return digest != "" && has && v.Digest == digest
}
