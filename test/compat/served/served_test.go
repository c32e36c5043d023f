// Package served asks a real API server what our CRDs accept and refuse, since
// only it can tell: patterns, defaults and CEL rules exist nowhere else.
//
// It needs a playground; see [env.Require]. Nothing but the CRDs, a namespace
// and a suspended Canary is stored there, every other object is a dry run.
package served

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apiextv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/env"
)

const config = "../../../config/"

// install applies the CRDs and waits until they are served.
func install(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := apiextv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(env.Require(t).REST, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	for _, crd := range documents(t, config+"crd/bases/*.yaml") {
		apply(t, c, crd)
	}
	err = wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true,
		func(ctx context.Context) (bool, error) { return established(ctx, c) })
	if err != nil {
		t.Fatalf("waiting for the CRDs to be served: %v", err)
	}
	return c
}

func established(ctx context.Context, c client.Client) (bool, error) {
	var list apiextv1.CustomResourceDefinitionList
	if err := c.List(ctx, &list, client.MatchingLabels{"app.kubernetes.io/part-of": "flux"}); err != nil {
		return false, err
	}
	for _, crd := range list.Items {
		served := false
		for _, condition := range crd.Status.Conditions {
			served = served || condition.Type == apiextv1.Established && condition.Status == apiextv1.ConditionTrue
		}
		if !served {
			return false, nil
		}
	}
	return len(list.Items) > 0, nil
}

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
	var found []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if object.GetAPIVersion() != "" && object.GetAPIVersion() != "kustomize.config.k8s.io/v1beta1" {
			found = append(found, object)
		}
	}
}

// create is a dry run in which an unknown field is an error, under a name that
// nobody else on the playground uses.
func create(t *testing.T, c client.Client, object *unstructured.Unstructured) error {
	t.Helper()
	object.SetName("served-" + object.GetName())
	return c.Create(t.Context(), object, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

func TestEverySampleIsAccepted(t *testing.T) {
	c := install(t)
	for _, object := range documents(t, config+"samples/*.yaml") {
		if err := create(t, c, object); err != nil {
			t.Errorf("%s: %v", object.GetKind(), err)
		}
	}
}

func TestTheInstallationIsAccepted(t *testing.T) {
	c := install(t)
	for _, object := range documents(t, config+"manager/namespace.yaml") {
		apply(t, c, object)
	}
	for _, object := range append(documents(t, config+"rbac/*.yaml"), documents(t, config+"manager/*.yaml")...) {
		apply(t, c, object, client.DryRunAll)
	}
}

func TestStatusIsThereBeforeAnyController(t *testing.T) {
	c := install(t)
	for _, object := range documents(t, config+"samples/*.yaml") {
		if object.GroupVersionKind().Group == "flagger.app" {
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
