// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/apply/inventory"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/git/access"
	"github.com/sluice-cd/sluice/internal/mask"
	"github.com/sluice-cd/sluice/report"
)

// session says who looks at what.
func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	v := viewOf(r)
	of, err := v.scope(r.Context())
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	kinds, missing, namespace := []string{}, v.missingKinds(), ""
	for _, kind := range v.cached() {
		if of.allowsAny(kind.Kind) {
			kinds = append(kinds, kind.Kind)
			if of.allows(kind.Kind, v.namespace) {
				namespace = v.namespace
			}
		} else {
			missing = append(missing, Missing{kind.Kind, fmt.Sprintf("%s may not list %s in any namespace that has some",
				v.user, kind.resource.GroupResource())})
		}
	}
	answer(w, http.StatusOK, Session{
		Version: s.Version, User: v.user, Cluster: v.name(), Namespace: namespace, ReadOnly: v.readOnly,
		CanSignOut: s.authenticator.canSignOut(), Kinds: kinds, Reconciled: reconciled, Missing: missing,
	})
}

func (s *Server) lanes(w http.ResponseWriter, r *http.Request) {
	lanes, err := s.visibleLanes(r)
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	list := report.List[any]{Items: []any{}}
	for _, lane := range lanes {
		list.Items = append(list.Items, lane.json)
	}
	answer(w, http.StatusOK, list)
}

// visibleLanes returns the lanes that the user may see.
func (s *Server) visibleLanes(r *http.Request) ([]encoded, error) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	reader, err := s.boards.join(ctx, viewOf(r))
	if err != nil {
		return nil, err
	}
	defer reader.leave()
	return reader.known(ctx)
}

// requestTimeout bounds what is asked of the API server for one request.
const requestTimeout = 10 * time.Second

// detail answers with what is known of the object that the path names.
func (s *Server) detail(of func(context.Context, *view, client.ObjectKey, *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		found, err := of(ctx, viewOf(r), client.ObjectKey{Namespace: namespaceOf(r), Name: r.PathValue("name")}, r)
		if err != nil {
			refuse(w, codeOf(err), err.Error())
		} else {
			answer(w, http.StatusOK, found)
		}
	})
}

// namespaceOf is the namespace of a path, which writes - for the objects of the cluster.
func namespaceOf(r *http.Request) string {
	if namespace := r.PathValue("namespace"); namespace != "-" {
		return namespace
	}
	return ""
}

func (*Server) canary(ctx context.Context, v *view, key client.ObjectKey, _ *http.Request) (any, error) {
	var c flaggerv1.Canary
	events, problem, err := v.read(ctx, key, &c)
	if err != nil {
		return nil, err
	}
	found := CanaryDetail{CanaryDescription: report.DescribeCanary(&c, events), EventsProblem: problem}
	found.Pods, found.PodsProblem = v.podsOf(ctx, &c)
	return found, nil
}

func (*Server) pipeline(ctx context.Context, v *view, key client.ObjectKey, _ *http.Request) (any, error) {
	var p sluicev1.Pipeline
	events, problem, err := v.read(ctx, key, &p)
	return PipelineDetail{report.DescribePipeline(&p, events), problem}, err
}

func (*Server) automation(ctx context.Context, v *view, key client.ObjectKey, _ *http.Request) (any, error) {
	var a imagev1.ImageUpdateAutomation
	if err := v.client.Get(ctx, key, &a); err != nil {
		return nil, err
	}
	found := AutomationDetail{Automation: report.OfAutomation(&a)}
	var of sourcev1.GitRepository
	if v.client.Get(ctx, access.KeyOf(a.Namespace, a.Spec.SourceRef), &of) == nil { // who may not read it sees no link
		found.CommitURL = git.CommitURL(of.Spec.URL, of.Spec.Provider, found.Commit)
	}
	return found, nil
}

