// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// labelOf says on everything that is applied by which Kustomization it is.
const labelOf = "kustomize.toolkit.fluxcd.io/"

// written is what the fields of a manager have who wrote more than an annotation.
var written = regexp.MustCompile(`"f:(spec|finalizers|labels|ownerReferences)"`)

// state is all that must not change by itself.
type state struct {
	// Applied is what was applied, and the pods that come of it.
	Applied map[string]*object
	// Owners are the objects that say what to apply, and Statuses what they say of it.
	Owners, Statuses map[string]string
}

// object is an object that was applied.
type object struct {
	UID string
	// Content is all of it but who manages its fields, and what others say of it: the status.
	Content string
	// Managers are those of its fields, and Fields says who manages which since when.
	Managers []string
	Fields   string
	// ResourceVersion is that of an object without a status: it changes with each write.
	ResourceVersion string
	// App is the Kustomization that applies it, and Version what its manifest says.
	App, Version string
}

// look looks at everything.
func (i *installation) look(t *testing.T) state {
	t.Helper()
	s := state{Applied: map[string]*object{}, Owners: map[string]string{}, Statuses: map[string]string{}}
	for _, owner := range i.owners.objects() {
		i.lookAtOwner(t, owner, s)
	}
	for _, found := range i.list(t.Context(), t, i.kinds()) {
		s.Applied[found.GetKind()+"/"+found.GetName()] = newObject(t, found)
	}
	pods := &corev1.PodList{}
	if err := i.Client.List(t.Context(), pods, client.InNamespace(i.namespace)); err != nil {
		t.Fatal(err)
	}
	for n := range pods.Items {
		pod := &pods.Items[n]
		restarts := 0
		for _, container := range pod.Status.ContainerStatuses {
			restarts += int(container.RestartCount)
		}
		app := cmp.Or(pod.Labels["app"], pod.Labels["batch.kubernetes.io/job-name"])
		s.Applied["Pod/"+pod.Name] = &object{UID: string(pod.UID), Content: fmt.Sprintf("%d restarts", restarts), App: app}
	}
	return s
}

// lookAtOwner adds what is said by an object that says what to apply.
func (i *installation) lookAtOwner(t *testing.T, owner *unstructured.Unstructured, s state) {
	annotations := owner.GetAnnotations()
	if delete(annotations, meta.ReconcileRequestAnnotation); len(annotations) == 0 {
		annotations = nil
	}
	// Who asks for a reconcile, as the test and a Receiver do, writes an annotation.
	asked := owner.DeepCopy()
	asked.SetManagedFields(slices.DeleteFunc(asked.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
		return !written.Match(e.FieldsV1.GetRawBytes())
	}))
	managers, _ := managersOf(t, asked)
	id := owner.GetKind() + "/" + owner.GetName()
	s.Owners[id] = encode(t, map[string]any{
		"uid": owner.GetUID(), "generation": owner.GetGeneration(), "spec": owner.Object["spec"], "labels": owner.GetLabels(),
		"annotations": annotations, "finalizers": owner.GetFinalizers(), "managers": managers,
	})
	status := map[string]any{}
	for _, field := range []string{"lastAppliedRevision", "lastAttemptedRevision", "webhookPath", "inventory", "observedGeneration"} {
		status[field], _, _ = unstructured.NestedFieldCopy(owner.Object, "status", field)
	}
	status["revision"], _, _ = unstructured.NestedString(owner.Object, "status", "artifact", "revision")
	s.Statuses[id] = encode(t, status)
}

func newObject(t *testing.T, found unstructured.Unstructured) *object {
	o := &object{UID: string(found.GetUID()), App: found.GetLabels()[labelOf+"name"], Version: versionOf(found)}
	if found.Object["status"] == nil {
		o.ResourceVersion = found.GetResourceVersion()
	}
	o.Managers, o.Fields = managersOf(t, &found)
	found.SetManagedFields(nil)
	found.SetResourceVersion("")
	delete(found.Object, "status")
	o.Content = encode(t, found.Object)
	return o
}

// versionOf is the version that an object's manifest had when it was pushed, "" if it names none.
func versionOf(o unstructured.Unstructured) string {
	inData, _, _ := unstructured.NestedString(o.Object, "data", "version")
	if o.GetKind() == "Secret" {
		plain, _ := base64.StdEncoding.DecodeString(inData)
		inData = string(plain)
	}
	inPods, _, _ := unstructured.NestedString(o.Object, "spec", "template", "metadata", "annotations", "version")
	return cmp.Or(inData, inPods, o.GetAnnotations()["version"])
}

