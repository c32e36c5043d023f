// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"slices"
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
	"source.extensions.fluxcd.io/v1beta1": {"ArtifactGenerator": "artifactgenerators"},
	"kustomize.toolkit.fluxcd.io/v1":      {"Kustomization": "kustomizations"},
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
	root := newRoot("sluice")
	for _, path := range [][]string{{"canary", "get"}, {"pipeline", "get"}} {
		cmd, _, err := root.Find(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(cmd.CommandPath(), func(t *testing.T) { checkFormats(t, server, cmd) })
	}
	get, _, err := root.Find([]string{"get"})
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
	always := append(strings.Fields(cmd.CommandPath())[1:], "--server", server)
	if cmd.Flags().Lookup("all-namespaces") != nil {
		always = append(always, "-A")
	}
	run := func(format string) string {
		args := slices.Clone(always)
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
	checkWatch(t, always, len(names))
}

// checkWatch demands a line of each object from a command that goes on.
func checkWatch(t *testing.T, args []string, objects int) {
	t.Helper()
	for _, format := range []string{"", "wide", "json"} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &printed{enough: objects, done: cancel}
		cmd := newRoot("sluice")
		cmd.SetArgs(append(slices.Clone(args), "--watch", "--output="+format))
		cmd.SetOut(out)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Errorf("--watch -o %q: %v", format, err)
		}
		for _, line := range lines(out.String()) {
			var object map[string]any
			if err := json.Unmarshal([]byte(line), &object); format == "json" && (err != nil || len(object) == 0) {
				t.Errorf("--watch -o json prints %q: %v", line, err)
			}
			if !strings.Contains(line, "app") {
				t.Errorf("--watch -o %q prints %q", format, line)
			}
		}
	}
	for _, format := range []string{"yaml", "name"} {
		r := command.Run(t, newRoot("sluice"), "", append(slices.Clone(args), "--watch", "-o", format)...)
		if r.Err == nil || !strings.Contains(r.Err.Error(), "there is no end to what is followed; use json") {
			t.Errorf("--watch -o %s: %v", format, r.Err)
		}
	}
}

// printed is what a command prints, which ends when that is enough lines.
type printed struct {
	bytes.Buffer
	enough int
	done   func()
}

func (p *printed) Write(text []byte) (int, error) {
	n, err := p.Buffer.Write(text)
	if bytes.Count(p.Bytes(), []byte("\n")) >= p.enough {
		p.done()
	}
	return n, err
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
