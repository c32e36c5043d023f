// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/cli-utils/pkg/object"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// weave reads as the server of Weave GitOps at its last commit does, and shows as its page does.
func (s *story) weave(t *testing.T) {
	t.Run("its runtime", s.weaveRuntime)
	t.Run("its lists", s.weaveLists)
	t.Run("its inventory and its health", s.weaveInventory)
	t.Run("sync, with the source first", func(t *testing.T) {
		s.weaveSync(t, "GitRepository", "repo")
		s.weaveSync(t, "Kustomization", "podinfo")
		s.weaveSync(t, "ImageRepository", "podinfo")
		s.weaveSync(t, "ImageUpdateAutomation", "podinfo")
		s.weaveSync(t, "OCIRepository", "bundle")
	})
	t.Run("suspend and resume, with who and why", s.weaveSuspend)
	t.Run("events", func(t *testing.T) {
		for kind, name := range map[string]string{"Kustomization": "podinfo", "GitRepository": "repo", "ImageRepository": "podinfo"} {
			selector := "involvedObject.kind=" + kind + ",involvedObject.name=" + name + ",involvedObject.namespace=" + s.namespace
			events := s.list(t, "/api/v1/namespaces/"+s.namespace+"/events?fieldSelector="+url.QueryEscape(selector))
			if len(events) == 0 || text(events[0], "lastTimestamp") == "" || text(events[0], "source", "component") == "" {
				t.Errorf("events of %s: %v", kind, events)
			}
		}
	})
}

// partOf are the objects that carry the label of an installation.
const partOf = "?labelSelector=app.kubernetes.io%2Fpart-of%3Dflux"

func (s *story) weaveRuntime(t *testing.T) {
	deployments := s.list(t, "/apis/apps/v1/namespaces/flux-system/deployments"+partOf)
	if len(deployments) != 1 || text(deployments[0], "metadata", "name") != "sluice" {
		t.Fatalf("the runtime is %v", deployments)
	}
	if got := weaveReady(deployments[0]); got != "Ready" {
		t.Errorf("the Deployment is %s", got)
	}
	crds := s.list(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"+partOf)
	for _, kind := range []string{"imagerepositories", "imageupdateautomations", "kustomizations", "gitrepositories"} {
		if !slices.ContainsFunc(crds, func(crd map[string]any) bool { return text(crd, "spec", "names", "plural") == kind }) {
			t.Errorf("%s are not among the %d definitions", kind, len(crds))
		}
	}
}

// weaveReady is what the page shows beside a name.
func weaveReady(o map[string]any) string {
	for _, kind := range []string{"Ready", "Available"} {
		switch status := condition(o, kind, "status"); {
		case status == "True":
			return "Ready"
		case status == "Unknown" && condition(o, kind, "reason") == "Progressing":
			return "Reconciling"
		case status != "":
			return "Not Ready"
		}
	}
	return "undefined"
}

func (s *story) weaveLists(t *testing.T) {
	for kind, of := range map[string]string{
		"Kustomization": "status.lastAppliedRevision", "GitRepository": "status.artifact.lastUpdateTime",
		"OCIRepository": "status.artifact.lastUpdateTime", "ImageRepository": "status.lastScanResult.tagCount",
		"ImagePolicy": "spec.imageRepositoryRef.name", "ImageUpdateAutomation": "status.lastAutomationRunTime",
	} {
		harness.MustEventually(t, kind, func(context.Context) (bool, string) {
			items := s.list(t, s.at(kind))
			if len(items) != 1 {
				return false, fmt.Sprint(len(items))
			}
			ready := weaveReady(items[0])
			return ready == "Ready" && text(items[0], strings.Split(of, ".")...) != "", ready
		})
	}
	policy, _ := field(s.fetch(t, s.at("ImagePolicy", "podinfo")), "spec", "policy").(map[string]any)
	if len(policy) != 1 { // the page shows the first
		t.Errorf("the policy is %v", policy)
	}
}

// weaveInventory gets what the inventory names, and asks how it is.
func (s *story) weaveInventory(t *testing.T) {
	entries, _ := field(s.fetch(t, s.at("Kustomization", "podinfo")), "status", "inventory", "entries").([]any)
	healthy := map[string]bool{}
	for _, each := range entries {
		entry := each.(map[string]any)
		id, err := object.ParseObjMetadata(entry["id"].(string))
		if err != nil {
			t.Fatal(err)
		}
		// The page itself reads the id from its end.
		parts := strings.Split(entry["id"].(string), "_")
		if parts[len(parts)-1] != id.GroupKind.Kind || parts[len(parts)-2] != id.GroupKind.Group {
			t.Errorf("the page takes %s for another kind than %v", entry["id"], id)
		}
		o := &unstructured.Unstructured{}
		o.SetAPIVersion(strings.TrimPrefix(id.GroupKind.Group+"/"+entry["v"].(string), "/"))
		o.SetKind(id.GroupKind.Kind)
		healthy[o.GetKind()] = true
		harness.MustEventually(t, "the health of "+o.GetKind(), func(context.Context) (bool, string) {
			if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: id.Namespace, Name: id.Name}, o); err != nil {
				return false, err.Error()
			}
			result, err := status.Compute(o)
			return err == nil && result.Status == status.CurrentStatus, fmt.Sprint(result, err)
		})
		if o.GetKind() == "Canary" {
			s.weaveCanary(t, o.Object)
		}
	}
	if len(healthy) != 4 {
		t.Errorf("the inventory has kinds %v", healthy)
	}
}