// managersOf are the managers of an object's fields, but for those of its status, and their fields.
func managersOf(t *testing.T, o *unstructured.Unstructured) (names []string, fields string) {
	entries := slices.DeleteFunc(slices.Clone(o.GetManagedFields()), func(e metav1.ManagedFieldsEntry) bool { return e.Subresource != "" })
	for _, e := range entries {
		names = append(names, fmt.Sprintf("%s %s", e.Manager, e.Operation))
	}
	slices.Sort(names)
	return slices.Compact(names), encode(t, entries)
}

func encode(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// kinds are those of all that is applied, as inventories name them.
func (i *installation) kinds() map[schema.GroupVersionKind]bool {
	kinds := map[schema.GroupVersionKind]bool{}
	for _, owner := range i.owners.objects() {
		entries, _, _ := unstructured.NestedSlice(owner.Object, "status", "inventory", "entries")
		for _, entry := range entries {
			entry, _ := entry.(map[string]any)
			id := strings.Split(fmt.Sprint(entry["id"]), "_")
			if len(id) > 3 {
				kinds[schema.GroupVersionKind{Group: id[len(id)-2], Version: fmt.Sprint(entry["v"]), Kind: id[len(id)-1]}] = true
			}
		}
	}
	return kinds
}

// ours selects what the Kustomizations apply, wherever it is.
func (i *installation) ours() client.MatchingLabels {
	return client.MatchingLabels{labelOf + "namespace": i.namespace}
}

// list lists what the Kustomizations have applied.
func (i *installation) list(ctx context.Context, t *testing.T, kinds map[schema.GroupVersionKind]bool) []unstructured.Unstructured {
	t.Helper()
	var found []unstructured.Unstructured
	for kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		err := i.Client.List(ctx, list, i.ours())
		if err != nil && !apierrors.IsNotFound(err) && !apimeta.IsNoMatchError(err) { // its definition was pruned
			t.Fatal(err)
		}
		found = append(found, list.Items...)
	}
	return found
}

// applied says what is missing until an object is Ready with what was pushed last.
func (i *installation) applied(owner *unstructured.Unstructured) string {
	head, revision := "", []string{"status", "artifact", "revision"}
	switch owner.GetKind() {
	case "Kustomization":
		var n int
		if _, err := fmt.Sscanf(owner.GetName(), "app-%d", &n); err != nil {
			return err.Error()
		}
		head, revision = i.sourceOf(n).head, []string{"status", "lastAppliedRevision"}
	case "Receiver":
	default:
		head = i.sources[owner.GetName()].head
	}
	if at, _, _ := unstructured.NestedString(owner.Object, revision...); !strings.HasSuffix(at, head) {
		return "revision " + at + " instead of " + head
	}
	if observed, _, _ := unstructured.NestedInt64(owner.Object, "status", "observedGeneration"); observed != owner.GetGeneration() {
		return fmt.Sprintf("generation %d is observed", observed)
	}
	ready := condition(owner, meta.ReadyCondition)
	if ready["status"] != "True" {
		return fmt.Sprint("Ready ", ready)
	}
	return ""
}

func condition(owner *unstructured.Unstructured, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(owner.Object, "status", "conditions")
	for _, c := range conditions {
		if c, _ := c.(map[string]any); c["type"] == kind {
			return c
		}
	}
	return nil
}

