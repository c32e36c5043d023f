// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/test/harness"
)

// headlamp reads as version 0.7.0 of the Flux plugin of Headlamp does.
func (s *story) headlamp(t *testing.T) {
	t.Run("it finds the installation by its definitions", s.headlampInstallation)
	t.Run("its tables", s.headlampTables)
	t.Run("its page of a Kustomization", s.headlampKustomization)
	t.Run("its pages of sources", s.headlampSources)
	t.Run("its pages of images", s.headlampImages)
	t.Run("its page of canaries", s.headlampCanaries)
	t.Run("its buttons", s.headlampButtons)
	t.Run("its map, and what it says is managed", s.headlampMap)
}

func (s *story) headlampInstallation(t *testing.T) {
	var found []string
	for _, crd := range s.list(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions") {
		name := text(crd, "metadata", "name")
		if name == "gitrepositories.source.toolkit.fluxcd.io" {
			labels, _ := field(crd, "metadata", "labels").(map[string]any)
			if labels["app.kubernetes.io/part-of"] != "flux" || labels["app.kubernetes.io/version"] == nil {
				t.Errorf("the version and the distribution are unknown: %v", labels)
			}
		}
		if name == "canaries.flagger.app" {
			found = append(found, name)
		}
		if !strings.Contains(name, "fluxcd.") {
			continue
		}
		found = append(found, name)
		conditions, _ := field(crd, "status", "conditions").([]any)
		if !slices.ContainsFunc(conditions, func(c any) bool { return c.(map[string]any)["status"] == "True" }) {
			t.Errorf("%s counts as not ready", name)
		}
		if stored, _ := field(crd, "status", "storedVersions").([]any); len(stored) == 0 {
			t.Errorf("%s has no stored versions, and the page throws", name)
		}
	}
	for _, needed := range []string{"canaries.flagger.app", "kustomizations.kustomize.toolkit.fluxcd.io"} {
		if !slices.Contains(found, needed) {
			t.Errorf("%s is not among %v", needed, found)
		}
	}
}

// headlampStatus is the text of the column Status.
func headlampStatus(o map[string]any) string {
	switch ready := condition(o, "Ready", "status"); {
	case ready == "":
		return "-"
	case field(o, "spec", "suspend") == true:
		return "Suspended"
	case ready == "Unknown":
		return "Reconciling…"
	case condition(o, "Ready", "reason") == "DependencyNotReady":
		return "Waiting"
	case ready == "True":
		return "Ready"
	}
	return "Failed"
}

// row is what a table shows of an object.
type row struct {
	kind, name string
	status     string
	// cells are other columns: the paths of their values, and patterns of those.
	cells map[string]string
}

// rows are the tables, each with the columns that it has of its own.
func rows() []row {
	return []row{
		{"Kustomization", "podinfo", "Ready", map[string]string{
			"spec.sourceRef.kind": "GitRepository", "spec.sourceRef.name": "repo", "status.lastAttemptedRevision": "main@sha1:[0-9a-f]{40}",
		}},
		{"GitRepository", "repo", "Ready", map[string]string{"spec.url": "http.*"}},
		{"OCIRepository", "bundle", "Ready", map[string]string{"spec.url": "oci://.*"}},
		{"ImageRepository", "podinfo", "Ready", map[string]string{
			"spec.image": ".+", "spec.interval": "1h", "status.lastScanResult.tagCount": "2",
		}},
		{"ImagePolicy", "podinfo", "Ready", map[string]string{"spec.policy.semver.range": "1.x"}},
		{"ImageUpdateAutomation", "podinfo", "Ready", map[string]string{
			"status.lastPushTime": "20.*Z", "spec.update.path": "./deploy", "spec.update.strategy": "Setters",
		}},
		{"Alert", "all", "", map[string]string{
			"spec.eventSeverity": "error", "spec.providerRef.name": "room", "spec.eventSources": ".*kind:Kustomization.*",
		}},
		{"Provider", "room", "", map[string]string{"spec.type": "generic", "spec.address": "http.*"}},
		{"Receiver", "push", "Ready", map[string]string{
			"spec.type": "generic", "spec.secretRef.name": "hook", "spec.interval": "10m", "spec.resources": ".*kind:ImageRepository.*",
		}},
	}
}

func (s *story) headlampTables(t *testing.T) {
	for _, want := range rows() {
		harness.MustEventually(t, "the row of "+want.kind, func(context.Context) (bool, string) {
			for _, o := range s.list(t, s.at(want.kind)) {
				if text(o, "metadata", "name") == want.name {
					wrong := want.judge(o)
					return wrong == "", wrong
				}
			}
			return false, "it is not listed"
		})
	}
	for _, kind := range []string{"HelmRelease", "HelmRepository", "HelmChart", "FluxReport"} {
		if status, _ := s.ask(t, http.MethodGet, s.at(kind), nil); status != http.StatusNotFound {
			t.Errorf("%s: %d, and it is said to be unsupported by 404 only", kind, status)
		}
	}
	for _, kind := range []string{"Bucket", "ExternalArtifact"} {
		s.list(t, s.at(kind))
	}
}

