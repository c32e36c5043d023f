// SPDX-License-Identifier: Apache-2.0

// Package served asks a real API server what our CRDs accept and refuse, since
// only it can tell: patterns, defaults and CEL rules exist nowhere else.
//
// It needs a playground; see [env.Require]. Nothing but the CRDs, a namespace
// and a suspended Canary is stored there, every other object is a dry run.
package served

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

const config = "../../../config/"

func apply(t *testing.T, c client.Client, object *unstructured.Unstructured, opts ...client.ApplyOption) {
	t.Helper()
	opts = append(opts, client.FieldOwner("harness"), client.ForceOwnership)
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object), opts...); err != nil {
		t.Errorf("applying %s %s: %v", object.GetKind(), object.GetName(), err)
	}
}

// documents reads every object of the files that match.
func documents(t *testing.T, pattern string) []*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files match %s (%v)", pattern, err)
	}
	var found []*unstructured.Unstructured
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, parse(t, string(raw))...)
	}
	return found
}

func parse(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := harness.Objects([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetAPIVersion() == "" || o.GetAPIVersion() == "kustomize.config.k8s.io/v1beta1"
	})
}

// create is a dry run in which an unknown field is an error, under a name that
// nobody else on the playground uses.
func create(t *testing.T, c client.Client, object *unstructured.Unstructured) error {
	t.Helper()
	object.SetName("served-" + object.GetName())
	return c.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

func TestEverySampleIsAccepted(t *testing.T) {
	c := harness.Installed(t).Client
	for _, object := range documents(t, config+"samples/*.yaml") {
		if err := create(t, c, object); err != nil {
			t.Errorf("%s: %v", object.GetKind(), err)
		}
	}
	for _, object := range documents(t, config+"samples/pipelines/*.yaml") {
		object.SetNamespace("default") // is there
		if err := create(t, c, object); err != nil {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

func TestTheInstallationIsAccepted(t *testing.T) {
	c := harness.Installed(t).Client
	for _, object := range documents(t, config+"manager/namespace.yaml") {
		apply(t, c, object)
	}
	for _, object := range slices.Concat(documents(t, config+"rbac/*.yaml"),
		documents(t, config+"admission/*.yaml"), documents(t, config+"manager/*.yaml")) {
		apply(t, c, object, client.DryRunAll)
	}
}

// undefaulted are kinds whose CRD gives no status of its own: others write that of an
// ExternalArtifact, and upstream's Providers and Alerts have none, so that who waits for
// one would wait for ever where Flux's controller serves them.
var undefaulted = []string{"ExternalArtifact", "ArtifactGenerator", "Provider", "Alert"}

func TestStatusIsThereBeforeAnyController(t *testing.T) {
	c := harness.Installed(t).Client
	for _, object := range documents(t, config+"samples/*.yaml") {
		if object.GroupVersionKind().Group == "flagger.app" || slices.Contains(undefaulted, object.GetKind()) {
			continue // Flagger's CRDs have no such default
		}
		if err := create(t, c, object); err != nil {
			t.Fatal(err)
		}
		got, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
		if err != nil || !found || got != -1 {
			t.Errorf("%s: status.observedGeneration is %d (found %t, %v), want -1", object.GetKind(), got, found, err)
		}
	}
}