// read reads an object and its events, and says why these are not known, as to who may not list them.
func (v *view) read(ctx context.Context, key client.ObjectKey, into client.Object) (events []report.Event, problem string, err error) {
	if err := v.client.Get(ctx, key, into); err != nil {
		return nil, "", err
	}
	events, err = v.eventsOf(ctx, into)
	if err != nil {
		return nil, err.Error(), nil
	}
	return events, "", nil
}

// maxEvents bounds the events of an object that are shown.
const maxEvents = 500

func (v *view) eventsOf(ctx context.Context, of client.Object) ([]report.Event, error) {
	return v.newestEvents(ctx, of.GetNamespace(), fields.Set{"involvedObject.uid": string(of.GetUID())})
}

// unknownKindError is about a kind that is not shown.
type unknownKindError struct{ kind string }

func (e *unknownKindError) Error() string {
	return fmt.Sprintf("kind %q is not shown: it is none of ours, the cluster does not serve it, or you may not list it", e.kind)
}

func (*Server) object(ctx context.Context, v *view, key client.ObjectKey, r *http.Request) (any, error) {
	kind, ok := v.kindOf(r.PathValue("kind"))
	if !ok {
		return nil, &unknownKindError{r.PathValue("kind")}
	}
	var object unstructured.Unstructured
	object.SetGroupVersionKind(kind.GroupVersionKind)
	events, problem, err := v.read(ctx, key, &object)
	if err != nil {
		return nil, err
	}
	object.SetManagedFields(nil)
	repairs := []report.Repair{}
	if kind.Kind == kustomizev1.KustomizationKind {
		repairs = report.Repairs(events)
	}
	text, err := yamlOf(&object)
	return ObjectDetail{
		ObjectReference: report.ObjectReference{Kind: kind.Kind, Namespace: key.Namespace, Name: key.Name},
		Suspended:       report.IsSuspended(&object), Conditions: conditionsOf(&object),
		Events: append([]report.Event{}, events...), EventsProblem: problem,
		Inventory: inventoryOf(&object), Dependencies: v.dependenciesOf(ctx, kind, &object), Repairs: repairs, YAML: text,
	}, err
}

// yamlOf is an object in YAML, without credentials, which the page's readers show to others.
func yamlOf(object *unstructured.Unstructured) (string, error) {
	shown := object.DeepCopy()
	mask.Object(shown)
	text, err := yaml.Marshal(shown.Object)
	return strings.Join(mask.File("", strings.Split(string(text), "\n")), "\n"), err
}

// maxDependencies are read of an object.
const maxDependencies = 50

// dependenciesOf reads what an object depends on. What the user may not read, or is not there, is Unknown, and says so.
func (v *view) dependenciesOf(ctx context.Context, kind served, object *unstructured.Unstructured) []ObjectLine {
	found := []ObjectLine{}
	entries, _, _ := unstructured.NestedSlice(object.Object, "spec", "dependsOn")
	for _, e := range entries[:min(len(entries), maxDependencies)] {
		fields, _ := e.(map[string]any)
		name, _ := fields["name"].(string)
		namespace, _ := fields["namespace"].(string)
		var on unstructured.Unstructured
		on.SetGroupVersionKind(kind.GroupVersionKind)
		key := client.ObjectKey{Namespace: cmp.Or(namespace, object.GetNamespace()), Name: name}
		line := ObjectLine{ObjectReference: report.ObjectReference{Kind: kind.Kind, Namespace: key.Namespace, Name: key.Name}, Ready: "Unknown"}
		if err := v.client.Get(ctx, key, &on); err != nil {
			line.Message = err.Error()
		} else {
			line = lineOf(kind.Kind, &on)
		}
		found = append(found, line)
	}
	return found
}

func conditionsOf(object *unstructured.Unstructured) []report.Condition {
	found := []report.Condition{}
	conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
	for _, c := range conditions {
		fields, _ := c.(map[string]any)
		text := func(field string) string { value, _ := fields[field].(string); return value }
		since, _ := time.Parse(time.RFC3339, text("lastTransitionTime"))
		found = append(found, report.Condition{
			Type: text("type"), Status: text("status"), Reason: text("reason"), Message: text("message"), Since: since,
		})
	}
	return found
}