// judge returns what is wrong in the row of an object, or "".
func (r row) judge(o map[string]any) string {
	if got := headlampStatus(o); r.status != "" && got != r.status {
		return got + ": " + condition(o, "Ready", "message")
	}
	if r.status != "" && (condition(o, "Ready", "message") == "" || condition(o, "Ready", "lastTransitionTime") == "") {
		return "no message, or no time"
	}
	for path, want := range r.cells {
		if got := text(o, strings.Split(path, ".")...); !regexp.MustCompile("^" + want + "$").MatchString(got) {
			return path + " is " + got
		}
	}
	return ""
}

// headlampKustomization reads what throws if it is not there, the inventory, and the events.
func (s *story) headlampKustomization(t *testing.T) {
	k := s.fetch(t, s.at("Kustomization", "podinfo"))
	if _, ok := field(k, "spec", "force").(bool); !ok {
		t.Error("spec.force is not there, and the page throws")
	}
	if next := nextRun(k); next.Before(time.Now()) {
		t.Errorf("the next run is at %s", next)
	}
	entries, _ := field(k, "status", "inventory", "entries").([]any)
	var kinds []string
	for _, each := range entries {
		entry := each.(map[string]any)
		parts := strings.Split(entry["id"].(string), "_")
		group, kind, namespace, name := parts[2], parts[3], parts[0], parts[1]
		base := "/apis/" + group + "/"
		if group == "" {
			base = "/api/"
		}
		object := s.fetch(t, base+entry["v"].(string)+"/namespaces/"+namespace+"/"+plural(kind)+"/"+name)
		kinds = append(kinds, text(object, "kind"))
		labels, _ := field(object, "metadata", "labels").(map[string]any)
		if labels["kustomize.toolkit.fluxcd.io/name"] != "podinfo" {
			t.Errorf("%s does not count as managed by Flux: %v", kind, labels)
		}
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []string{"Canary", "ConfigMap", "Deployment", "MetricTemplate"}) {
		t.Errorf("the inventory is of %v", kinds)
	}
	s.headlampEvents(t, "Kustomization", "podinfo", "kustomize-controller")
}

// headlampEvents reads the table below each object.
func (s *story) headlampEvents(t *testing.T, kind, name, from string) {
	t.Helper()
	harness.MustEventually(t, "an event of "+kind, func(context.Context) (bool, string) {
		events := s.eventsOf(t, kind, name)
		for _, e := range events {
			for _, cell := range [][]string{{"type"}, {"reason"}, {"message"}, {"lastTimestamp"}, {"firstTimestamp"}} {
				if text(e, cell...) == "" {
					t.Errorf("an event of %s has no %v: %v", kind, cell, e)
				}
			}
			if got := text(e, "source", "component"); got != from {
				t.Errorf("an event of %s is from %s, want %s", kind, got, from)
			}
		}
		return len(events) > 0, "none"
	})
}

// nextRun is when the page says that an object is looked at again: the interval is counted from the last change of Ready.
func nextRun(o map[string]any) time.Time {
	var interval time.Duration
	for _, part := range regexp.MustCompile(`(\d+)([hms])`).FindAllStringSubmatch(text(o, "spec", "interval"), -1) {
		n, _ := strconv.Atoi(part[1])
		interval += time.Duration(n) * map[string]time.Duration{"h": time.Hour, "m": time.Minute, "s": time.Second}[part[2]]
	}
	last, err := time.Parse(time.RFC3339, condition(o, "Ready", "lastTransitionTime"))
	if err != nil || interval == 0 {
		return time.Time{}
	}
	return last.Add(time.Since(last).Truncate(interval)).Add(interval)
}

// plural is how the plugin makes the name of a resource of a kind.
func plural(kind string) string {
	kind = strings.ToLower(kind)
	switch {
	case regexp.MustCompile(`[sxz]$|[cs]h$`).MatchString(kind):
		return kind + "es"
	case regexp.MustCompile(`[^aeiou]y$`).MatchString(kind):
		return strings.TrimSuffix(kind, "y") + "ies"
	}
	return kind + "s"
}

func (s *story) headlampSources(t *testing.T) {
	for kind, name := range map[string]string{"GitRepository": "repo", "OCIRepository": "bundle"} {
		o := s.fetch(t, s.at(kind, name))
		for _, of := range []string{"digest", "lastUpdateTime", "path", "revision", "size", "url"} {
			if text(o, "status", "artifact", of) == "" {
				t.Errorf("the artifact of %s has no %s", kind, of)
			}
		}
		for _, of := range []string{"interval", "ref", "timeout", "url"} {
			if text(o, "spec", of) == "" {
				t.Errorf("%s has no %s", kind, of)
			}
		}
		if nextRun(o).IsZero() {
			t.Errorf("the next run of %s is unknown", kind)
		}
		s.headlampEvents(t, kind, name, "source-controller")
	}
}