// weaveCanary counts a Canary by the first of its conditions, whichever that is.
func (s *story) weaveCanary(t *testing.T, canary map[string]any) {
	t.Helper()
	all, _ := field(canary, "status", "conditions").([]any)
	if len(all) == 0 {
		t.Fatal("a Canary without conditions counts as none")
	}
	if first := all[0].(map[string]any); first["type"] != "Promoted" || first["reason"] != "Succeeded" {
		t.Errorf("it is counted by %v", first)
	}
}

// weaveSync writes the annotation, then looks every two seconds whether another request has been handled.
func (s *story) weaveSync(t *testing.T, kind, name string) {
	t.Helper()
	before := text(s.fetch(t, s.at(kind, name)), "status", "lastHandledReconcileAt")
	s.patch(t, kind, name, map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		"reconcile.fluxcd.io/requestedAt": time.Now().Format(time.RFC3339Nano),
	}}})
	harness.MustEventually(t, "the sync of "+kind, func(context.Context) (bool, string) {
		after := text(s.fetch(t, s.at(kind, name)), "status", "lastHandledReconcileAt")
		return after != before, after
	})
}

func (s *story) weaveSuspend(t *testing.T) {
	change := func(suspended bool, who, why any) map[string]any {
		return map[string]any{"spec": map[string]any{"suspend": suspended}, "metadata": map[string]any{"annotations": map[string]any{
			"metadata.weave.works/suspended-by": who, "metadata.weave.works/suspended-comment": why,
		}}}
	}
	s.patch(t, "Kustomization", "podinfo", change(true, "ada", "an incident"))
	s.weaveSync(t, "GitRepository", "repo") // which leaves it alone
	k := s.fetch(t, s.at("Kustomization", "podinfo"))
	annotations, _ := field(k, "metadata", "annotations").(map[string]any)
	if field(k, "spec", "suspend") != true || annotations["metadata.weave.works/suspended-comment"] != "an incident" {
		t.Errorf("it is suspended: %v, because of %v", field(k, "spec", "suspend"), annotations)
	}
	s.patch(t, "Kustomization", "podinfo", change(false, nil, nil))
	s.weaveSync(t, "Kustomization", "podinfo")
}

