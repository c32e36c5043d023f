// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluice-cd/sluice/apply/watch"
)

// Informers see everything that the controller may see, and the health of an object goes
// into the owner's status. So an object that the owner did not apply is looked at only if
// the owner's identity may read it. The answer of the API server to that is cached for a
// while.
const (
	grantTTL   = 5 * time.Minute
	refusalTTL = 15 * time.Second
	// maxRefused is of how many objects of a kind in a namespace it is found out that they may not be read.
	maxRefused = 20
)

// Objects that references name are watched one by one, and from so many of a kind in a namespace on
// by one watch of them all; an owner has so many of these watches.
const (
	maxWatchedAlone     = 10
	maxReferenceWatches = 200
)

// referenceGroup is a kind in a namespace.
type referenceGroup struct {
	schema.GroupVersionKind
	namespace string
}

func (r Reference) group() referenceGroup { return referenceGroup{r.GroupVersionKind, r.Namespace} }

// sizesOf counts the references to each kind in a namespace.
func sizesOf(refs []Reference) map[referenceGroup]int {
	sizes := map[referenceGroup]int{}
	for _, ref := range refs {
		sizes[ref.group()]++
	}
	return sizes
}

// referenceTargets are what to watch for references. What is beyond is read.
func referenceTargets(refs []Reference, rules *watch.Rules) []watch.Target {
	var targets []watch.Target
	known, sizes := map[watch.Target]bool{}, sizesOf(refs)
	for _, ref := range refs {
		target := watch.Target{GroupVersionKind: ref.GroupVersionKind, Namespace: ref.Namespace, Name: ref.Name, Rules: rules.Digest()}
		if sizes[ref.group()] > maxWatchedAlone {
			target.Name, target.All = "", true
		}
		if !known[target] && len(targets) < maxReferenceWatches {
			known[target] = true
			targets = append(targets, target)
		}
	}
	return targets
}

// grant is whether an identity may read an object.
type grant struct {
	refusal string // "" if it may
	until   time.Time
}

// locateReference returns the reference as the cluster knows it, or why nobody can look
// at it: what only another spec helps.
func (s *Set) locateReference(ref Reference) (found Reference, mapping *meta.RESTMapping, problem string) {
	mapping, err := s.engine.clients.mapper.RESTMapping(ref.GroupKind(), ref.Version)
	switch {
	case err != nil:
		return ref, nil, "" // it may come to be known
	case mapping.Scope.Name() != meta.RESTScopeNameNamespace:
		ref.Namespace = "" // there is one of the name
	case ref.Namespace == "":
		return ref, mapping, fmt.Sprintf("%s has no namespace: set it in %s", ref.id().Subject(), s.engine.profile.HealthChecksField)
	}
	return ref, mapping, ""
}

// locateReferences returns the references as the cluster knows them, as far as the owner may look at
// them, and why nobody can look at the others.
func (s *Set) locateReferences(ctx context.Context, refs []Reference) (found []Reference, problems []string) {
	located := make([]Reference, 0, len(refs))
	mappings := map[referenceGroup]*meta.RESTMapping{}
	for _, ref := range refs {
		ref, mapping, problem := s.locateReference(ref)
		if problem != "" {
			problems = append(problems, problem)
			continue
		}
		located = append(located, ref)
		mappings[ref.group()] = mapping
	}
	known, sizes, refused := s.grants, sizesOf(located), map[referenceGroup]int{}
	s.grants = map[Reference]grant{}
	for _, ref := range located {
		group := ref.group()
		if sizes[group] > maxWatchedAlone {
			all := Reference{GroupVersionKind: ref.GroupVersionKind, Namespace: ref.Namespace}
			if s.refusal(ctx, all, mappings[group], known) == "" {
				found = append(found, ref)
				continue
			}
		}
		if refused[group] == maxRefused {
			problems = append(problems, ref.id().Subject()+" may not be read either, as far as was asked")
			continue
		}
		if problem := s.refusal(ctx, ref, mappings[group], known); problem != "" {
			refused[group]++
			problems = append(problems, problem)
			continue
		}
		found = append(found, ref)
	}
	return found, problems
}

// refusal says why an identity may not read an object, or all of a kind in a namespace; "" when it may.
// What was known before need not be asked again.
func (s *Set) refusal(ctx context.Context, ref Reference, mapping *meta.RESTMapping, known map[Reference]grant) string {
	if s.identity == (Impersonation{}) || mapping == nil {
		return ""
	}
	now := s.engine.clock.Now()
	for _, grants := range []map[Reference]grant{s.grants, known} {
		if is, ok := grants[ref]; ok && now.Before(is.until) {
			s.grants[ref] = is
			return is.refusal
		}
	}
	made := grant{until: now.Add(grantTTL)}
	if err := s.mayRead(ctx, s.identity, ref, mapping); err != nil {
		made = grant{refusal: err.Error(), until: now.Add(refusalTTL)}
	}
	s.grants[ref] = made
	return made.refusal
}

// mayRead asks the API server, in the name of the identity, what it may do: everybody
// may ask that of himself.
func (s *Set) mayRead(ctx context.Context, as Impersonation, ref Reference, mapping *meta.RESTMapping) error {
	c, err := s.engine.clients.identity(as)
	if err != nil {
		return err
	}
	review := authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: "get", Namespace: ref.Namespace, Name: ref.Name,
			Group: ref.Group, Version: ref.Version, Resource: mapping.Resource.Resource,
		},
	}}
	review.APIVersion, review.Kind = authorizationv1.SchemeGroupVersion.String(), "SelfSubjectAccessReview"
	body, err := json.Marshal(&review)
	if err != nil {
		return err
	}
	data, err := c.rest.Post().AbsPath("apis", authorizationv1.GroupName, "v1", "selfsubjectaccessreviews").Body(body).Do(ctx).Raw()
	if err != nil {
		return fmt.Errorf("asking whether %s may get %s: %w", as.user(), ref.id().Subject(), err)
	}
	if err := json.Unmarshal(data, &review); err != nil {
		return fmt.Errorf("asking whether %s may get %s: %w", as.user(), ref.id().Subject(), err)
	}
	if !review.Status.Allowed {
		if missing := s.engine.missing(ctx, as); missing != nil {
			return missing
		}
		return fmt.Errorf("%s may not get %s: let a role say so, or leave it out of %s",
			as.user(), ref.id().Subject(), s.engine.profile.HealthChecksField)
	}
	return nil
}
