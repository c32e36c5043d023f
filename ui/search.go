// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/internal/background"
	"github.com/sluice-cd/sluice/report"
)

// Bounds of a search: how many objects it names, how long its words may be together, and how many searches are made at one time, as
// each goes through all names of all kinds.
const (
	maxFound    = 50
	maxWords    = 200
	maxSearches = 4
)

// search names the objects in whose kind, namespace or name every word of the query occurs, as far as the user may list them. One search
// of a user is made at a time, and what the user may list is asked for before: nobody has all searches wait for the API server.
func search() http.Handler {
	slots := background.NewSlots[string](maxSearches, 1)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := r.URL.Query().Get("q")
		if len(text) > maxWords {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("q: more than %d bytes are no name", maxWords))
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		v := viewOf(r)
		of, err := v.scope(ctx)
		if err != nil {
			refuse(w, codeOf(err), err.Error())
			return
		}
		if slots.Acquire(ctx, v.user) != nil {
			refuse(w, http.StatusTooManyRequests, "too many searches are under way: try again in a moment")
			return
		}
		defer slots.Release(v.user)
		found, err := v.within(of).find(ctx, strings.Fields(strings.ToLower(text)))
		if err != nil {
			refuse(w, codeOf(err), err.Error())
			return
		}
		answer(w, http.StatusOK, found)
	})
}

// find names the objects in which all of some words occur; without words there are none.
func (v *view) find(ctx context.Context, words []string) (FoundObjects, error) {
	found := FoundObjects{Items: []report.ObjectReference{}}
	if len(words) == 0 {
		return found, nil
	}
	for _, kind := range v.cached() {
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		objects, err := v.listOf(kind)
		if err != nil {
			return found, err
		}
		if err := v.list(ctx, objects); err != nil {
			return found, err
		}
		err = meta.EachListItem(objects, func(o runtime.Object) error {
			if is, ok := o.(client.Object); ok && isNamed(kind.Kind+" "+is.GetNamespace()+"/"+is.GetName(), words) {
				found.Items = append(found.Items, report.ObjectReference{Kind: kind.Kind, Namespace: is.GetNamespace(), Name: is.GetName()})
			}
			return nil
		})
		if err != nil {
			return found, err
		}
	}
	// Those whose own name begins with a word come first.
	rank := func(o report.ObjectReference) int {
		if slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(o.Name, word) }) {
			return 0
		}
		return 1
	}
	slices.SortFunc(found.Items, func(a, b report.ObjectReference) int {
		return cmp.Or(rank(a)-rank(b),
			strings.Compare(a.Name, b.Name), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind))
	})
	if found.More = len(found.Items) - maxFound; found.More > 0 {
		found.Items = found.Items[:maxFound]
	}
	found.More = max(0, found.More)
	return found, nil
}

// isNamed reports whether all words occur in a name.
func isNamed(name string, words []string) bool {
	name = strings.ToLower(name)
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(name, word) })
}
