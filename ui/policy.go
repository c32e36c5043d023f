// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"

	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/report"
)

// policy explains what an ImagePolicy makes of every tag that the registry has; the query tries another rule.
func (s *Server) policy(ctx context.Context, v *view, key client.ObjectKey, r *http.Request) (any, error) {
	var p imagev1.ImagePolicy
	if err := v.client.Get(ctx, key, &p); err != nil {
		return nil, err
	}
	applyTrial(&p.Spec, r.URL.Query())
	rule, err := policy.CompileSpec(&p.Spec, s.Clock.Now())
	if err != nil {
		return nil, &badRequestError{err}
	}
	var repo imagev1.ImageRepository
	if err := v.client.Get(ctx, report.RepositoryOf(&p), &repo); err != nil {
		return nil, fmt.Errorf("spec.imageRepositoryRef: %w", err)
	}
	tags, err := s.Tags(ctx, v.client, &repo)
	if err != nil {
		return nil, err
	}
	if _, err := rule.Work(bytesOf(tags)); err != nil {
		return nil, &badRequestError{err}
	}
	found := report.Explain(&p, rule, untilEnd(ctx, tags))
	if ctx.Err() != nil {
		return nil, &badRequestError{fmt.Errorf("judging %d tags takes too long: make spec.filterTags.pattern simpler", len(tags))}
	}
	found.Image = repo.Spec.Image
	return found.Limited(maxTags), nil
}

// bytesOf is how long some tags are together.
func bytesOf(tags []string) (bytes int) {
	for _, tag := range tags {
		bytes += len(tag)
	}
	return bytes
}

// untilEnd are some tags, as far as they are read before ctx ends: a pattern that somebody tries must not be matched for nobody.
func untilEnd(ctx context.Context, tags []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, tag := range tags {
			if ctx.Err() != nil || !yield(tag) {
				return
			}
		}
	}
}

// maxTags are shown of those that rank, and of the others.
const maxTags = 5000

// badRequestError is about what the query says.
type badRequestError struct{ error }

// applyTrial changes a policy to what a query says, as far as it says anything. A rule to try takes the place of a pin, or there
// would be nothing to see.
func applyTrial(spec *imagev1.ImagePolicySpec, query url.Values) {
	switch query.Get("kind") {
	case "semver":
		spec.Policy = imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: query.Get("range")}}
	case "alphabetical":
		spec.Policy = imagev1.ImagePolicyChoice{Alphabetical: &imagev1.AlphabeticalPolicy{Order: query.Get("order")}}
	case "numerical":
		spec.Policy = imagev1.ImagePolicyChoice{Numerical: &imagev1.NumericalPolicy{Order: query.Get("order")}}
	}
	if query.Has("kind") {
		spec.Pin = nil
	}
	if query.Has("pattern") {
		spec.FilterTags = nil
		if pattern := query.Get("pattern"); pattern != "" {
			spec.FilterTags = &imagev1.TagFilter{Pattern: pattern, Extract: query.Get("extract")}
		}
	}
}
