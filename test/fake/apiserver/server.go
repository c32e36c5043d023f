// SPDX-License-Identifier: Apache-2.0

// Package apiserver is as much of a Kubernetes API server as a client of applied
// objects needs, in memory and within a test's process: objects by path, resource
// versions, server-side apply with managed fields, preconditions of deletions, dry
// runs, lists and watches.
//
// It does not merge: an apply replaces everything but the status and the fields of
// other managers' entries. What depends on the API server's real semantics is tested
// against the playground.
package apiserver

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
)

// Hook sees each request before it is answered, may change the objects by
// [Server.Store] and [Server.Remove], and may answer with an error instead.
type Hook func(Request) error

// Request is what a hook sees of a request.
type Request struct {
	Method, Path, DryRun string
	// Body is the decoded body; its Object is nil for a JSON patch.
	Body *unstructured.Unstructured
}

// Server is a fake API server. Its fields, but ForbidsLists, are set before the first request.
type Server struct {
	// Hook is asked about each request; nil lets all through.
	Hook Hook
	// Warn returns the warnings that go with the answer to a request; nil is none.
	Warn func(Request) []string
	// ForbidsLists answers lists and watches with 403, as to an identity that may
	// only read single objects.
	ForbidsLists atomic.Bool

	url    string
	mapper *meta.DefaultRESTMapper

	mu       sync.Mutex
	objects  map[string]*unstructured.Unstructured
	version  int
	calls    []string
	watchers map[*watcher]bool
	deleted  []deletion // for watches of a list that was made before
}

// deletion is an object that is gone, as it was last, with the version of its deletion.
type deletion struct {
	path string
	last *unstructured.Unstructured
}

// kinds are those that the server knows from the start.
var kinds = map[schema.GroupVersionKind]meta.RESTScope{
	{Version: "v1", Kind: "ConfigMap"}:                                               meta.RESTScopeNamespace,
	{Version: "v1", Kind: "Secret"}:                                                  meta.RESTScopeNamespace,
	{Version: "v1", Kind: "Service"}:                                                 meta.RESTScopeNamespace,
	{Version: "v1", Kind: "Namespace"}:                                               meta.RESTScopeRoot,
	{Group: "apps", Version: "v1", Kind: "Deployment"}:                               meta.RESTScopeNamespace,
	{Group: "batch", Version: "v1", Kind: "Job"}:                                     meta.RESTScopeNamespace,
	{Group: "example.com", Version: "v1", Kind: "Database"}:                          meta.RESTScopeNamespace,
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}: meta.RESTScopeRoot,
}

// New returns a server that runs until the test is over.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		mapper: meta.NewDefaultRESTMapper(nil), version: 1,
		objects: map[string]*unstructured.Unstructured{}, watchers: map[*watcher]bool{},
	}
	for gvk, scope := range kinds {
		s.mapper.Add(gvk, scope)
	}
	server := httptest.NewServer(s)
	s.url = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// Config is how clients reach the server.
func (s *Server) Config() *rest.Config { return &rest.Config{Host: s.url} }

// Mapper knows the kinds that the server has.
func (s *Server) Mapper() meta.RESTMapper { return s.mapper }

// Put stores an object as if somebody had written it. It must not be called from a
// hook, which has [Server.Store].
func (s *Server) Put(path string, u *unstructured.Unstructured) *unstructured.Unstructured {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Store(path, u)
}

// Store is [Server.Put] for hooks.
func (s *Server) Store(path string, u *unstructured.Unstructured) *unstructured.Unstructured {
	s.version++
	u.SetResourceVersion(fmt.Sprint(s.version))
	if u.GetUID() == "" {
		u.SetUID("uid")
	}
	kind := "MODIFIED"
	if s.objects[path] == nil {
		kind = "ADDED"
	}
	s.objects[path] = u
	s.publish(kind, path, u)
	return u
}

// Delete deletes an object as if somebody had deleted it.
func (s *Server) Delete(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Remove(path)
}

// Remove is [Server.Delete] for hooks.
func (s *Server) Remove(path string) {
	u := s.objects[path]
	if u == nil {
		return
	}
	s.version++
	delete(s.objects, path)
	last := u.DeepCopy()
	last.SetResourceVersion(fmt.Sprint(s.version))
	s.deleted = append(s.deleted, deletion{path, last})
	s.publish("DELETED", path, last)
}

// Get returns the object at a path, nil if there is none.
func (s *Server) Get(path string) *unstructured.Unstructured {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Peek(path)
}

// Peek is [Server.Get] for hooks.
func (s *Server) Peek(path string) *unstructured.Unstructured {
	if s.objects[path] == nil {
		return nil
	}
	return s.objects[path].DeepCopy()
}

