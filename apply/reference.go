// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
)

// Informers see everything that the controller may see, and the health of an object goes
// into the owner's status. So an object that the owner did not apply is looked at only if
// the owner's identity may read it. The answer of the API server to that is cached for a
// while.
const (
	grantTTL   = 5 * time.Minute
	refusalTTL = 15 * time.Second
)

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

// refusal says why an identity may not read an object; "" when it may.
func (s *Set) refusal(ctx context.Context, ref Reference, mapping *meta.RESTMapping) string {
	if s.identity == (Impersonation{}) || mapping == nil {
		return ""
	}
	now := s.engine.clock.Now()
	if known, ok := s.grants[ref]; ok && now.Before(known.until) {
		return known.refusal
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

// readable returns those of the references that the owner may look at.
func (s *Set) readable(ctx context.Context, refs []Reference) []Reference {
	var found []Reference
	for _, ref := range refs {
		ref, mapping, problem := s.locateReference(ref)
		if problem == "" && s.refusal(ctx, ref, mapping) == "" {
			found = append(found, ref)
		}
	}
	return found
}
