// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"github.com/prometheus/client_golang/prometheus"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	notificationv1beta3 "github.com/sluice-cd/sluice/api/notification/v1beta3"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/reconciler"
)

// resourceInfo is what Flux's dashboards know objects by. The name and the labels are those
// that kube-state-metrics gives it with the configuration that Flux publishes. Two are left
// out: a Receiver's webhook_path, which is all that one without a signature asks of a
// sender, and those of Helm's kinds. A label that is empty counts as one that is not there.
var resourceInfo = prometheus.NewDesc("gotk_resource_info",
	"The state of an object, as kube-state-metrics shows it with Flux's configuration.", []string{
		"customresource_group", "customresource_version", "customresource_kind", "exported_namespace", "name",
		"ready", "suspended", "revision", "source_name", "url", "endpoint", "bucket_name", "image",
	}, nil)

// resources shows every object that this process serves.
type resources struct {
	reader client.Reader
	scheme *runtime.Scheme
	lists  []client.ObjectList
}

// resourceInfo adds gotk_resource_info, if the flags say so.
func (w *wiring) resourceInfo() error {
	if !w.flags.resourceInfo {
		return nil
	}
	shown := resources{reader: w.mgr.GetClient(), scheme: w.mgr.GetScheme(), lists: w.flags.shown()}
	return reconciler.AddScraped(w.mgr, shown.collect, resourceInfo)
}

// shown are the kinds that the groups serve, which are in the cache for that.
func (f *flags) shown() []client.ObjectList {
	of := map[string][]client.ObjectList{
		"image": {&imagev1.ImageRepositoryList{}, &imagev1.ImagePolicyList{}, &imagev1.ImageUpdateAutomationList{}},
		"source": {
			&sourcev1.GitRepositoryList{}, &sourcev1.OCIRepositoryList{}, &sourcev1.BucketList{}, &generatorv1.ArtifactGeneratorList{},
		},
		"kustomize":    {&kustomizev1.KustomizationList{}},
		"canary":       {&flaggerv1.CanaryList{}},
		"promotion":    {&sluicev1.PipelineList{}},
		"notification": {&notificationv1.ReceiverList{}},
	}
	if f.eventsAddr == "" {
		of["notification"] = append(of["notification"], &notificationv1beta3.AlertList{}, &notificationv1beta3.ProviderList{})
	}
	var lists []client.ObjectList
	for _, group := range groups {
		if f.serves(group) {
			lists = append(lists, of[group]...)
		}
	}
	return lists
}

// collect sends what is known of each object. A kind that cannot be listed costs the
// others nothing.
func (r resources) collect(ctx context.Context, to chan<- prometheus.Metric) error {
	var errs []error
	for _, kind := range r.lists {
		list := kind.DeepCopyObject().(client.ObjectList)
		if err := r.reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, apimeta.EachListItem(list, func(item runtime.Object) error {
			labels, err := r.labels(item.(client.Object))
			if err != nil {
				return err
			}
			to <- prometheus.MustNewConstMetric(resourceInfo, prometheus.GaugeValue, 1, labels...)
			return nil
		}))
	}
	return errors.Join(errs...)
}

// labels are the values of an object, in the order of [resourceInfo].
func (r resources) labels(o client.Object) ([]string, error) {
	gvk, err := apiutil.GVKForObject(o, r.scheme)
	if err != nil {
		return nil, err
	}
	i := infoOf(o)
	return []string{
		gvk.Group, gvk.Version, gvk.Kind, o.GetNamespace(), o.GetName(), readiness(o), strconv.FormatBool(i.suspended),
		i.revision, i.source, withoutPassword(i.url), i.endpoint, i.bucket, i.image,
	}, nil
}

// readiness is the status of the condition Ready; empty for kinds that have none.
func readiness(o client.Object) string {
	conditioned, ok := o.(interface{ GetConditions() []metav1.Condition })
	if !ok {
		return ""
	}
	if ready := apimeta.FindStatusCondition(conditioned.GetConditions(), meta.ReadyCondition); ready != nil {
		return string(ready.Status)
	}
	return ""
}

// info is what the kinds have each at another place.
type info struct {
	suspended                                      bool
	revision, source, url, endpoint, bucket, image string
}

func infoOf(o client.Object) info {
	switch o := o.(type) {
	case *imagev1.ImageRepository:
		return info{suspended: o.Spec.Suspend, image: o.Spec.Image}
	case *imagev1.ImagePolicy:
		return info{suspended: o.Spec.Suspend, source: o.Spec.ImageRepositoryRef.Name}
	case *imagev1.ImageUpdateAutomation:
		return info{suspended: o.Spec.Suspend, source: o.Spec.SourceRef.Name}
	case *sourcev1.GitRepository:
		return info{suspended: o.Spec.Suspend, revision: revisionOf(o), url: o.Spec.URL}
	case *sourcev1.OCIRepository:
		return info{suspended: o.Spec.Suspend, revision: revisionOf(o), url: o.Spec.URL}
	case *sourcev1.Bucket:
		return info{suspended: o.Spec.Suspend, revision: revisionOf(o), endpoint: o.Spec.Endpoint, bucket: o.Spec.BucketName}
	case *generatorv1.ArtifactGenerator:
		return info{suspended: o.IsDisabled()}
	case *kustomizev1.Kustomization:
		return info{suspended: o.Spec.Suspend, revision: o.Status.LastAppliedRevision, source: o.Spec.SourceRef.Name}
	case *notificationv1.Receiver:
		return info{suspended: o.Spec.Suspend}
	case *notificationv1beta3.Alert:
		return info{suspended: o.Spec.Suspend}
	case *notificationv1beta3.Provider:
		return info{suspended: o.Spec.Suspend}
	case *flaggerv1.Canary:
		return info{suspended: o.Spec.Suspend, revision: o.Status.LastPromotedSpec}
	case *sluicev1.Pipeline:
		return info{suspended: o.Spec.Suspend}
	}
	return info{}
}

func revisionOf(source sourcev1.Source) string {
	if artifact := source.GetArtifact(); artifact != nil {
		return artifact.Revision
	}
	return ""
}

// withoutPassword is a URL as it may be shown: whoever reads metrics may not read objects.
func withoutPassword(text string) string {
	parsed, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if parsed.Scheme != "ssh" {
		parsed.User = nil // who is named may be a token
	}
	parsed.RawQuery, parsed.ForceQuery, parsed.Fragment = "", false, ""
	return parsed.Redacted()
}
