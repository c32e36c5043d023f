// SPDX-License-Identifier: Apache-2.0

// Package resource is the commands that work alike for every kind that is served: to list
// objects, follow them, suspend and resume them, and have them reconciled.
//
// A kind is a row of [kinds]: a new one needs nothing else.
package resource

import (
	"fmt"
	"slices"
	"strings"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	generatorv1 "github.com/fluxcd/source-watcher/api/v2/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

// kind is one that is served.
type kind struct {
	schema.GroupVersionKind
	plural  string
	aliases []string
	// listing is the one of `sluice get` that has it beside that of all; a command of another
	// package may be it.
	listing string
	// image is what Flux's CLI calls a kind of its group image: image policy.
	image string
	// suspends says that its objects can be suspended: by spec.suspend, or by an annotation.
	suspends bool
	requests onRequest
}

// onRequest is what a kind does with a request for a reconcile.
type onRequest int

const (
	// ignored is of a kind that nothing here reconciles.
	ignored onRequest = iota
	// obeyed is of one that is reconciled, and whose status does not say when.
	obeyed
	// answered is of one whose status names the last request that was obeyed.
	answered
)

// Listings of several kinds.
const (
	sources = "sources"
	alerts  = "alerts"
	// elsewhere is one of a kind with a package of its own.
	elsewhere = "elsewhere"
)

var kinds = []kind{
	{sourcev1.GroupVersion.WithKind("GitRepository"), "gitrepositories", []string{"gitrepo", "git"}, sources, "", true, answered},
	{sourcev1.GroupVersion.WithKind("OCIRepository"), "ocirepositories", []string{"ocirepo", "oci"}, sources, "", true, answered},
	{sourcev1.GroupVersion.WithKind("Bucket"), "buckets", nil, sources, "", true, answered},
	{sourcev1.GroupVersion.WithKind("ExternalArtifact"), "externalartifacts", nil, sources, "", false, ignored},
	{generatorv1.GroupVersion.WithKind("ArtifactGenerator"), "artifactgenerators", []string{"ag"}, sources, "", true, answered},
	{kustomizev1.GroupVersion.WithKind("Kustomization"), "kustomizations", []string{"ks"}, "kustomizations", "", true, answered},
	{imagev1.GroupVersion.WithKind("ImageRepository"), "imagerepositories", []string{"imagerepo"}, "", "repository", true, answered},
	{imagev1.GroupVersion.WithKind("ImagePolicy"), "imagepolicies", []string{"imagepol"}, "", "policy", true, answered},
	{imagev1.GroupVersion.WithKind("ImageUpdateAutomation"), "imageupdateautomations",
		[]string{"automation", "automations", "iua"}, elsewhere, "update", true, answered},
	{flaggerv1.GroupVersion.WithKind("Canary"), "canaries", nil, elsewhere, "", true, obeyed},
	{sluicev1.GroupVersion.WithKind("Pipeline"), "pipelines", []string{"pl"}, elsewhere, "", true, answered},
	{notificationv1.GroupVersion.WithKind("Receiver"), "receivers", nil, "receivers", "", true, answered},
	{notificationv1beta3.GroupVersion.WithKind("Alert"), "alerts", nil, alerts, "", true, answered},
	{notificationv1beta3.GroupVersion.WithKind("Provider"), "providers",
		[]string{"alert-provider", "alert-providers"}, alerts, "", true, answered},
}

// kindsOf are the kinds of a listing.
func kindsOf(listing string) []kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return k.listing != listing })
}

// imageKinds are those that Flux's CLI calls by another name.
func imageKinds() []kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return k.image == "" })
}

// namedFirst is the kind that the first of some arguments names, or the first two in the forms of
// Flux's CLI, source git and image policy; and the rest.
func namedFirst(args []string) (kind, []string, error) {
	family := strings.ToLower(args[0])
	switch {
	case len(args) > 1 && (family == "source" || family == sources):
		k, err := named(args[1])
		if err == nil && k.listing != sources {
			err = fmt.Errorf("%s are no sources: leave out %s", k.plural, args[0])
		}
		return k, args[2:], err
	case len(args) > 1 && (family == "image" || family == "images"):
		for _, k := range imageKinds() {
			if strings.ToLower(args[1]) == k.image {
				return k, args[2:], nil
			}
		}
		return kind{}, nil, fmt.Errorf("unknown kind %q after %s; known: repository, policy, update", args[1], args[0])
	}
	k, err := named(args[0])
	return k, args[1:], err
}

// named is the kind that an argument names, perhaps with its group, as -o name prints it.
func named(arg string) (kind, error) {
	word, group, grouped := strings.Cut(strings.ToLower(arg), ".")
	for _, k := range kinds {
		if grouped && group != k.Group {
			continue
		}
		if word == k.plural || word == strings.ToLower(k.Kind) || slices.Contains(k.aliases, word) {
			return k, nil
		}
	}
	return kind{}, fmt.Errorf("unknown kind %q; known: %s", arg, strings.Join(plurals(func(kind) bool { return true }), ", "))
}

func plurals(which func(kind) bool) []string {
	var found []string
	for _, k := range kinds {
		if which(k) {
			found = append(found, k.plural)
		}
	}
	return found
}

// isSuspendedByAnnotation reports whether objects of the kind are suspended by an annotation, and not by spec.suspend, which
// [report.IsSuspended] knows, too.
func (k kind) isSuspendedByAnnotation() bool { return k.Group == generatorv1.GroupVersion.Group }

// suspend changes an object of the kind so that nothing is done for it.
func (k kind) suspend(u *unstructured.Unstructured) error {
	if !k.isSuspendedByAnnotation() {
		return unstructured.SetNestedField(u.Object, true, "spec", "suspend")
	}
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[generatorv1.ReconcileAnnotation] = generatorv1.DisabledValue
	u.SetAnnotations(annotations)
	return nil
}

// resume undoes it.
func (k kind) resume(u *unstructured.Unstructured) {
	if !k.isSuspendedByAnnotation() {
		unstructured.RemoveNestedField(u.Object, "spec", "suspend")
		return
	}
	annotations := u.GetAnnotations()
	delete(annotations, generatorv1.ReconcileAnnotation)
	u.SetAnnotations(annotations)
}

func (k kind) object() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(k.GroupVersionKind)
	return u
}

func (k kind) list() *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	return list
}

// name is the object's name for another command, as -o name prints it.
func (k kind) name(name string) string {
	return strings.TrimSuffix(strings.ToLower(k.Kind)+"."+k.Group, ".") + "/" + name
}
