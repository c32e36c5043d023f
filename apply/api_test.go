package apply

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/sluice-cd/sluice/apply/watch"
)

// api is as much of an API server as an engine without informers needs: objects by
// path, resource versions, preconditions, dry runs. A hook sees each request before
// it is answered, may change the objects, and may answer with an error instead.
type api struct {
	t       *testing.T
	mu      sync.Mutex
	objects map[string]*unstructured.Unstructured
	version int
	hook    func(method, path, dryRun string, body *unstructured.Unstructured) error
	calls   []string
}

// kinds are those that the API server of a test knows.
var kinds = map[schema.GroupVersionKind]meta.RESTScope{
	{Version: "v1", Kind: "ConfigMap"}:                      meta.RESTScopeNamespace,
	{Version: "v1", Kind: "Service"}:                        meta.RESTScopeNamespace,
	{Version: "v1", Kind: "Namespace"}:                      meta.RESTScopeRoot,
	{Group: "example.com", Version: "v1", Kind: "Database"}: meta.RESTScopeNamespace,
}

func newAPI(t *testing.T) (*api, *Engine) {
	t.Helper()
	a := &api{t: t, objects: map[string]*unstructured.Unstructured{}, version: 1}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	mapper := meta.NewDefaultRESTMapper(nil)
	for gvk, scope := range kinds {
		mapper.Add(gvk, scope)
	}
	config := &rest.Config{Host: server.URL}
	watches, err := watch.New(config, mapper, logr.Discard(), func(Owner) {})
	if err != nil {
		t.Fatal(err)
	}
	return a, NewEngine(NewClients(config, mapper), watches)
}

// put stores an object as if somebody had written it.
func (a *api) put(path string, u *unstructured.Unstructured) *unstructured.Unstructured {
	a.version++
	u.SetResourceVersion(fmt.Sprint(a.version))
	if u.GetUID() == "" {
		u.SetUID("uid")
	}
	a.objects[path] = u
	return u
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	data, _ := io.ReadAll(r.Body)
	body := &unstructured.Unstructured{}
	_ = json.Unmarshal(data, &body.Object)
	dry := r.URL.Query().Get("dryRun")
	call := r.Method + " " + r.URL.Path
	if dry != "" {
		call += " dry run"
	}
	if who := r.Header.Get("Impersonate-User"); who != "" {
		call += " as " + who
	}
	a.calls = append(a.calls, call)
	if a.hook != nil {
		if err := a.hook(r.Method, r.URL.Path, dry, body); err != nil {
			a.refuse(w, err)
			return
		}
	}
	a.answer(w, r, body, dry)
}

func (a *api) answer(w http.ResponseWriter, r *http.Request, body *unstructured.Unstructured, dry string) {
	path := r.URL.Path
	was := a.objects[path]
	missing := apierrors.NewNotFound(schema.GroupResource{Resource: "things"}, path[strings.LastIndex(path, "/")+1:])
	switch r.Method {
	case http.MethodGet:
		if was == nil {
			a.refuse(w, missing)
			return
		}
		a.write(w, http.StatusOK, was)
	case http.MethodPost:
		if a.objects[path+"/"+body.GetName()] != nil {
			a.refuse(w, apierrors.NewAlreadyExists(schema.GroupResource{Resource: "things"}, body.GetName()))
			return
		}
		a.write(w, http.StatusCreated, body)
	case http.MethodDelete:
		a.remove(w, path, was, body, missing)
	case http.MethodPatch:
		code := http.StatusOK
		if was == nil {
			code = http.StatusCreated
		}
		if dry == "" && body.Object != nil && (was == nil || !same(was, body)) {
			was = a.put(path, body)
		}
		if dry == "" {
			body = was
		}
		a.write(w, code, body)
	}
}

// same reports whether an apply changes nothing.
func same(was, body *unstructured.Unstructured) bool {
	return equality.Semantic.DeepEqual(was.Object["data"], body.Object["data"]) && equality.Semantic.DeepEqual(was.GetLabels(), body.GetLabels())
}

func (a *api) remove(w http.ResponseWriter, path string, was, options *unstructured.Unstructured, missing error) {
	if was == nil {
		a.refuse(w, missing)
		return
	}
	version, found, _ := unstructured.NestedString(options.Object, "preconditions", "resourceVersion")
	if found && version != was.GetResourceVersion() {
		a.refuse(w, apierrors.NewConflict(schema.GroupResource{Resource: "things"}, was.GetName(), fmt.Errorf("the version is another one")))
		return
	}
	delete(a.objects, path)
	a.write(w, http.StatusOK, &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Status", "status": "Success"}})
}

func (a *api) refuse(w http.ResponseWriter, err error) {
	status := apierrors.APIStatus(nil)
	if s, ok := err.(apierrors.APIStatus); ok {
		status = s
	}
	answer := status.Status()
	answer.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(answer.Code))
	_ = json.NewEncoder(w).Encode(answer)
}

func (a *api) write(w http.ResponseWriter, code int, u *unstructured.Unstructured) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(u.Object)
}

// labelled is an object as its owner applied it.
func labelled(u *unstructured.Unstructured, owner Owner) *unstructured.Unstructured {
	u.SetNamespace("ns")
	u.SetLabels(ownerLabels(owner))
	return u
}
