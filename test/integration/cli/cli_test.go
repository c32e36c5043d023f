// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
)

func TestExplainPolicyOfACluster(t *testing.T) {
	f := newFixture(t)
	out, _ := f.succeed("explain", "policy", "app")
	want := [][]string{
		{"TAG", "RANK", "DROPPED", "BY", "WHY"},
		{"1.1.0", "1", "-", "too", "young"},
		{"1.0.0", "2", "-", "chosen"},
		{"latest", "-", "policy", "not", "a", "semantic", "version"},
	}
	if diff := cmp.Diff(want, words(out)); diff != "" {
		t.Error(diff)
	}

	out, errs := f.succeed("explain", "policy", "app", "--alphabetical", "-o", "json")
	var got struct {
		Image, Rule string
		Tags        []struct{ Tag string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Image != f.host+"/app" || got.Rule != "alphabetical asc" ||
		got.Tags[0].Tag != "latest" {
		t.Errorf("%v: %s", err, out)
	}
	if !strings.Contains(errs, "trying alphabetical asc; nothing is saved") {
		t.Errorf("standard error: %s", errs)
	}
	var p imagev1.ImagePolicy
	f.must(f.Client.Get(t.Context(), client.ObjectKey{Namespace: f.ns, Name: "app"}, &p))
	if p.Spec.Policy.SemVer == nil {
		t.Error("the draft was saved")
	}
}

func TestExplainAutomationOfACluster(t *testing.T) {
	f := newFixture(t)
	out, errs := f.succeed("explain", "automation", "fleet")
	want := [][]string{
		{"WHERE", "MARKER", "CURRENT", "WANTED", "STATE", "WHY"},
		{"fleet/a.yaml:1", f.ns + ":app", f.host + "/app:0.9.0", f.host + "/app:1.0.0", "outdated", "-"},
		append([]string{"fleet/a.yaml:2", f.ns + ":other", "other:1", "other:2", "held"}, strings.Fields(
			"commit '"+heldBy[:7]+"' reverted the update of policy 'other' to 'other:2': it is not written again until the policy chooses "+
				"another image, or `sluice release automation fleet -n "+f.ns+"`")...),
		{"fleet/a.yaml:3", "-", "x:1", "-", "skipped", "the", "marker", "is", "not", "JSON:", "it", "must", "use", "double", "quotes"},
	}
	if diff := cmp.Diff(want, words(out)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(errs, "3 markers at main@sha1:") {
		t.Errorf("standard error: %s", errs)
	}

	dir := t.TempDir()
	f.must(os.Mkdir(filepath.Join(dir, "fleet"), 0o755))
	f.must(os.WriteFile(filepath.Join(dir, "fleet/x.yaml"), []byte("tag: 1.0.0 # {\"$imagepolicy\": \""+f.ns+":app:tag\"}\n"), 0o600))
	out, _ = f.succeed("explain", "automation", "fleet", "--dir", dir, "-o", "json")
	var got struct {
		Markers []struct{ File, State string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Markers) != 1 || got.Markers[0].State != "current" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestExplainAutomationSaysWhichStageWritesAMarker(t *testing.T) {
	f := newFixture(t)
	f.must(f.Client.Create(t.Context(), &sluicev1.Pipeline{ObjectMeta: f.named("shop"), Spec: sluicev1.PipelineSpec{
		Artifacts: []sluicev1.Artifact{{Name: "app", ImagePolicyRef: &meta.LocalObjectReference{Name: "app"}}},
		SourceRef: &imagev1.CrossNamespaceSourceReference{Kind: "GitRepository", Name: "app"},
		Stages:    []sluicev1.Stage{{Name: "prod", Write: sluicev1.Write{Commit: &sluicev1.WriteCommit{}, Path: "fleet"}}},
	}}))

	out, _ := f.succeed("explain", "automation", "fleet")

	want := append([]string{"fleet/a.yaml:1", f.ns + ":app", f.host + "/app:0.9.0", "-", "skipped"},
		strings.Fields("a Pipeline writes it: stage prod of Pipeline "+f.ns+"/shop")...)
	if diff := cmp.Diff(want, words(out)[1]); diff != "" {
		t.Error(diff)
	}
}

func TestWhoMayNotReadSecretsIsToldWhatToDo(t *testing.T) {
	f := newFixture(t)
	as := []string{"--as", f.viewer()}
	for what, tc := range map[string]struct{ args, want string }{
		"tags":  {"explain policy app", "give the tags yourself, one a line, with --tags FILE"},
		"files": {"explain automation fleet", "use a local checkout with --dir PATH"},
	} {
		_, errs, err := f.sluice(append(strings.Fields(tc.args), as...)...)
		if err == nil || !strings.Contains(errs, tc.want) {
			t.Errorf("%s: %v: %s", what, err, errs)
		}
	}
	list := filepath.Join(t.TempDir(), "tags")
	f.must(os.WriteFile(list, []byte("1.0.0\n1.2.0\n"), 0o600))
	out, _ := f.succeed(append([]string{"explain", "policy", "app", "--tags", list}, as...)...)
	if lines := words(out); len(lines) != 3 || lines[1][0] != "1.2.0" {
		t.Errorf("got %s", out)
	}
}

func TestGetShowsTheWayFromTagToCommit(t *testing.T) {
	f := newFixture(t)
	out, _ := f.succeed("get", "images")
	want := [][]string{
		{"POLICY", "IMAGE", "TAGS", "BEST", "CHOSEN", "WRITTEN", "COMMIT", "READY"},
		{"app", f.host + "/app", "3", "1.1.0", "1.0.0", "1.0.0", "0123456", "True"},
		{"other", f.host + "/app", "3", "1.1.0", "2", "-", "-", "True"},
	}
	if diff := cmp.Diff(want, withoutMessages(t, out)); diff != "" {
		t.Error(diff)
	}
	out, _ = f.succeed("get", "automations")
	want = [][]string{
		{"NAME", "MARKERS", "CURRENT", "HELD", "SKIPPED", "COMMIT", "READY", "SUSPENDED"},
		{"fleet", "3", "1", "1", "1", "0123456", "Unknown", "false"},
	}
	if diff := cmp.Diff(want, withoutMessages(t, out)); diff != "" {
		t.Error(diff)
	}
	for _, kind := range []string{"images", "automations"} {
		out, _ = f.succeed("get", kind, "-A", "-o", "json")
		var got struct{ Items []struct{ Namespace string } }
		if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Items) == 0 || got.Items[0].Namespace == "" {
			t.Errorf("%s: %v: %s", kind, err, out)
		}
	}
}

// withoutMessages are the words of a table whose last column is the message of Ready, which
// has any number of them.
func withoutMessages(t *testing.T, table string) [][]string {
	t.Helper()
	rows := words(table)
	columns := len(rows[0]) - 1
	if rows[0][columns] != "MESSAGE" {
		t.Errorf("no messages: %s", table)
	}
	for i, row := range rows {
		if len(row) <= columns {
			t.Fatalf("no message in %q", row)
		}
		rows[i] = row[:columns]
	}
	return rows
}

func TestResumeReleasesWhatIsHeld(t *testing.T) {
	f := newFixture(t)
	var before, after imagev1.ImageUpdateAutomation
	key := client.ObjectKey{Namespace: f.ns, Name: "fleet"}
	_, errs := f.succeed("release", "automation", "fleet")
	f.must(f.Client.Get(t.Context(), key, &before))
	f.succeed("release", "automation", "fleet")
	f.must(f.Client.Get(t.Context(), key, &after))
	first, second := before.Annotations[imagev1.ResumeAnnotation], after.Annotations[imagev1.ResumeAnnotation]
	if first == "" || first == second {
		t.Errorf("annotated %q, then %q", first, second)
	}
	if !strings.Contains(errs, "released other:2 of policy other") {
		t.Errorf("standard error: %s", errs)
	}
}

func TestNamesAreCompletedAndMissingOnesExplained(t *testing.T) {
	f := newFixture(t)
	for args, want := range map[string]string{"explain policy": "app", "explain automation": "fleet", "release automation": "fleet"} {
		complete := append([]string{"__complete", "--kubeconfig", f.Kubeconfig, "-n", f.ns}, strings.Fields(args)...)
		out, _, err := f.raw(append(complete, "")...)
		if err != nil || !strings.HasPrefix(out, want+"\n") {
			t.Errorf("%s: %v: %s", args, err, out)
		}
	}
	_, errs, err := f.sluice("explain", "policy", "nobody")
	if err == nil || !strings.Contains(errs, "there is no ImagePolicy nobody in namespace "+f.ns) {
		t.Errorf("%v: %s", err, errs)
	}
}
