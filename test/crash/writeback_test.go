// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/test/harness"
)

// writebackKills is how often the controller dies while it writes images. Its
// starts are what takes time: about half a second each.
const writebackKills = 200

// writebackDelay is the longest time from readiness to the next kill. Scan,
// choice, commit and push take about a tenth of a second together, after the
// caches have been filled.
const writebackDelay = 700 * time.Millisecond

// writebackCommits is how many commits must have been made in spite of it all,
// or the kills came too early to show anything.
const writebackCommits = 40

// apps each have a policy, an automation and a file, all on one branch.
var apps = []string{"east", "west"}

const writebackNamespace = "crash-writeback"

// TestImagesAreCommittedOnceEachWhateverIsKilled has two automations write to
// one branch while a person does too, and the controller dies all the time.
func TestImagesAreCommittedOnceEachWhateverIsKilled(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	t.Logf("-seed %d", chance())
	w := newWriteback(t, p)
	sluice, err := p.StartController(t.Context(), t.TempDir(), "--controllers", "image,source", "--watch-namespace", writebackNamespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sluice.Stop)
	random := rand.New(rand.NewPCG(chance(), 2))
	for kill := range writebackKills {
		switch random.IntN(3) {
		case 0, 1:
			w.push(t, apps[random.IntN(len(apps))])
		case 2:
			w.commit(t)
		}
		<-time.After(time.Duration(random.Int64N(int64(writebackDelay)))) // at any point of the work
		sluice.Kill()
		if err := sluice.Start(t.Context()); err != nil {
			t.Fatalf("start %d: %v", kill, err)
		}
	}
	for _, app := range apps {
		w.push(t, app)
	}
	w.awaitNewest(t, sluice)
	w.checkHistory(t)
}

// writeback is a repository, and what was released and committed to it.
type writeback struct {
	p       *harness.Playground
	repo    *harness.Repo
	newest  map[string]int // by app, the minor version pushed last
	persons int
}

func newWriteback(t *testing.T, p *harness.Playground) *writeback {
	t.Helper()
	repo, err := p.NewRepo(t.Context(), writebackNamespace, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &writeback{p: p, repo: repo, newest: map[string]int{}}
	files, objects := map[string][]byte{}, w.shared()
	for _, app := range apps {
		w.image(t, app)
		files[app+".yaml"] = fmt.Appendf(nil,
			"kind: ConfigMap\ndata:\n  tag: 0.0.0 # {\"$imagepolicy\": \"%s:%s:tag\"}\n", writebackNamespace, app)
		objects += w.objects(app)
	}
	if _, err := repo.Commit(t.Context(), "Begin", files); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(t.Context(), []byte(objects)); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *writeback) shared() string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %s}
---
`, writebackNamespace) + w.p.SourceManifest(writebackNamespace, "repo", w.repo)
}

func (w *writeback) objects(app string) string {
	return fmt.Sprintf(`---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: %[2]s, namespace: %[1]s}
spec: {image: %[3]s/%[1]s-%[2]s, interval: 1h, insecure: true}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: %[2]s, namespace: %[1]s, labels: {app: %[2]s}}
spec:
  imageRepositoryRef: {name: %[2]s}
  policy: {semver: {range: ">=1.0.0"}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: %[2]s, namespace: %[1]s}
spec:
  interval: 1h
  sourceRef: {kind: GitRepository, name: repo}
  policySelector: {matchLabels: {app: %[2]s}}
  git:
    commit:
      author: {name: Sluice, email: sluice@example.com}
      messageTemplate: "{{range .Changed.Changes}}%[2]s {{.NewValue}}{{end}}"
`, writebackNamespace, app, w.p.Registry)
}

// image pushes the app's next version.
func (w *writeback) image(t *testing.T, app string) {
	t.Helper()
	w.newest[app]++
	tag := fmt.Sprintf("1.%d.0", w.newest[app])
	if _, err := w.p.PushImage(t.Context(), writebackNamespace+"-"+app, tag, nil); err != nil {
		t.Fatal(err)
	}
}

// push releases the app's next version, and says so as a webhook would.
func (w *writeback) push(t *testing.T, app string) {
	t.Helper()
	w.image(t, app)
	repo := &imagev1.ImageRepository{}
	repo.Namespace, repo.Name = writebackNamespace, app
	if _, err := w.p.RequestReconcile(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
}

// commit is what a person does meanwhile.
func (w *writeback) commit(t *testing.T) {
	t.Helper()
	w.persons++
	file := map[string][]byte{"notes.txt": fmt.Appendf(nil, "note %d\n", w.persons)}
	if _, err := w.repo.Commit(t.Context(), fmt.Sprintf("note %d", w.persons), file); err != nil {
		t.Fatal(err)
	}
}

// awaitNewest waits until the branch has the newest version of every app.
func (w *writeback) awaitNewest(t *testing.T, sluice *harness.Controller) {
	t.Helper()
	for _, app := range apps {
		want := fmt.Sprintf("tag: 1.%d.0 ", w.newest[app])
		if _, err := harness.Eventually(t.Context(), "the newest "+app, harness.Patience, func(ctx context.Context) (bool, string) {
			content, err := w.repo.File(ctx, app+".yaml")
			return err == nil && strings.Contains(content, want), content
		}); err != nil {
			t.Fatalf("%v\n%s", err, sluice.Tail(4000))
		}
	}
}

// checkHistory demands that versions only rise, none is written twice, and no
// commit of the person is lost.
func (w *writeback) checkHistory(t *testing.T) {
	t.Helper()
	log, err := w.repo.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, notes := map[string]int{}, map[int]int{}
	for i := len(log) - 2; i >= 0; i-- { // the oldest is the seed
		var app string
		var number int
		if n, _ := fmt.Sscanf(log[i], "note %d", &number); n == 1 {
			notes[number]++
			continue
		}
		if n, _ := fmt.Sscanf(log[i], "%s 1.%d.0", &app, &number); n != 2 || number <= last[app] {
			t.Errorf("commit %q after version 1.%d.0", log[i], last[app])
		}
		last[app] = number
	}
	for number := range w.persons {
		if notes[number+1] != 1 {
			t.Errorf("note %d is there %d times", number+1, notes[number+1])
		}
	}
	ours := len(log) - 1 - w.persons
	t.Logf("%d commits, and %d by a person", ours, w.persons)
	if ours < writebackCommits {
		t.Errorf("%d commits are too few to tell anything", ours)
	}
}
