// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/policy"
	"github.com/sluice-cd/sluice/report"
)

// Tags are those of an image.
type Tags struct {
	// Names are the tags themselves.
	Names []string
	// FirstSeen is when a scan found a tag first, zero if that is not known; nil knows of none.
	FirstSeen func(tag string) time.Time
}

// policy explains what an ImagePolicy makes of every tag that the registry has; the query tries another rule.
func (s *Server) policy(ctx context.Context, v *view, key client.ObjectKey, r *http.Request) (any, error) {
	var p imagev1.ImagePolicy
	if err := v.client.Get(ctx, key, &p); err != nil {
		return nil, err
	}
	own := copyOrNew(p.Spec.FilterTags)
	if err := applyDraft(&p.Spec, r.URL.Query()); err != nil {
		return nil, &badRequestError{err}
	}
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
	work, err := rule.Work(bytesOf(tags.Names))
	if err != nil {
		return nil, &badRequestError{err}
	}
	if v.user == AnonymousUser {
		if r.URL.Query().Has("pattern") && work > maxAnonymousWork {
			return nil, &badRequestError{errors.New("pattern: it is too much work with so many tags for somebody who did not sign in: " +
				"sign in, or make it simpler")}
		}
	}
	found := report.Explain(&p, rule, untilEnd(ctx, tags.Names))
	if ctx.Err() != nil {
		return nil, &badRequestError{fmt.Errorf("judging %d tags takes too long: make spec.filterTags.pattern simpler", len(tags.Names))}
	}
	found.Image = repo.Spec.Image
	shown := found.Limited(maxTags)
	if tags.FirstSeen != nil {
		shown.AddFirstSeen(tags.FirstSeen)
	}
	return PolicyDetail{Explanation: shown, Pattern: own.Pattern, Extract: own.Extract}, nil
}

// limitAnonymous lets few of the people who did not sign in look at policies at one time, before they take a slot that everybody needs.
func (s *Server) limitAnonymous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := viewOf(r).user
		if user == AnonymousUser {
			ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
			defer cancel()
			if s.judged.Acquire(ctx, user) != nil {
				refuse(w, codeOf(errCrowdedPolicies), errCrowdedPolicies.Error())
				return
			}
			defer s.judged.Release(user)
		}
		next.ServeHTTP(w, r)
	})
}

// errCrowdedPolicies means that too many people who did not sign in look at policies.
var errCrowdedPolicies = errors.New("too many people who did not sign in look at policies: sign in, or try again in a moment")

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

// applyDraft changes a policy to what a query says, as far as it says anything, as the flags of sluice explain policy do. A rule to
// try takes the place of a pin, or there would be nothing to see.
func applyDraft(spec *imagev1.ImagePolicySpec, query url.Values) error {
	if query.Has("kind") {
		choice, err := choiceOf(spec.Policy, query)
		if err != nil {
			return err
		}
		spec.Policy, spec.Pin = choice, nil
	}
	if !query.Has("pattern") && !query.Has("extract") {
		return nil
	}
	filter := copyOrNew(spec.FilterTags)
	replace(&filter.Pattern, query, "pattern")
	replace(&filter.Extract, query, "extract")
	spec.FilterTags = filter
	switch {
	case filter.Pattern != "":
	case query.Get("extract") != "":
		return errors.New("extract: there is no pattern to extract from; give one, too")
	default:
		spec.FilterTags = nil
	}
	return nil
}

// choiceOf is the rule of a query. Of a policy that has one of the same kind, what the query does not say is kept.
func choiceOf(old imagev1.ImagePolicyChoice, query url.Values) (choice imagev1.ImagePolicyChoice, err error) {
	switch kind := query.Get("kind"); kind {
	case "semver":
		choice.SemVer = copyOrNew(old.SemVer)
		replace(&choice.SemVer.Range, query, "range")
	case "alphabetical":
		choice.Alphabetical = copyOrNew(old.Alphabetical)
		replace(&choice.Alphabetical.Order, query, "order")
	case "numerical":
		choice.Numerical = copyOrNew(old.Numerical)
		replace(&choice.Numerical.Order, query, "order")
	default:
		return choice, fmt.Errorf("kind: %q is none of semver, alphabetical and numerical", kind)
	}
	return choice, nil
}

// replace sets a text to that of a query, if it has one.
func replace(text *string, query url.Values, name string) {
	if query.Has(name) {
		*text = query.Get(name)
	}
}

// copyOrNew returns a copy of what a pointer leads to, or a zero value for nil.
func copyOrNew[T any](p *T) *T {
	var value T
	if p != nil {
		value = *p
	}
	return &value
}
