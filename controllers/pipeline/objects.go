// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/kubeconfig"
	"github.com/sluice-cd/sluice/internal/suggest"
	"github.com/sluice-cd/sluice/promotion/cluster"
)

// Kinds that need no apiVersion in a reference.
const (
	kustomizationKind = kustomizev1.KustomizationKind
	helmReleaseKind   = "HelmRelease"
	applicationKind   = "Application"
)

var groupVersions = map[string]schema.GroupVersion{
	kustomizationKind:    kustomizev1.GroupVersion,
	helmReleaseKind:      {Group: "helm.toolkit.fluxcd.io", Version: "v2"},
	applicationKind:      {Group: "argoproj.io", Version: "v1alpha1"},
	flaggerv1.CanaryKind: flaggerv1.GroupVersion,
}

// objectReader reads objects of clusters; see [cluster.Reader].
type objectReader interface {
	Get(ctx context.Context, at *meta.KubeConfigReference, object cluster.Object) (cluster.Answer, error)
	Done()
}

// openClusters has the objects of pipelines watched, in this cluster and in others.
func (r *Reconciler) openClusters(mgr ctrl.Manager) (*cluster.Clusters, error) {
	clusters, err := cluster.New(cluster.Options{
		Config: mgr.GetConfig(), Mapper: mgr.GetRESTMapper(), KubeConfigs: r.KubeConfigs,
		Clock: r.Clock, Log: mgr.GetLogger().WithName("pipeline"), Wake: r.wake.Wake,
	})
	if err != nil {
		return nil, err
	}
	pods, err := corev1client.NewForConfig(mgr.GetConfig())
	if err != nil {
		return nil, err
	}
	r.logs = func(ctx context.Context, pod types.NamespacedName) (string, error) {
		lines, bytes := int64(logLines), int64(logRead)
		text, err := pods.Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{TailLines: &lines, LimitBytes: &bytes}).DoRaw(ctx)
		return string(text), err
	}
	r.readerOf, r.cached = func(pipeline types.NamespacedName) objectReader { return clusters.Reader(pipeline) }, map[string]bool{}
	return clusters, mgr.Add(clusters)
}

// object is one that a stage is judged by, and where it is.
type object struct {
	cluster.Object
	kubeConfigRef *meta.KubeConfigReference // nil is this cluster
	// field of the spec that names it, or what led to it, and kubeConfig the one of kubeConfigRef.
	field, kubeConfig string
}

func (o object) key() client.ObjectKey { return o.NamespacedName }

// inSameCluster is another object in the same cluster.
func (o object) inSameCluster(gvk schema.GroupVersionKind, key types.NamespacedName) object {
	o.Object = cluster.Object{GroupVersionKind: gvk, NamespacedName: key}
	return o
}

// objects reads the objects that the stages of a pipeline are judged by, in this cluster
// and in others. It is that of one observation.
type objects struct {
	pipeline *sluicev1.Pipeline
	// cached has the kinds of this cluster that are watched, and live reads others of it
	// that nobody watches.
	cached client.Reader
	live   client.Reader
	kinds  map[string]bool
	look   objectReader
	// ownNamespace refuses objects of other namespaces of this cluster.
	ownNamespace bool
	again        *requeue
	// unreadable says which object of a target cannot be looked at, why, and what helps; empty
	// if all can.
	unreadable string
}

// referred is the object of the i-th reference of a target. It is refused if the pipeline may
// not look there.
func (os *objects) referred(t target, i int) (object, error) {
	ref := t.ready[i]
	gvk, err := kindOf(ref)
	if err != nil {
		return object{}, err
	}
	name := cluster.Object{GroupVersionKind: gvk, NamespacedName: keyOf(os.pipeline, ref.Namespace, ref.Name)}
	o := t.object(name, ref.KubeConfig, t.readyField(i))
	return o, os.allowed(o)
}

