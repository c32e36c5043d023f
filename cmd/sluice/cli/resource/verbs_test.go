// SPDX-License-Identifier: Apache-2.0

package resource

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	scheme "github.com/sluice-cd/sluice/internal/kinds"
)

func TestWhatArgumentsName(t *testing.T) {
	for line, want := range map[string]string{
		"ks web":                        "Kustomization web",
		"kustomizations web api":        "Kustomization web,api",
		"ks/web":                        "Kustomization web",
		"ks/web kustomization/api":      "Kustomization web,api",
		"source git fleet":              "GitRepository fleet",
		"image policy web":              "ImagePolicy web",
		"Canary.flagger.app/web":        "Canary web",
		"canary.sluice.dev/web":         "unknown kind",
		"ks/web oci/files":              "is about objects of one kind, here of kustomizations",
		"ks/web nothing/files":          "is about objects of one kind, here of kustomizations",
		"ks/":                           "needs a KIND and a NAME",
		"/web":                          "unknown kind",
		"ks":                            "needs a KIND and a NAME",
		"source git":                    "needs a KIND and a NAME",
		"source kustomizations web":     "are no sources",
		"image kustomization web":       "after image; known: repository, policy, update",
		"deployments.apps/web":          "unknown kind",
		"receivers web.example.com/api": "is about objects of one kind, here of receivers",
	} {
		k, names, err := kindAndNames(&cobra.Command{Use: "suspend"}, strings.Fields(line), "")
		got := k.Kind + " " + strings.Join(names, ",")
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// The controller obeys, and its status has no field for it: the command refused what the page offers.
func TestACanaryIsReconciledOnRequest(t *testing.T) {
	known, err := scheme.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	canary := &flaggerv1.Canary{}
	canary.Namespace, canary.Name = "apps", "web"
	c := fake.NewClientBuilder().WithScheme(known).WithObjects(canary).Build()
	k, err := named("canary")
	if err != nil || k.requests == ignored {
		t.Fatalf("got %+v, %v", k, err)
	}
	var told bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetErr(&told)
	cmd.SetOut(&told)
	of := &target{cmd: cmd, client: c, kind: k, object: k.object()}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(canary), of.object); err != nil {
		t.Fatal(err)
	}
	if err := of.reconcile(time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(canary), canary); err != nil {
		t.Fatal(err)
	}
	if canary.Annotations[meta.ReconcileRequestAnnotation] == "" {
		t.Error("nothing was requested")
	}
	if want := "Canary apps/web is asked to reconcile; its status does not say when"; !strings.Contains(told.String(), want) {
		t.Errorf("told %q", told.String())
	}
}
