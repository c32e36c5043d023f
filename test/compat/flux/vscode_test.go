// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/harness"
)

// listed is what the GitOps Tools extension of VS Code reads of an answer of kubectl.
type listed struct {
	Items []viewed `json:"items"`
}

// viewed is an object as its trees show it. Without a status the extension throws, and the tree is empty.
type viewed struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Spec struct {
		Suspend bool `json:"suspend"`
	} `json:"spec"`
	Status *struct {
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
			Reason string `json:"reason"`
		} `json:"conditions"`
		Artifact struct {
			Revision string `json:"revision"`
		} `json:"artifact"`
		LastAppliedRevision string `json:"lastAppliedRevision"`
	} `json:"status"`
}

// revision is what the extension shortens: a branch and a commit, or a tag and a digest.
var revision = regexp.MustCompile(`^(.+)@(sha1|sha256):([0-9a-f]{7})[0-9a-f]+$`)

// description is the text beside the name in a tree.
func (v viewed) description() string {
	var words []string
	if v.Spec.Suspend {
		words = append(words, "⏸")
	}
	of := v.Status.Artifact.Revision
	if v.Kind == "Kustomization" {
		of = v.Status.LastAppliedRevision
	}
	if parts := revision.FindStringSubmatch(of); parts != nil {
		words = append(words, parts[1]+"@"+parts[2]+":"+parts[3])
	}
	for _, c := range v.Status.Conditions {
		if c.Type == "Ready" && c.Status != "True" {
			words = append(words, c.Reason)
		}
	}
	return strings.Join(words, " ")
}

// TestTheVSCodeExtension replays the shell calls of the GitOps Tools extension, and reads the answers as it does.
func TestTheVSCodeExtension(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-vscode")
	s.clone(t)
	s.tell(t, append(source(), step{
		does: "a kustomization",
		run:  "create kustomization podinfo --source=GitRepository/repo --path=./deploy --prune=true --interval=1h --target-namespace={ns}",
	}))
	t.Run("its trees list all kinds that are served, and swallow those that are not", s.trees)
	t.Run("its clusters have controllers that are ready", s.controllers)
	t.Run("its workloads have what they applied", s.children)
	for _, act := range []struct{ command, object, want string }{
		{"suspend source git repo", "GitRepository/repo", "⏸ main@sha1:"},
		{"resume source git repo", "GitRepository/repo", "main@sha1:"},
		{"reconcile source git repo", "GitRepository/repo", "main@sha1:"},
		{"suspend kustomization podinfo", "Kustomization/podinfo", "⏸ main@sha1:"},
		{"resume kustomization podinfo", "Kustomization/podinfo", "main@sha1:"},
		{"reconcile kustomization podinfo", "Kustomization/podinfo", "main@sha1:"},
	} {
		s.tell(t, []step{{does: "its menu: " + act.command, run: act.command}})
		var got viewed
		s.read(t, &got, "get "+act.object+" --namespace="+s.namespace+" -o json")
		if got.APIVersion == "" || got.Status == nil || !strings.HasPrefix(got.description(), act.want) {
			t.Errorf("after %s it shows %+v, want %s", act.command, got, act.want)
		}
	}
	s.tell(t, []step{{does: "its menu: delete", run: "delete kustomization podinfo --silent"}})
}

// read decodes what kubectl prints.
func (s *story) read(t *testing.T, into any, command string) {
	t.Helper()
	said := s.command(t, harness.Patience, s.Kubectl, strings.Fields(command)...)
	if said.code != 0 {
		t.Fatalf("kubectl %s: exit code %d\n%s", command, said.code, said.err)
	}
	if err := json.Unmarshal([]byte(said.out), into); err != nil {
		t.Fatalf("kubectl %s: %v", command, err)
	}
}

func (s *story) trees(t *testing.T) {
	mine := map[string]string{}
	for _, kind := range []string{
		"GitRepository", "OciRepository", "HelmRepository", "Bucket", "Kustomization", "helmreleases.helm.toolkit.fluxcd.io",
	} {
		said := s.command(t, harness.Patience, s.Kubectl, "get", kind, "-A", "-o", "json")
		if said.code != 0 {
			if !strings.Contains(said.err, "the server doesn't have a resource type") {
				t.Errorf("%s: %s", kind, said.err)
			}
			continue
		}
		var found listed
		if err := json.Unmarshal([]byte(said.out), &found); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		for _, object := range found.Items {
			if object.Status == nil {
				t.Errorf("%s %s has no status: the extension would show none of them", object.Kind, object.Metadata.Name)
			} else if object.Metadata.Namespace == s.namespace {
				mine[object.Kind+"/"+object.Metadata.Name] = object.description()
			}
		}
	}
	for _, object := range []string{"GitRepository/repo", "Kustomization/podinfo"} {
		if !strings.HasPrefix(mine[object], "main@sha1:") {
			t.Errorf("%s shows %q", object, mine[object])
		}
	}
	var namespaces listed
	s.read(t, &namespaces, "get ns -o json")
	if !slices.ContainsFunc(namespaces.Items, func(v viewed) bool { return v.Metadata.Name == s.namespace }) {
		t.Error("the namespace is not listed")
	}
	served := s.kubectl(t, "api-resources --verbs=list -o name")
	if !strings.Contains(served, "kustomizations.kustomize.toolkit.fluxcd.io") {
		t.Errorf("kinds: %s", served)
	}
}

// ready is a line of flux check about a controller.
var ready = regexp.MustCompile(`^✔ (\S+): deployment ready$`)

// controllers reads what flux check prints between two lines, which has to name each Deployment.
func (s *story) controllers(t *testing.T) {
	var deployments listed
	s.read(t, &deployments, "get deployment --namespace=flux-system -o json")
	if len(deployments.Items) == 0 {
		t.Fatal("GitOps would count as not enabled")
	}
	said := s.command(t, harness.Patience, s.cli, "check")
	_, rest, _ := strings.Cut(said.err, "► checking controllers\n")
	about, _, found := strings.Cut(rest, "► checking crds")
	if said.code != 0 || !found {
		t.Fatalf("flux check: exit code %d\n%s", said.code, said.err)
	}
	var names []string
	for line := range strings.Lines(about) {
		if parts := ready.FindStringSubmatch(strings.TrimSpace(line)); parts != nil {
			names = append(names, parts[1])
		}
	}
	for _, d := range deployments.Items {
		if !slices.Contains(names, d.Metadata.Name) {
			t.Errorf("%s is not ready: %q", d.Metadata.Name, about)
		}
		var pods listed
		s.read(t, &pods, "get pod --namespace=flux-system -l app="+d.Metadata.Name+" -o json")
		if len(pods.Items) == 0 {
			t.Errorf("Show Logs of %s finds no pod", d.Metadata.Name)
		}
	}
}

// children reads the tree of a Kustomization.
func (s *story) children(t *testing.T) {
	said := s.run(t, step{run: "tree kustomization podinfo -o json", within: harness.Patience})
	var tree struct {
		Resources []struct {
			Resource struct {
				Namespace, Name string
				GroupKind       struct{ Group, Kind string }
			} `json:"resource"`
		} `json:"resources"`
	}
	if err := json.Unmarshal([]byte(said.out), &tree); err != nil || said.code != 0 {
		t.Fatalf("exit code %d, %v: %s", said.code, err, said.err)
	}
	for _, r := range tree.Resources {
		is := r.Resource
		if is.Namespace == s.namespace && is.Name == "podinfo" && is.GroupKind.Group == "apps" && is.GroupKind.Kind == "Deployment" {
			return
		}
	}
	t.Errorf("the Deployment is not in %s", said.out)
}