// capacitor reads and writes as Capacitor does, which finds the kinds by discovery.
func (s *story) capacitor(t *testing.T) {
	for kind, badges := range map[string]string{
		"GitRepository": "Ready Artifact", "OCIRepository": "Ready Artifact", "Kustomization": "Ready",
		"ImageRepository": "Ready", "ImagePolicy": "Ready", "Receiver": "Ready",
	} {
		group := strings.Split(paths[kind], "/")[2]
		if preferred := text(s.fetch(t, "/apis/"+group), "preferredVersion", "version"); preferred == "" {
			t.Errorf("group %s has no preferred version", group)
		} else if group != "notification.toolkit.fluxcd.io" && preferred != "v1" {
			t.Errorf("group %s is read at %s", group, preferred)
		}
		harness.MustEventually(t, "the badges of "+kind, func(context.Context) (bool, string) {
			got := badgesOf(s.list(t, s.at(kind))[0])
			return got == badges, got
		})
	}
	s.weaveSync(t, "GitRepository", "repo") // its request is the same
	s.patch(t, "Kustomization", "podinfo", spec("suspend", true))
	harness.MustEventually(t, "the badges of a suspended Kustomization", func(context.Context) (bool, string) {
		got := badgesOf(s.fetch(t, s.at("Kustomization", "podinfo")))
		return got == "Ready Suspended", got
	})
	s.patch(t, "Kustomization", "podinfo", spec("suspend", false))
	s.weaveSync(t, "Kustomization", "podinfo")
	for _, d := range s.list(t, "/api/v1/namespaces/flux-system/pods?labelSelector=app%3Dsource-controller") {
		t.Errorf("docs/clients.md says that files of sources cannot be looked at, since there is no such pod: %v", text(d, "metadata", "name"))
	}
}

// badgesOf are those beside an object.
func badgesOf(o map[string]any) string {
	var badges []string
	if condition(o, "Stalled", "status") == "True" {
		badges = append(badges, "Stalled")
	}
	switch ready := condition(o, "Ready", "status"); {
	case ready == "True":
		badges = append(badges, "Ready")
	case ready == "False" && condition(o, "Ready", "reason") != "DependencyNotReady":
		badges = append(badges, "NotReady")
	case ready != "":
		badges = append(badges, "Reconciling")
	}
	if condition(o, "ArtifactInStorage", "status") == "True" {
		badges = append(badges, "Artifact")
	}
	if field(o, "spec", "suspend") == true {
		badges = append(badges, "Suspended")
	}
	return strings.Join(badges, " ")
}

// operator makes the report of Flux Operator: components and kinds by their label, and how many of each kind fail.
func (s *story) operator(t *testing.T) {
	for _, d := range s.list(t, "/apis/apps/v1/namespaces/flux-system/deployments"+partOf) {
		live := &unstructured.Unstructured{}
		live.SetAPIVersion("apps/v1")
		live.SetKind("Deployment")
		if err := s.Client.Get(t.Context(), client.ObjectKey{Namespace: "flux-system", Name: text(d, "metadata", "name")}, live); err != nil {
			t.Fatal(err)
		}
		if result, err := status.Compute(live); err != nil || result.Status != status.CurrentStatus {
			t.Errorf("component %s is not ready: %v %v", live.GetName(), result, err)
		}
		containers, _ := field(d, "spec", "template", "spec", "containers").([]any)
		if image, ok := containers[0].(map[string]any)["image"].(string); !ok || image == "" {
			t.Errorf("a component without an image, and the report panics: %v", containers)
		}
	}
	harness.MustEventually(t, "a report without failures", func(context.Context) (bool, string) {
		failing, size := s.failing(t)
		return failing == "" && size > 0, fmt.Sprintf("%s; artifacts have %v bytes", failing, size)
	})
}

// failing are the objects that the report counts as failing, and how large all artifacts are.
func (s *story) failing(t *testing.T) (names string, size float64) {
	t.Helper()
	for _, crd := range s.list(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"+partOf) {
		stored, _ := field(crd, "status", "storedVersions").([]any)
		if len(stored) == 0 {
			t.Fatalf("%s has no stored version, and there is no report", text(crd, "metadata", "name"))
		}
		path := fmt.Sprintf("/apis/%s/%v/%s", text(crd, "spec", "group"), stored[len(stored)-1], text(crd, "spec", "names", "plural"))
		for _, o := range s.list(t, path) {
			if text(o, "metadata", "namespace") != s.namespace {
				continue
			}
			if condition(o, "Ready", "status") == "False" && condition(o, "Ready", "reason") != "DependencyNotReady" {
				names += text(crd, "spec", "names", "kind") + ": " + condition(o, "Ready", "message") + "; "
			}
			bytes, _ := field(o, "status", "artifact", "size").(float64)
			size += bytes
		}
	}
	return names, size
}
