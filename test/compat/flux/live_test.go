// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"bufio"
	"context"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/harness"
)

// TestWatching runs the commands that do not end by themselves: each has to
// print what happens while it runs.
func TestWatching(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-watch")
	s.push(t, "1.0.0")
	s.tell(t, []step{
		{does: "an image repository", run: "create image repository podinfo --image={image} --interval=1h"},
		{does: "an image policy", run: "create image policy podinfo --image-ref=podinfo --select-semver=1.x"},
	})
	tests := []struct{ run, first, tag, then string }{
		{run: "get image policy podinfo --watch", first: "1.0.0", tag: "1.1.0", then: "resolved to 1.1.0"},
		{run: "events --for ImagePolicy/podinfo --watch", first: "1.1.0", tag: "1.2.0", then: "resolved to 1.2.0"},
	}
	for _, tc := range tests {
		t.Run(tc.run, func(t *testing.T) {
			lines := s.watch(t, tc.run)
			await(t, lines, tc.first)
			s.push(t, tc.tag)
			s.tell(t, []step{{does: "scanning again", run: "reconcile image repository podinfo"}})
			await(t, lines, tc.then)
		})
	}
}

// watch starts a command that runs until the test ends, and returns its lines.
func (s *story) watch(t *testing.T, command string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, s.cli, s.args(command)...)
	cmd.Env = s.environment()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	return bufio.NewScanner(stdout)
}

// await reads until a line has the text; the command ends, and so does this,
// when [harness.Patience] does.
func await(t *testing.T, lines *bufio.Scanner, text string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return
		}
	}
	t.Fatalf("the command ended without a line that has %q", text)
}

// TestEventsNameFluxsControllers asks for what no command of the CLI prints, but
// dashboards and alerts select by: the source of an event.
func TestEventsNameFluxsControllers(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-events")
	s.clone(t)
	s.push(t, "1.0.0")
	s.tell(t, append(source(),
		step{does: "an image repository", run: "create image repository podinfo --image={image} --interval=1h"},
		step{does: "an image policy", run: "create image policy podinfo --image-ref=podinfo --select-semver=1.x"},
		step{
			does: "a kustomization",
			run:  "create kustomization podinfo --source=GitRepository/repo --path=./deploy --prune=true --interval=1h --target-namespace={ns}",
		},
	))
	want := map[string]string{
		"GitRepository": "source-controller", "Kustomization": "kustomize-controller",
		"ImageRepository": "image-reflector-controller", "ImagePolicy": "image-reflector-controller",
	}
	_, err := harness.Eventually(t.Context(), "an event of each kind", harness.Patience, func(ctx context.Context) (bool, string) {
		var events corev1.EventList
		if err := s.Client.List(ctx, &events, client.InNamespace(s.namespace)); err != nil {
			return false, err.Error()
		}
		got := map[string]string{}
		for _, event := range events.Items {
			if kind := event.InvolvedObject.Kind; want[kind] != "" {
				got[kind] = event.Source.Component
			}
		}
		diff := cmp.Diff(want, got)
		return diff == "", diff
	})
	if err != nil {
		t.Error(err)
	}
}