func (s *story) headlampImages(t *testing.T) {
	repository := s.fetch(t, s.at("ImageRepository", "podinfo"))
	if tags, _ := field(repository, "status", "lastScanResult", "latestTags").([]any); len(tags) != 2 {
		t.Errorf("tags: %v", tags)
	}
	if text(repository, "status", "canonicalImageName") == "" || text(repository, "spec", "provider") == "" {
		t.Errorf("no canonical name, or no provider: %v", repository)
	}
	automation := s.fetch(t, s.at("ImageUpdateAutomation", "podinfo"))
	if got := text(automation, "status", "observedPolicies", "podinfo", "tag"); got != "1.1.0" {
		t.Errorf("the policy of the automation has tag %q", got)
	}
	if text(automation, "status", "observedPolicies", "podinfo", "name") == "" {
		t.Error("the policy of the automation has no image")
	}
	s.headlampEvents(t, "ImageRepository", "podinfo", "image-reflector-controller")
	s.headlampEvents(t, "ImagePolicy", "podinfo", "image-reflector-controller")
	s.headlampEvents(t, "ImageUpdateAutomation", "podinfo", "image-automation-controller")
}

func (s *story) headlampCanaries(t *testing.T) {
	canaries := s.list(t, "/apis/flagger.app/v1beta1/canaries")
	at := slices.IndexFunc(canaries, func(c map[string]any) bool { return text(c, "metadata", "namespace") == s.namespace })
	if at < 0 {
		t.Fatal("the Canary is not listed")
	}
	c := canaries[at]
	if got := text(c, "status", "phase"); got != "Succeeded" {
		t.Errorf("its status is %s", got)
	}
	if weight, ok := field(c, "status", "canaryWeight").(float64); !ok || weight != 0 {
		t.Errorf("its progress is %v of %v", field(c, "status", "canaryWeight"), field(c, "spec", "analysis", "maxWeight"))
	}
	for _, path := range []string{"spec.targetRef.kind", "spec.analysis.maxWeight", "spec.analysis.stepWeight",
		"spec.analysis.threshold", "spec.analysis.interval"} {
		if text(c, strings.Split(path, ".")...) == "" {
			t.Errorf("it has no %s", path)
		}
	}
	target := text(c, "spec", "targetRef", "name")
	harness.MustEventually(t, "the pods of the primary alone", func(context.Context) (bool, string) {
		pods := map[string]string{}
		for _, d := range s.list(t, "/apis/apps/v1/deployments") {
			if text(d, "metadata", "namespace") == s.namespace {
				pods[text(d, "metadata", "name")] = text(d, "status", "readyReplicas")
			}
		}
		return pods[target] == "" && pods[target+"-primary"] == "1", fmt.Sprint(pods)
	})
	s.headlampEvents(t, "Canary", "podinfo", "flagger")
}

func (s *story) headlampButtons(t *testing.T) {
	for kind, name := range map[string]string{
		"Kustomization": "podinfo", "GitRepository": "repo", "OCIRepository": "bundle",
		"ImageRepository": "podinfo", "ImageUpdateAutomation": "podinfo", "Receiver": "push",
	} {
		s.sync(t, kind, name)
		s.headlampSuspend(t, kind, name)
		if got := headlampStatus(s.fetch(t, s.at(kind, name))); got != "Suspended" {
			t.Errorf("%s shows %s while it is suspended", kind, got)
		}
		s.headlampResume(t, kind, name)
		s.sync(t, kind, name)
	}
	for kind, name := range map[string]string{"Canary": "podinfo", "Alert": "all", "Provider": "room"} {
		s.headlampSuspend(t, kind, name)
		s.headlampResume(t, kind, name)
	}
	for _, force := range []bool{true, false} {
		if got := field(s.patch(t, "Kustomization", "podinfo", spec("force", force)), "spec", "force"); got != force {
			t.Errorf("force is %v, want %t", got, force)
		}
	}
}

// spec is a patch of one field.
func spec(of string, value any) map[string]any {
	return map[string]any{"spec": map[string]any{of: value}}
}

func (s *story) headlampSuspend(t *testing.T, kind, name string) {
	t.Helper()
	if got := field(s.patch(t, kind, name, spec("suspend", true)), "spec", "suspend"); got != true {
		t.Errorf("suspend of %s is %v", kind, got)
	}
}

func (s *story) headlampResume(t *testing.T, kind, name string) {
	t.Helper()
	if got := field(s.patch(t, kind, name, spec("suspend", false)), "spec", "suspend"); got == true {
		t.Errorf("%s is still suspended", kind)
	}
}

// headlampMap looks for what edges of the map are drawn by.
func (s *story) headlampMap(t *testing.T) {
	d := s.fetch(t, s.at("Deployment", "podinfo"))
	labels, _ := field(d, "metadata", "labels").(map[string]any)
	if labels["kustomize.toolkit.fluxcd.io/name"] != "podinfo" || labels["kustomize.toolkit.fluxcd.io/namespace"] != s.namespace {
		t.Errorf("no edge leads from the Kustomization to its Deployment: %v", labels)
	}
	for _, d := range s.list(t, "/apis/apps/v1/namespaces/flux-system/deployments") {
		name := text(d, "metadata", "name")
		if strings.Contains(name, "controller") || strings.Contains(name, "watcher") {
			t.Errorf("docs/clients.md says that no Deployment is listed as a controller; %s is", name)
		}
	}
}