// Calls returns the requests for single objects since the last call, in order.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if collection, ok := collectionOf(r.URL.Path); ok && r.Method == http.MethodGet {
		s.serveCollection(w, r, collection)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	data, _ := io.ReadAll(r.Body)
	body := &unstructured.Unstructured{}
	_ = json.Unmarshal(data, &body.Object)
	dry := r.URL.Query().Get("dryRun")
	s.calls = append(s.calls, callOf(r, dry))
	seen := Request{Method: r.Method, Path: r.URL.Path, DryRun: dry, Body: body}
	if s.Warn != nil {
		for _, text := range s.Warn(seen) {
			header, _ := net.NewWarningHeader(299, "-", text)
			w.Header().Add("Warning", header)
		}
	}
	if s.Hook != nil {
		if err := s.Hook(seen); err != nil {
			refuse(w, err)
			return
		}
	}
	s.answer(w, r, body)
}

func callOf(r *http.Request, dry string) string {
	call := r.Method + " " + r.URL.Path
	if dry != "" {
		call += " dry run"
	}
	if who := r.Header.Get("Impersonate-User"); who != "" {
		call += " as " + who
	}
	return call
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, body *unstructured.Unstructured) {
	path := r.URL.Path
	was := s.objects[path]
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, path[strings.LastIndex(path, "/")+1:])
	switch {
	case r.Method == http.MethodPost && s.objects[path+"/"+body.GetName()] != nil:
		refuse(w, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "things"}, body.GetName()))
	case r.Method == http.MethodPost:
		write(w, http.StatusCreated, body)
	case r.Method == http.MethodPatch:
		s.patch(w, r, was, body)
	case was == nil:
		refuse(w, missing)
	case r.Method == http.MethodGet:
		write(w, http.StatusOK, was)
	case r.Method == http.MethodDelete:
		s.delete(w, path, was, body)
	}
}

// patch answers a server-side apply, and a JSON patch, which changes nothing.
func (s *Server) patch(w http.ResponseWriter, r *http.Request, was, body *unstructured.Unstructured) {
	code := http.StatusOK
	if was == nil {
		code = http.StatusCreated
	}
	if r.URL.Query().Get("dryRun") != "" {
		write(w, code, body)
		return
	}
	if body.Object != nil && (was == nil || !appliedAlready(was, body)) {
		was = s.Store(r.URL.Path, s.merged(was, body, r.URL.Query().Get("fieldManager")))
	}
	write(w, code, was)
}

// appliedAlready reports whether an apply changes nothing.
func appliedAlready(was, body *unstructured.Unstructured) bool {
	for _, field := range []string{"data", "spec"} {
		if !equality.Semantic.DeepEqual(was.Object[field], body.Object[field]) {
			return false
		}
	}
	return equality.Semantic.DeepEqual(was.GetLabels(), body.GetLabels()) &&
		equality.Semantic.DeepEqual(was.GetAnnotations(), body.GetAnnotations())
}

// merged is the object that an apply leaves: what was sent, the status as it was, and
// who owns which fields.
func (s *Server) merged(was, body *unstructured.Unstructured, manager string) *unstructured.Unstructured {
	next := body.DeepCopy()
	entries := body.GetManagedFields()
	if was != nil {
		next.SetUID(was.GetUID())
		next.SetDeletionTimestamp(was.GetDeletionTimestamp())
		next.SetFinalizers(was.GetFinalizers())
		if status, ok := was.Object["status"]; ok && next.Object["status"] == nil {
			next.Object["status"] = status
		}
	}
	fields, _ := json.Marshal(fieldsOf(body.Object))
	now := metav1.Unix(int64(1_000_000+s.version), 0)
	entries = append(slices.Clone(entries), metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: body.GetAPIVersion(),
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(fields)), Time: &now,
	})
	next.SetManagedFields(entries)
	return next
}

// fieldsOf is the set of an object's fields, without those that nobody can own.
func fieldsOf(object map[string]any) map[string]any {
	set := map[string]any{}
	for key, value := range object {
		if key == "apiVersion" || key == "kind" || key == "name" || key == "namespace" || key == "managedFields" {
			continue
		}
		if inner, ok := value.(map[string]any); ok {
			set["f:"+key] = fieldsOf(inner)
		} else {
			set["f:"+key] = map[string]any{}
		}
	}
	return set
}

// delete removes an object, or marks it when finalizers hold it.
func (s *Server) delete(w http.ResponseWriter, path string, was, options *unstructured.Unstructured) {
	version, found, _ := unstructured.NestedString(options.Object, "preconditions", "resourceVersion")
	if found && version != was.GetResourceVersion() {
		refuse(w, apierrors.NewConflict(schema.GroupResource{Resource: "things"}, was.GetName(), fmt.Errorf("the version is another one")))
		return
	}
	if len(was.GetFinalizers()) > 0 {
		held := was.DeepCopy()
		now := metav1.Now()
		held.SetDeletionTimestamp(&now)
		write(w, http.StatusOK, s.Store(path, held))
		return
	}
	s.Remove(path)
	write(w, http.StatusOK, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Success"}})
}

func refuse(w http.ResponseWriter, err error) {
	status, ok := err.(apierrors.APIStatus) // hooks return them as they are
	if !ok {
		status = apierrors.NewInternalError(err)
	}
	answer := status.Status()
	answer.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(answer.Code))
	_ = json.NewEncoder(w).Encode(answer)
}

func write(w http.ResponseWriter, code int, u *unstructured.Unstructured) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(u.Object)
}
