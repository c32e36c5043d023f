// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// collection is a kind of objects, in one namespace or in all.
type collection struct{ group, namespace, resource string }

// parsePath takes the path of an object or a collection apart; name is "" for the latter.
func parsePath(path string) (in collection, name string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	skip := 2 // api/v1
	if parts[0] == "apis" {
		skip = 3 // apis/group/version
	}
	if len(parts) <= skip {
		return collection{}, ""
	}
	in.group = strings.Join(parts[:skip], "/")
	if parts = parts[skip:]; parts[0] == "namespaces" && len(parts) >= 3 {
		in.namespace, parts = parts[1], parts[2:]
	}
	in.resource = parts[0]
	if len(parts) > 1 {
		name = parts[1]
	}
	return in, name
}

func collectionOf(path string) (collection, bool) {
	in, name := parsePath(path)
	return in, name == "" && in.resource != ""
}

// has reports whether the object at a path belongs to the collection.
func (c collection) has(path string) bool {
	in, _ := parsePath(path)
	return in.group == c.group && in.resource == c.resource && (c.namespace == "" || in.namespace == c.namespace)
}

// watcher is one open watch, or a list.
type watcher struct {
	collection
	// partial asks for the metadata of objects alone.
	partial bool
	labels  labels.Selector
	fields  fields.Selector
	events  chan event
}

type event struct {
	Type   string         `json:"type"`
	Object map[string]any `json:"object"`
}

func (w *watcher) selects(path string, u *unstructured.Unstructured) bool {
	return w.has(path) && w.fields.Matches(fields.Set{"metadata.name": u.GetName(), "metadata.namespace": u.GetNamespace()}) &&
		w.labels.Matches(labels.Set(u.GetLabels()))
}

// shown is an object as the client asked for it.
func (w *watcher) shown(u *unstructured.Unstructured) map[string]any {
	if !w.partial {
		return u.DeepCopy().Object
	}
	return map[string]any{
		"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": u.DeepCopy().Object["metadata"],
	}
}

// publish tells watchers of an object. One whose selector the object left is told that
// it is gone, as by a real API server; that is a little more often than needed.
func (s *Server) publish(kind, path string, u *unstructured.Unstructured) {
	for w := range s.watchers {
		switch {
		case w.selects(path, u):
			w.events <- event{kind, w.shown(u)}
		case kind == "MODIFIED" && w.has(path):
			w.events <- event{"DELETED", w.shown(u)}
		}
	}
}

func (s *Server) serveCollection(w http.ResponseWriter, r *http.Request, in collection) {
	if s.ForbidsLists.Load() {
		refuse(w, apierrors.NewForbidden(schema.GroupResource{Resource: in.resource}, "", errors.New("lists are not allowed")))
		return
	}
	query := r.URL.Query()
	made := &watcher{collection: in, events: make(chan event, 1000)}
	made.partial = strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata")
	var err error
	if made.labels, err = labels.Parse(query.Get("labelSelector")); err == nil {
		made.fields, err = fields.ParseSelector(query.Get("fieldSelector"))
	}
	if err != nil {
		refuse(w, apierrors.NewBadRequest(err.Error()))
		return
	}
	if query.Get("watch") == "" {
		s.list(w, made)
		return
	}
	s.watch(w, r, made)
}

func (s *Server) list(w http.ResponseWriter, selected *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	apiVersion, kind := "v1", "List"
	if selected.partial {
		apiVersion, kind = "meta.k8s.io/v1", "PartialObjectMetadataList"
	}
	write(w, http.StatusOK, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "items": s.selected(selected),
		"metadata": map[string]any{"resourceVersion": fmt.Sprint(s.version)},
	}})
}

func (s *Server) selected(by *watcher) []any {
	items := []any{}
	for path, u := range s.objects {
		if by.selects(path, u) {
			items = append(items, by.shown(u))
		}
	}
	return items
}

// watch streams events. A client that lists by watching gets what is there first, and
// a bookmark at the end of it.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, made *watcher) {
	s.mu.Lock()
	first := []event{}
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		for _, item := range s.selected(made) {
			first = append(first, event{"ADDED", item.(map[string]any)}) // selected made it
		}
		first = append(first, event{"BOOKMARK", s.bookmark(made)})
	} else {
		first = append(first, s.since(made, r.URL.Query().Get("resourceVersion"))...)
	}
	s.watchers[made] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, made)
	}()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	encoder, flusher := json.NewEncoder(w), http.NewResponseController(w)
	for _, e := range first {
		_ = encoder.Encode(e)
	}
	_ = flusher.Flush()
	for {
		select {
		case e := <-made.events:
			if encoder.Encode(e) != nil || flusher.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

func (s *Server) bookmark(of *watcher) map[string]any {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Bookmark"}}
	u.SetResourceVersion(fmt.Sprint(s.version))
	u.SetAnnotations(map[string]string{"k8s.io/initial-events-end": "true"})
	return of.shown(u)
}

// since is what happened after a list: the objects that were written, and those that were
// deleted.
func (s *Server) since(by *watcher, version string) []event {
	after := versionOf(version)
	var events []event
	for _, item := range s.selected(by) {
		events = append(events, event{"ADDED", item.(map[string]any)}) // selected made it
	}
	for _, d := range s.deleted {
		if by.selects(d.path, d.last) {
			events = append(events, event{"DELETED", by.shown(d.last)})
		}
	}
	events = slices.DeleteFunc(events, func(e event) bool { return e.version() <= after })
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.version(), b.version()) })
	return events
}

// version is that of the object.
func (e event) version() int {
	u := &unstructured.Unstructured{Object: e.Object}
	return versionOf(u.GetResourceVersion())
}

// versionOf is a resource version as a number, 0 if it is none.
func versionOf(text string) int {
	n, _ := strconv.Atoi(text) // a list without a version starts before all
	return n
}