// object is one that a field names for the target, in the cluster of its own kubeConfig or else
// of the target's.
func (t target) object(name cluster.Object, at *meta.KubeConfigReference, field string) object {
	if at != nil {
		return object{Object: name, kubeConfigRef: at, field: field, kubeConfig: field + ".kubeConfig"}
	}
	return object{Object: name, kubeConfigRef: t.kubeConfig, field: field, kubeConfig: t.kubeConfigField()}
}

// allowed refuses an object of another namespace of this cluster, where those are refused.
// In another cluster the kubeConfig decides.
func (os *objects) allowed(o object) error {
	if os.ownNamespace && o.kubeConfigRef == nil && o.Namespace != os.pipeline.Namespace {
		return refuse("spec.stages: can't access %s '%s', cross-namespace references have been blocked", o.Kind, o.NamespacedName)
	}
	return nil
}

// kindOf is the kind of a reference.
func kindOf(ref sluicev1.ReadyReference) (schema.GroupVersionKind, error) {
	if ref.APIVersion == "" {
		gv, known := groupVersions[ref.Kind]
		if !known {
			kinds, meant := slices.Sorted(maps.Keys(groupVersions)), ""
			if near := suggest.Nearest(ref.Kind, kinds); near != "" {
				meant = ", did you mean " + near + "?"
			}
			return schema.GroupVersionKind{}, fmt.Errorf("apiVersion is required for the kind %s%s (only %s go without)", ref.Kind, meant,
				strings.Join(kinds, ", "))
		}
		return gv.WithKind(ref.Kind), nil
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err == nil && gv.Group == "" && (ref.Kind == "Secret" || ref.Kind == "ConfigMap") {
		err = fmt.Errorf("a %s is never Ready", ref.Kind)
	}
	return gv.WithKind(ref.Kind), err
}

// isKind reports whether an object is of a kind that needs no apiVersion, of whichever
// version.
func (o object) isKind(kind string) bool {
	return o.Kind == kind && o.Group == groupVersions[kind].Group
}

// read reads an object. If there is none the answer says why.
func (os *objects) read(ctx context.Context, o object, into client.Object) (cluster.Answer, error) {
	if o.kubeConfigRef == nil && os.kinds[o.Kind] && o.GroupVersion() == groupVersions[o.Kind] {
		return answered(os.cached.Get(ctx, o.key(), into), o)
	}
	answer, err := os.look.Get(ctx, o.kubeConfigRef, o.Object)
	if errors.Is(err, kubeconfig.ErrInvalid) { // its Secret may be put right
		os.again.requeueAfter(unwatchedDelay)
		answer = cluster.Answer{Unknown: true, Failed: true, Why: fmt.Sprintf("%s: %s", o.Object, err)}
		os.noteUnreadable(answer, "create or correct it, or name another one, in "+o.kubeConfig)
		return answer, nil
	}
	if err != nil || answer.Object == nil {
		os.noteUnreadable(answer, "it is named in "+cmp.Or(o.field, "the spec"))
		if answer.Unknown && o.kubeConfigRef != nil { // the Secret may lead to another server by then
			os.again.requeueAfter(unwatchedDelay)
		}
		return answer, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(answer.Object.Object, into); err != nil {
		return cluster.Answer{Why: fmt.Sprintf("%s cannot be read: %s", o.Object, err)}, nil
	}
	return cluster.Answer{}, nil
}

// noteUnreadable notes that an object cannot be looked at, and what a person has to know to mend that.
func (os *objects) noteUnreadable(a cluster.Answer, remedy string) {
	if a.Failed {
		os.unreadable = cmp.Or(os.unreadable, a.Why+": "+remedy)
	}
}

// answered is the answer of an API server.
func answered(err error, o object) (cluster.Answer, error) {
	switch {
	case apierrors.IsNotFound(err):
		return cluster.Answer{Missing: true, Why: fmt.Sprintf("%s does not exist", o.Object)}, nil
	case err != nil:
		return cluster.Answer{}, fmt.Errorf("reading %s: %w", o.Object, err)
	}
	return cluster.Answer{}, nil
}