// await waits until a check finds nothing missing of any object that says what to apply.
func (i *installation) await(t *testing.T, what string, missing func(*unstructured.Unstructured) string) {
	t.Helper()
	_, err := harness.Eventually(t.Context(), what, harness.Patience, func(context.Context) (bool, string) {
		left, first := 0, ""
		owners := i.owners.objects()
		for _, owner := range owners {
			if lacks := missing(owner); lacks != "" {
				left, first = left+1, owner.GetKind()+" "+owner.GetName()+": "+lacks
			}
		}
		return left == 0 && len(owners) == size+len(i.sources)+1, fmt.Sprintf("%d of %d: %s", left, len(owners), first)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// settle waits until Kubernetes has done what comes of what was applied.
func (i *installation) settle(t *testing.T) {
	t.Helper()
	_, err := harness.Eventually(t.Context(), "the rollouts", harness.Patience, func(ctx context.Context) (bool, string) {
		deployments, pods := &appsv1.DeploymentList{}, &corev1.PodList{}
		for _, list := range []client.ObjectList{deployments, pods} {
			if err := i.Client.List(ctx, list, client.InNamespace(i.namespace)); err != nil {
				return false, err.Error()
			}
		}
		for _, d := range deployments.Items {
			if s := d.Status; s.ObservedGeneration != d.Generation || s.Replicas != 1 || s.UpdatedReplicas != 1 || s.AvailableReplicas != 1 {
				return false, fmt.Sprint(d.Name, s)
			}
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp != nil {
				return false, pod.Name + " ends"
			}
		}
		return true, ""
	})
	if err != nil {
		t.Fatal(err)
	}
}

// follow calls note with every change of the objects of a kind, beginning with those that are there, until it is stopped,
// or the test ends. An object that was made again while CRDs were replaced, which ends watches, counts as deleted, too.
func follow(t *testing.T, c client.WithWatch, kind schema.GroupVersionKind, note func(watch.EventType, *unstructured.Unstructured),
	options ...client.ListOption,
) (stop func()) {
	t.Helper()
	list := func() *unstructured.UnstructuredList {
		l := &unstructured.UnstructuredList{}
		l.SetGroupVersionKind(kind)
		return l
	}
	with := func(raw metav1.ListOptions) []client.ListOption {
		return append(slices.Clone(options), &client.ListOptions{Raw: &raw})
	}
	object := func(changed any) *unstructured.Unstructured {
		if unseen, ok := changed.(cache.DeletedFinalStateUnknown); ok {
			changed = unseen.Obj
		}
		return changed.(*unstructured.Unstructured)
	}
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ObjectType: &unstructured.Unstructured{},
		ListerWatcher: &cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, raw metav1.ListOptions) (runtime.Object, error) {
				l := list()
				return l, c.List(ctx, l, with(raw)...)
			},
			WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
				return c.Watch(ctx, list(), with(raw)...)
			},
		},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc: func(is any) { note(watch.Added, object(is)) },
			UpdateFunc: func(was, is any) {
				if object(was).GetUID() != object(is).GetUID() {
					note(watch.Deleted, object(was))
				}
				note(watch.Modified, object(is))
			},
			DeleteFunc: func(was any) { note(watch.Deleted, object(was)) },
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { informer.RunWithContext(ctx) })
	stop = func() { cancel(); done.Wait() }
	t.Cleanup(stop)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		t.Fatalf("watching %s", kind.Kind)
	}
	return stop
}

// owners are the objects that say what to apply, as they are now, and what was wrong with them.
type owners struct {
	mu     sync.Mutex
	latest map[string]*unstructured.Unstructured
	faults []string
}

// watchOwners looks at every version of every status.
func watchOwners(t *testing.T, i *installation) *owners {
	t.Helper()
	o := &owners{latest: map[string]*unstructured.Unstructured{}}
	for _, kind := range owned {
		follow(t, i.Client, kind, o.note, client.InNamespace(i.namespace))
	}
	return o
}

func (o *owners) note(change watch.EventType, owner *unstructured.Unstructured) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := owner.GetKind() + "/" + owner.GetName()
	if change == watch.Deleted {
		delete(o.latest, id)
		return
	}
	o.latest[id] = owner
	if ready := condition(owner, meta.ReadyCondition); ready["status"] == "False" && ready["reason"] != meta.DependencyNotReadyReason {
		o.faults = append(o.faults, fmt.Sprintf("%s %s: %s", id, ready["reason"], ready["message"]))
	}
}

// objects are all of them; what is done to them is done to copies.
func (o *owners) objects() []*unstructured.Unstructured {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []*unstructured.Unstructured
	for _, id := range slices.Sorted(maps.Keys(o.latest)) {
		all = append(all, o.latest[id].DeepCopy())
	}
	return all
}

// takeFaults returns what was not Ready since it was called last.
func (o *owners) takeFaults() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	faults := o.faults
	o.faults = nil
	slices.Sort(faults)
	return slices.Compact(faults)
}

// deletions are what was deleted of what was applied.
type deletions struct {
	stops []func() // of the watches

	mu  sync.Mutex
	all []string
}

// watchDeletions notes what is deleted from now on, or loses the label that says who applies it.
func watchDeletions(t *testing.T, i *installation) *deletions {
	t.Helper()
	d := &deletions{}
	for kind := range i.kinds() {
		d.stops = append(d.stops, follow(t, i.Client, kind, func(change watch.EventType, o *unstructured.Unstructured) {
			if change == watch.Deleted {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.all = append(d.all, o.GetKind()+"/"+o.GetName())
			}
		}, i.ours()))
	}
	return d
}

// count is how many were noted so far.
func (d *deletions) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.all)
}

// end ends the watches, and returns what was noted.
func (d *deletions) end() []string {
	for _, stop := range d.stops {
		stop()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.all))
}
