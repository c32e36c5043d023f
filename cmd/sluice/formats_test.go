// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/sluice-cd/sluice/test/command"
)

// servedKinds are all kinds that are listed, by group and version.
var servedKinds = map[string]map[string]string{
	"source.toolkit.fluxcd.io/v1": {
		"GitRepository": "gitrepositories", "OCIRepository": "ocirepositories", "Bucket": "buckets", "ExternalArtifact": "externalartifacts",
	},
	"kustomize.toolkit.fluxcd.io/v1": {"Kustomization": "kustomizations"},
	"image.toolkit.fluxcd.io/v1": {
		"ImageRepository": "imagerepositories", "ImagePolicy": "imagepolicies", "ImageUpdateAutomation": "imageupdateautomations",
	},
	"flagger.app/v1beta1":                    {"Canary": "canaries"},
	"sluice.dev/v1alpha1":                    {"Pipeline": "pipelines", "Freeze": "freezes"},
	"notification.toolkit.fluxcd.io/v1":      {"Receiver": "receivers"},
	"notification.toolkit.fluxcd.io/v1beta3": {"Alert": "alerts", "Provider": "providers"},
}

// everyKind is an API server with an object of each.
func everyKind(t *testing.T) string {
	t.Helper()
	objects, groups := map[string]any{}, []any{}
	versions := map[string][]any{}
	for gv, kinds := range servedKinds {
		group, version, _ := strings.Cut(gv, "/")
		for path, answer := range command.Group(group, version, kinds) {
			objects[path] = answer
		}
		versions[group] = append(versions[group], map[string]any{"groupVersion": gv, "version": version})
		for kind, resource := range kinds {
			item := map[string]any{
				"apiVersion": gv, "kind": kind, "metadata": map[string]any{"namespace": "apps", "name": "app", "resourceVersion": "1"},
				"spec": map[string]any{}, "status": map[string]any{"conditions": []any{map[string]any{
					"type": "Ready", "status": "True", "reason": "Succeeded", "message": "fine", "lastTransitionTime": "2026-01-01T00:00:00Z",
				}}},
			}
			objects["/apis/"+gv+"/"+resource] = listed(gv, kind, item)
		}
	}
	for group, of := range versions {
		described := map[string]any{"name": group, "versions": of, "preferredVersion": of[0]}
		groups, objects["/apis/"+group] = append(groups, described), described
	}
	objects["/apis"] = map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
	url, _ := command.APIServer(t, objects)
	return url
}

// TestEveryListingHasEveryFormat ranges over the commands of sluice get, those of Flux's
// spelling among them.
func TestEveryListingHasEveryFormat(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nonexistent")
	server := everyKind(t)
	get, _, err := newRoot("sluice").Find([]string{"get"})
	if err != nil {
		t.Fatal(err)
	}
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd != get {
			t.Run(cmd.CommandPath(), func(t *testing.T) { checkFormats(t, server, cmd) })
		}
		for _, child := range cmd.Commands() {
			check(child)
		}
	}
	check(get)
}

func checkFormats(t *testing.T, server string, cmd *cobra.Command) {
	t.Helper()
	for _, flag := range []string{"watch", "selector", "output"} {
		if cmd.Flags().Lookup(flag) == nil {
			t.Errorf("there is no --%s", flag)
		}
	}
	run := func(format string) string {
		args := append(strings.Fields(cmd.CommandPath())[1:], "--server", server)
		if cmd.Flags().Lookup("all-namespaces") != nil {
			args = append(args, "-A")
		}
		if format != "" {
			args = append(args, "-o", format)
		}
		return command.Must(t, newRoot("sluice"), "", args...).Out
	}
	var list struct {
		Items []map[string]any `json:"items"`
	}
	table, wide, names := lines(run("")), lines(run("wide")), lines(run("name"))
	for format, read := range map[string]func([]byte) error{
		"json": func(text []byte) error { return json.Unmarshal(text, &list) },
		"yaml": func(text []byte) error { return yaml.Unmarshal(text, &list) },
	} {
		list.Items = nil
		if err := read([]byte(run(format))); err != nil || len(list.Items) == 0 {
			t.Errorf("%s: %d items, %v", format, len(list.Items), err)
		}
	}
	if n := len(list.Items); len(table) != n+1 || len(wide) != n+1 || len(names) != n {
		t.Errorf("of %d objects there are %d lines, %d with wide and %d names", n, len(table), len(wide), len(names))
	}
	if len(strings.Fields(wide[0])) < len(strings.Fields(table[0])) {
		t.Errorf("wide has fewer columns: %s", wide[0])
	}
	for _, name := range names {
		if kind, rest, found := strings.Cut(name, "."); !found || kind == "" || !strings.HasSuffix(rest, "/app") {
			t.Errorf("-o name prints %q, want kind.group/app", name)
		}
	}
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
