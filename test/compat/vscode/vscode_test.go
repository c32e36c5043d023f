// SPDX-License-Identifier: Apache-2.0

package vscode

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// deployment is what the Kustomization applies.
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: podinfo}
spec:
  selector: {matchLabels: {app: podinfo}}
  template:
    metadata: {labels: {app: podinfo}}
    spec: {containers: [{name: podinfo, image: example.com/podinfo:1.0.0}]}
`

// extension is somebody who works with it in a namespace.
type extension struct {
	*shell
	namespace string
	// context is the one that was current when the extension started.
	context string
}

// TestTheVSCodeExtension goes through all that the extension runs, in the order in which people come across it.
func TestTheVSCodeExtension(t *testing.T) {
	p := harness.Installed(t)
	if err := p.InstallDefault(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := &extension{shell: newShell(t, p)}
	controller, err := p.StartController(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(controller.Stop)
	e.namespace = p.NewNamespace(t, "vscode-", nil)
	repo, err := p.NewRepo(t.Context(), e.namespace, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(repo.Bare) })
	if _, err := repo.Commit(t.Context(), "A commit", map[string][]byte{"deploy/podinfo.yaml": []byte(deployment)}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		does string
		test func(*testing.T)
	}{
		{"it finds its programs when it starts", e.starts},
		{"its clusters are the contexts of the kubeconfig", e.clusters},
		{"its clusters have controllers that are ready", e.controllers},
		{"its wizard shows what it is about to create", e.exports},
		{"its wizard creates sources and Kustomizations", e.creates},
		{"its trees list all kinds that are served, and swallow those that are not", e.trees},
		{"its workloads have what they applied", e.children},
		{"its menu traces an object to its source", e.traces},
		{"its menu suspends, resumes and reconciles", e.acts},
		{"its menu deletes", e.deletes},
	} {
		if !t.Run(part.does, part.test) {
			t.Fatalf("the rest builds on it; the controller said:\n%s", controller.Tail(3000))
		}
	}
}

func (e *extension) starts(t *testing.T) {
	e.works(t, "git --version")
	var version struct {
		Flux string `json:"flux"`
	}
	if e.read(t, &version, "flux version --client -o json"); !strings.HasPrefix(version.Flux, "v2.") {
		t.Errorf("flux %q", version.Flux)
	}
	e.works(t, "flux check --pre")
}

// cluster is one of a kubeconfig.
type cluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server string `json:"server"`
	} `json:"cluster"`
}

// kubeconfig is what the extension reads of kubectl config view.
type kubeconfig struct {
	Clusters []cluster `json:"clusters"`
	Contexts []struct {
		Name    string `json:"name"`
		Context struct {
			Cluster string `json:"cluster"`
		} `json:"context"`
	} `json:"contexts"`
}

func (e *extension) clusters(t *testing.T) {
	e.context = strings.TrimSpace(e.works(t, "kubectl config current-context").out)
	var config kubeconfig
	e.read(t, &config, "kubectl config view -o json")
	var names []string
	for _, c := range config.Contexts {
		names = append(names, c.Name)
		of := slices.IndexFunc(config.Clusters, func(of cluster) bool { return of.Name == c.Context.Cluster })
		if of < 0 || config.Clusters[of].Cluster.Server == "" {
			t.Errorf("context %s has no cluster", c.Name)
		}
	}
	if !slices.Contains(names, e.context) || !slices.Contains(names, second) {
		t.Errorf("contexts %q", names)
	}
	if said := e.works(t, "kubectl config use-context "+second); said.err != "" { // which it takes for an error
		t.Errorf("use-context says %q", said.err)
	}

	// Whose cluster it is: Azure Arc has a ConfigMap, and AKS the addresses of its nodes.
	arc := "kubectl get configmaps azure-clusterconfig -n azure-arc --context=" + second + " --ignore-not-found -o json"
	if said := e.works(t, arc); said.out != "" {
		t.Errorf("the cluster counts as one of Azure Arc: %s", said.out)
	}
	var nodes struct {
		Items []struct {
			Spec struct {
				ProviderID string `json:"providerID"`
			} `json:"spec"`
		} `json:"items"`
	}
	e.read(t, &nodes, "kubectl get nodes --context="+second+" -o json")
	if len(nodes.Items) == 0 || strings.HasPrefix(nodes.Items[0].Spec.ProviderID, "azure:///") {
		t.Errorf("nodes %+v", nodes.Items)
	}
}

// checked is a line of flux check: what it is about, and whether that is well.
type checked struct {
	name, status string
	success      bool
}

// check reads what flux check says, as the extension does, which looks for the lines between others.
func (e *extension) check(t *testing.T) (prerequisites, controllers []checked) {
	t.Helper()
	stage := ""
	for _, line := range strings.Split(e.works(t, "flux check --context "+second).err, "\n") {
		success := strings.HasPrefix(line, "✔")
		_, words, _ := strings.Cut(line, " ")
		switch {
		case line == "":
		case line == "► checking prerequisites", line == "► checking controllers":
			stage = strings.TrimPrefix(line, "► checking ")
		case line == "✔ all checks passed", line == "► checking crds":
			stage = ""
		case stage == "prerequisites":
			prerequisites = append(prerequisites, checked{name: words, success: success})
		case stage == "controllers" && !strings.HasPrefix(line, "►"):
			name, rest, _ := strings.Cut(words, ":")
			parts := strings.Split(rest, "deployment")
			controllers = append(controllers, checked{name: name, status: strings.TrimSpace(parts[len(parts)-1]), success: success})
		}
	}
	return prerequisites, controllers
}

// controllers compares the Deployments, which are its children of a cluster, with what flux check says of them.
func (e *extension) controllers(t *testing.T) {
	var deployments listed
	e.read(t, &deployments, "kubectl get deployment --namespace=flux-system --context "+second+" -o json")
	if len(deployments.Items) == 0 {
		t.Fatal("GitOps would count as not enabled")
	}
	if _, err := harness.Eventually(t.Context(), "the controllers being ready", harness.Patience, func(context.Context) (bool, string) {
		said := e.exec(t, "flux check --context "+second)
		return said.code == 0, said.err
	}); err != nil {
		t.Fatal(err)
	}
	prerequisites, controllers := e.check(t)
	if !slices.ContainsFunc(prerequisites, func(c checked) bool { return strings.HasPrefix(c.name, "Kubernetes 1.") && c.success }) {
		t.Errorf("prerequisites %+v", prerequisites)
	}
	for _, d := range deployments.Items {
		if !slices.Contains(controllers, checked{name: d.Metadata.Name, status: "ready", success: true}) {
			t.Errorf("%s is not ready: %+v", d.Metadata.Name, controllers)
		}
		var pods listed
		e.read(t, &pods, "kubectl get pod -l app="+d.Metadata.Name+" --namespace=flux-system -o json")
		if len(pods.Items) == 0 {
			t.Errorf("Show Logs of %s finds no pod", d.Metadata.Name)
		}
	}
}

// git are the arguments with which the wizard creates a GitRepository of somebody's credentials.
func (e *extension) git() string {
	return "flux create source git repo --timeout=5s --namespace=" + e.namespace + " --url=" + e.GitURL + "/" + e.namespace + ".git" +
		" --branch=main --interval=1h --username=" + e.GitUsername + " --password=" + e.GitPassword
}

func (e *extension) oci() string {
	return "flux create source oci bundle --timeout=5s --namespace=" + e.namespace +
		" --url=oci://" + e.Registry + "/" + e.namespace + "/bundle" +
		" --tag=v1 --interval=1h --insecure"
}

func (e *extension) kustomization() string {
	return "flux create kustomization podinfo --timeout=5s --namespace=" + e.namespace + " --source=GitRepository/repo" +
		" --path=./deploy --interval=1h --target-namespace=" + e.namespace + " --prune"
}

// exports reads the manifests that the wizard shows before it creates anything: they have to be what the API server takes.
func (e *extension) exports(t *testing.T) {
	in := " --timeout=5s --namespace=" + e.namespace
	for line, want := range map[string]string{
		e.git():           "GitRepository",
		e.oci():           "OCIRepository",
		e.kustomization(): "Kustomization",
		"flux create source bucket files" + in + " --bucket-name=files --endpoint=s3.example.com --interval=1h --insecure": "Bucket",
	} {
		manifests, err := harness.Objects([]byte(e.works(t, line+" --export").out))
		if err != nil || len(manifests) == 0 {
			t.Errorf("%s shows %v, %v", line, manifests, err)
			continue
		}
		last := manifests[len(manifests)-1] // a Secret may come before it
		if last.GetKind() != want || last.GetNamespace() != e.namespace {
			t.Errorf("%s shows %s %s/%s", line, last.GetKind(), last.GetNamespace(), last.GetName())
		}
		if err := e.Client.Create(t.Context(), last, client.DryRunAll); err != nil {
			t.Errorf("what %s shows is not accepted: %v", line, err)
		}
	}
}

// creates has the wizard create what it showed. It waits for five seconds at most: on a slow machine it tells of a timeout,
// and the objects are there all the same.
func (e *extension) creates(t *testing.T) {
	bundle, err := harness.Manifests("settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bundled}\n", "main@sha1:0a1b2c3d")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Push(t.Context(), e.namespace+"/bundle", "v1", bundle); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ line, object, want string }{
		{e.git(), "GitRepository/repo", "main:"}, {e.oci(), "OciRepository/bundle", "v1:"}, {e.kustomization(), "Kustomization/podinfo", "main:"},
	} {
		said := e.exec(t, step.line)
		if said.code != 0 && !strings.Contains(said.err, "deadline exceeded") {
			t.Fatalf("%s: %s", step.line, said.err)
		}
		e.shows(t, step.object, step.want)
	}
}

// shows waits until the tree shows something beside the name of an object.
func (e *extension) shows(t *testing.T, object, want string) {
	t.Helper()
	if _, err := harness.Eventually(t.Context(), object+" showing "+want, harness.Patience, func(context.Context) (bool, string) {
		var got viewed
		e.read(t, &got, "kubectl get "+object+" --namespace="+e.namespace+" -o json")
		return got.APIVersion != "" && got.Status != nil && strings.HasPrefix(got.description(), want), got.description()
	}); err != nil {
		t.Fatal(err)
	}
}

// listed is what the extension reads of a list.
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

// algorithm is what the extension leaves out of a revision.
var algorithm = regexp.MustCompile(`@(sha1|sha256|sha384|sha512|blake3):`)

// description is the text beside the name in a tree.
func (v viewed) description() string {
	var words []string
	if v.Spec.Suspend {
		words = append(words, "⏸")
	}
	revision := v.Status.Artifact.Revision
	if v.Kind == "Kustomization" {
		revision = v.Status.LastAppliedRevision
	}
	if branch, hash, found := strings.Cut(algorithm.ReplaceAllString(revision, "/"), "/"); found {
		words = append(words, branch+":"+hash[:min(7, len(hash))])
	}
	for _, c := range v.Status.Conditions {
		if c.Type == "Ready" && c.Status != "True" {
			words = append(words, c.Reason)
		}
	}
	return strings.Join(words, " ")
}

func (e *extension) trees(t *testing.T) {
	mine := map[string]string{}
	for _, kind := range []string{
		"GitRepository", "OciRepository", "HelmRepository", "Bucket", "Kustomization", "helmreleases.helm.toolkit.fluxcd.io", "gitopstemplates",
	} {
		said := e.exec(t, "kubectl get "+kind+" -A -o json")
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
			} else if object.Metadata.Namespace == e.namespace {
				mine[object.Kind+"/"+object.Metadata.Name] = object.description()
			}
		}
	}
	for object, want := range map[string]string{
		"GitRepository/repo": "main:", "OCIRepository/bundle": "v1:", "Kustomization/podinfo": "main:",
	} {
		if !strings.HasPrefix(mine[object], want) {
			t.Errorf("%s shows %q, want %s", object, mine[object], want)
		}
	}
	var namespaces listed
	e.read(t, &namespaces, "kubectl get ns -o json")
	if !slices.ContainsFunc(namespaces.Items, func(v viewed) bool { return v.Metadata.Name == e.namespace }) {
		t.Error("the namespace is not listed")
	}
}

// tree is what the extension reads of flux tree.
type tree struct {
	Resource struct {
		Namespace, Name string
		GroupKind       struct{ Group, Kind string }
	} `json:"resource"`
	Resources []tree `json:"resources"`
}

// children reads the tree of a Kustomization, and what carries the label of one, by all kinds that can be listed. The
// children of a HelmRelease are found by a label of Helm's, which nothing has.
func (e *extension) children(t *testing.T) {
	var found tree
	e.read(t, &found, "flux tree kustomization podinfo -n "+e.namespace+" -o json")
	if !slices.ContainsFunc(found.Resources, func(r tree) bool {
		is := r.Resource
		return is.Namespace == e.namespace && is.Name == "podinfo" && is.GroupKind.Group == "apps" && is.GroupKind.Kind == "Deployment"
	}) {
		t.Errorf("the Deployment is not in %+v", found)
	}
	kinds := strings.Fields(e.works(t, "kubectl api-resources --verbs=list -o name").out)
	if !slices.Contains(kinds, "kustomizations.kustomize.toolkit.fluxcd.io") {
		t.Errorf("kinds: %s", kinds)
	}
	for workload, want := range map[string]int{"kustomize": 1, "helm": 0} {
		var labelled listed
		e.read(t, &labelled, "kubectl get "+strings.Join(kinds, ",")+" -l "+workload+".toolkit.fluxcd.io/name=podinfo -n "+e.namespace+" -o json")
		deployments := slices.DeleteFunc(labelled.Items, func(v viewed) bool { return v.Kind != "Deployment" })
		if len(deployments) != want {
			t.Errorf("children by the label of %s: %+v", workload, labelled.Items)
		}
	}
}

// traces asks for the version of the object's API first, as the extension does.
func (e *extension) traces(t *testing.T) {
	var of viewed
	e.read(t, &of, "kubectl get Deployment/podinfo --namespace="+e.namespace+" -o json")
	text := e.works(t, "flux trace podinfo --kind=Deployment --api-version="+of.APIVersion+" --namespace="+e.namespace).out
	for _, want := range []string{"Kustomization: podinfo", "GitRepository: repo", "Revision: main@sha1:"} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

func (e *extension) acts(t *testing.T) {
	for _, of := range []struct{ workload, object, shows string }{
		{"source git repo", "GitRepository/repo", "main:"}, {"source oci bundle", "OciRepository/bundle", "v1:"},
		{"kustomization podinfo", "Kustomization/podinfo", "main:"},
	} {
		for _, act := range []struct{ verb, marked string }{{"suspend", "⏸ "}, {"resume", ""}, {"reconcile", ""}} {
			e.works(t, "flux "+act.verb+" "+of.workload+" -n "+e.namespace)
			e.shows(t, of.object, act.marked+of.shows)
		}
	}
}

func (e *extension) deletes(t *testing.T) {
	for _, workload := range []string{"kustomization podinfo", "source git repo", "source oci bundle"} {
		e.works(t, "flux delete "+workload+" -n "+e.namespace+" --silent")
	}
	if _, err := harness.Eventually(t.Context(), "nothing being left", harness.Patience, func(context.Context) (bool, string) {
		var left listed
		e.read(t, &left, "kubectl get GitRepository,OciRepository,Kustomization,Deployment --namespace="+e.namespace+" -o json")
		return len(left.Items) == 0, ""
	}); err != nil {
		t.Error(err)
	}
}
