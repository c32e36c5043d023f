// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/background"
)

// scope is what a user may list: kinds in all namespaces, or in some.
type scope struct {
	everything bool
	kinds      map[string]reach
}

// reach is where a kind may be listed. Objects of the cluster are in namespace "".
type reach struct {
	all bool
	in  map[string]bool
}

func (s scope) allowsAll(kind string) bool { return s.everything || s.kinds[kind].all }

func (s scope) allows(kind, namespace string) bool {
	return s.allowsAll(kind) || s.kinds[kind].in[namespace]
}

// allowsAny reports whether a kind may be listed anywhere.
func (s scope) allowsAny(kind string) bool { return s.allowsAll(kind) || len(s.kinds[kind].in) > 0 }

// differences are the kinds that two scopes allow to list in different places.
func (s scope) differences(from scope) []string {
	kinds := maps.Clone(s.kinds)
	maps.Copy(kinds, from.kinds)
	var found []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		a, b := s.kinds[kind], from.kinds[kind]
		if s.allowsAll(kind) != from.allowsAll(kind) || !maps.Equal(a.in, b.in) {
			found = append(found, kind)
		}
	}
	return found
}

// key is the same for scopes that are the same.
func (s scope) key() string {
	if s.everything {
		return "*"
	}
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(s.kinds)) {
		of := s.kinds[kind]
		fmt.Fprintf(&b, "%s=%t", kind, of.all)
		for _, namespace := range slices.Sorted(maps.Keys(of.in)) {
			b.WriteString("," + namespace)
		}
		b.WriteByte(';')
	}
	return b.String()
}

// reviewing is how many questions about rights are asked side by side.
const reviewing = 8

// rightsReview finds out what a user may list.
type rightsReview struct{ *view }

// run asks the API server what the user may list: each kind in all namespaces first, and the rest by namespaces that
// have objects of any kind, with one question for each: of a kind of which a namespace has no object it is known that there is none.
//
// See https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
func (v rightsReview) run(ctx context.Context) (scope, error) {
	found := scope{kinds: map[string]reach{}}
	rest, err := v.allNamespaces(ctx, found)
	if err != nil {
		return scope{}, err
	}
	if len(rest) == 0 {
		return found, nil
	}
	return found, v.byNamespace(ctx, found, rest)
}

// allNamespaces adds the kinds that the user may list in all namespaces, and returns the others.
func (v rightsReview) allNamespaces(ctx context.Context, found scope) (rest []served, err error) {
	var mu sync.Mutex
	all, everywhere := errgroup.WithContext(ctx)
	all.SetLimit(reviewing)
	for _, kind := range v.cached() {
		all.Go(func() error {
			return background.Try(everywhere, func() error {
				allowed, err := v.mayList(everywhere, kind, "")
				mu.Lock()
				defer mu.Unlock()
				if allowed {
					found.kinds[kind.Kind] = reach{all: true}
				} else {
					rest = append(rest, kind)
				}
				return err
			})
		})
	}
	err = all.Wait()
	return rest, err
}

// byNamespace adds where the user may list some kinds, of the namespaces that have objects of any kind.
func (v rightsReview) byNamespace(ctx context.Context, found scope, kinds []served) error {
	namespaces, err := v.namespacesOf(ctx, v.cached())
	if err != nil {
		return err
	}
	var mu sync.Mutex
	each, within := errgroup.WithContext(ctx)
	each.SetLimit(reviewing)
	for _, namespace := range namespaces {
		each.Go(func() error {
			return background.Try(within, func() error {
				allowed, err := v.listable(within, kinds, namespace)
				mu.Lock()
				defer mu.Unlock()
				for _, kind := range allowed {
					if found.kinds[kind].in == nil {
						found.kinds[kind] = reach{in: map[string]bool{}}
					}
					found.kinds[kind].in[namespace] = true
				}
				return err
			})
		})
	}
	return each.Wait()
}

// namespacesOf are those that have objects of some kinds.
func (v rightsReview) namespacesOf(ctx context.Context, kinds []served) ([]string, error) {
	found := map[string]bool{}
	for _, kind := range kinds {
		objects, err := v.listOf(kind)
		if err != nil {
			return nil, err
		}
		if _, err := v.Cluster.list(ctx, objects); err != nil {
			return nil, err
		}
		err = meta.EachListItem(objects, func(o runtime.Object) error {
			if object, ok := o.(client.Object); ok && object.GetNamespace() != "" {
				found[object.GetNamespace()] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// listable are those of some kinds that the user may list in a namespace. Where authorizers cannot say all rules, each
// kind is asked for.
func (v rightsReview) listable(ctx context.Context, kinds []served, namespace string) ([]string, error) {
	rules := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	if err := v.client.Create(ctx, rules); err != nil {
		return nil, fmt.Errorf("asking what %s may list: %w", v.user, err) // which namespace, not everybody may know
	}
	var found []string
	for _, kind := range kinds {
		allowed := slices.ContainsFunc(rules.Status.ResourceRules, func(r authorizationv1.ResourceRule) bool { return lists(r, kind) })
		if !allowed && rules.Status.Incomplete {
			var err error
			if allowed, err = v.mayList(ctx, kind, namespace); err != nil {
				return nil, err
			}
		}
		if allowed {
			found = append(found, kind.Kind)
		}
	}
	return found, nil
}

// lists reports whether a rule allows to list all objects of a kind.
func lists(r authorizationv1.ResourceRule, kind served) bool {
	has := func(values []string, value string) bool {
		return slices.Contains(values, value) || slices.Contains(values, "*")
	}
	return len(r.ResourceNames) == 0 && has(r.Verbs, "list") && has(r.APIGroups, kind.Group) && has(r.Resources, kind.resource.Resource)
}

func (v *view) mayList(ctx context.Context, kind served, namespace string) (bool, error) {
	return v.may(ctx, authorizationv1.ResourceAttributes{
		Namespace: namespace, Verb: "list", Group: kind.Group, Version: kind.Version, Resource: kind.resource.Resource,
	})
}

// may asks the API server whether the user may do something.
func (v *view) may(ctx context.Context, what authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &what}}
	if err := v.client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking whether %s may %s %s: %w", v.user, what.Verb, what.Resource, err)
	}
	return review.Status.Allowed, nil
}