// inventoryOf reads the entries of an inventory. What upstream would not read either is left out.
func inventoryOf(object *unstructured.Unstructured) []report.ObjectReference {
	found := []report.ObjectReference{}
	entries, _, _ := unstructured.NestedSlice(object.Object, "status", "inventory", "entries")
	for _, e := range entries {
		fields, _ := e.(map[string]any)
		text, _ := fields["id"].(string)
		if id, err := inventory.Parse(text); err == nil {
			found = append(found, report.ObjectReference{Kind: id.Kind, Namespace: id.Namespace, Name: id.Name})
		}
	}
	return found
}

// objects lists the objects of a kind from the cache.
func (*Server) objects(w http.ResponseWriter, r *http.Request) {
	v := viewOf(r)
	kind, ok := v.kindOf(r.URL.Query().Get("kind"))
	if !ok {
		refuse(w, http.StatusNotFound, (&unknownKindError{r.URL.Query().Get("kind")}).Error())
		return
	}
	objects, err := v.listOf(kind)
	if err == nil {
		err = v.list(r.Context(), objects)
	}
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	rows, err := rowsOf(kind.GroupVersionKind, objects)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, http.StatusOK, report.List[ObjectLine]{Items: rows})
}

// rowsOf are the lines of a list.
func rowsOf(kind schema.GroupVersionKind, list client.ObjectList) ([]ObjectLine, error) {
	rows := []ObjectLine{}
	err := meta.EachListItem(list, func(o runtime.Object) error {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return err
		}
		object := &unstructured.Unstructured{Object: content}
		object.SetGroupVersionKind(kind) // a cache keeps it of no object
		rows = append(rows, lineOf(kind.Kind, object))
		return nil
	})
	slices.SortFunc(rows, func(a, b ObjectLine) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return rows, err
}

// lineOf reads what all kinds have in common.
func lineOf(kind string, object *unstructured.Unstructured) ObjectLine {
	found := ObjectLine{Ready: "Unknown", ObjectReference: report.ObjectReference{
		Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(),
	}}
	for _, c := range conditionsOf(object) {
		if c.Type == "Ready" || c.Type == "Available" && found.Since == nil {
			found.Ready, found.Message, found.Since = c.Status, c.Message, &c.Since
		}
	}
	found.Suspended = report.IsSuspended(object)
	for _, path := range [][]string{{"status", "artifact", "revision"}, {"status", "lastAppliedRevision"}, {"status", "lastPushCommit"}} {
		if revision, _, _ := unstructured.NestedString(object.Object, path...); revision != "" {
			found.Revision = revision
		}
	}
	return found
}

// timeline is everything that happened to the objects of a lane.
func (s *Server) timeline(w http.ResponseWriter, r *http.Request) {
	lanes, err := s.visibleLanes(r)
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	key := r.URL.Query().Get("key")
	at := slices.IndexFunc(lanes, func(l encoded) bool { return l.key == key })
	if at < 0 {
		refuse(w, http.StatusNotFound, fmt.Sprintf("there is no lane %q", key))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	found, err := viewOf(r).happened(ctx, lanes[at].objects)
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	answer(w, http.StatusOK, found)
}

// happened lists the events of some objects, as far as the user may.
func (v *view) happened(ctx context.Context, to []report.ObjectReference) (Timeline, error) {
	found := Timeline{Items: []report.TimelineEvent{}}
	for _, object := range to {
		events, err := v.newestEvents(ctx, object.Namespace, fields.Set{
			"involvedObject.kind": object.Kind, "involvedObject.name": object.Name,
		})
		switch {
		case apierrors.IsForbidden(err):
			found.EventsProblem = err.Error()
			continue
		case err != nil:
			return Timeline{}, err
		}
		for _, e := range events {
			found.Items = append(found.Items, report.TimelineEvent{Event: e, ObjectReference: object})
		}
	}
	v.addPods(ctx, to, &found)
	slices.SortStableFunc(found.Items, func(a, b report.TimelineEvent) int { return a.Time.Compare(b.Time) })
	return found, nil
}
