// SPDX-License-Identifier: Apache-2.0

package imageupdateautomation

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/git"
	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/writeback"
)

// other is a second policy with a marked file of its own.
func other(tag string) *imagev1.ImagePolicy {
	return policy(tag, func(p *imagev1.ImagePolicy) { p.Name = "other" })
}

const otherFile = "image: app:1 # {\"$imagepolicy\": \"apps:other\"}\n"

// reconciled reconciles, and patches the status as the runner does.
func (f fixture) reconciled(t *testing.T, a *imagev1.ImageUpdateAutomation) []string {
	t.Helper()
	result := f.succeeded(t, a)
	var told []string
	for _, e := range result.Events {
		told = append(told, e.Type+" "+e.Reason+": "+strings.SplitN(e.Message, "\n", 2)[0])
	}
	return append(told, result.Message)
}

// succeeded is the result of a reconcile whose status is recorded.
func (f fixture) succeeded(t *testing.T, a *imagev1.ImageUpdateAutomation) reconciler.Result {
	t.Helper()
	result, err := f.Reconcile(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	a.Status.ObservedGeneration = a.Generation
	a.Status.LastHandledReconcileAt = a.Annotations[meta.ReconcileRequestAnnotation]
	return result
}

// choose changes what a policy stands for.
func (f fixture) choose(t *testing.T, p *imagev1.ImagePolicy, tag string) {
	t.Helper()
	p.Status.LatestRef.Tag = tag
	if err := f.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

func TestAnUpdateThatWasRevertedIsHeldUntilItIsReleased(t *testing.T) {
	release := map[string]func(t *testing.T, f fixture, p *imagev1.ImagePolicy, a *imagev1.ImageUpdateAutomation){
		"a newer choice": func(t *testing.T, f fixture, p *imagev1.ImagePolicy, _ *imagev1.ImageUpdateAutomation) {
			f.choose(t, p, "3")
		},
		"a person": func(_ *testing.T, _ fixture, _ *imagev1.ImagePolicy, a *imagev1.ImageUpdateAutomation) {
			a.Annotations = map[string]string{imagev1.ResumeAnnotation: "now"}
		},
	}
	for name, resolve := range release {
		t.Run(name, func(t *testing.T) {
			p := policy("2")
			f, a := newFixture(t, credentials(), source(), p, other("2")), automation()
			f.repo.Commit("main", map[string]string{"o.yaml": otherFile})
			f.reconciled(t, a)
			ours := f.repo.Head("main")
			by := f.repo.Commit("main", map[string]string{"a.yaml": markedFile})

			told := f.reconciled(t, a)
			if len(told) != 2 ||
				!strings.HasPrefix(told[0], "Warning UpdateHeld: commit '"+by[:7]+"' reverted the update of policy 'app' to 'app:2'") ||
				!strings.Contains(told[1], "repository up-to-date; holding app:2 of policy 'app', which commit "+by[:7]+" reverted") {
				t.Errorf("told %q", told)
			}
			if len(a.Status.Held) != 1 {
				t.Fatalf("held %+v", a.Status.Held)
			}
			h := a.Status.Held[0]
			if h.Policy != "app" || h.Ref != (imagev1.ImageRef{Name: "app", Tag: "2"}) || h.Reverted != ours || h.By != by || h.Since.IsZero() {
				t.Errorf("held %+v", h)
			}
			if m := a.Status.Markers; m == nil || m.Held != 1 || m.Current != 1 || m.Total != 2 {
				t.Errorf("markers %+v", m)
			}
			f.tracker = tracker{} // a restart
			if told = f.reconciled(t, a); len(told) != 1 || f.repo.Head("main") != by || len(a.Status.Held) != 1 {
				t.Errorf("the next run told %q, held %v, head %s", told, a.Status.Held, f.repo.Head("main"))
			}

			resolve(t, f, p, a)
			f.reconciled(t, a)
			if got := f.repo.File("main", "a.yaml"); strings.HasPrefix(got, "image: app:1") || len(a.Status.Held) > 0 {
				t.Errorf("after the release: %s, held %v", got, a.Status.Held)
			}
			if told = f.reconciled(t, a); len(told) != 1 || told[0] != readyMessage {
				t.Errorf("in the end: %q", told)
			}
		})
	}
}

func TestAHoldEndsWhenSomeoneWritesTheChoice(t *testing.T) {
	f, a := newFixture(t, credentials(), source(), policy("2")), automation()
	f.reconciled(t, a)
	f.repo.Commit("main", map[string]string{"a.yaml": markedFile})
	f.reconciled(t, a)
	f.repo.Commit("main", map[string]string{"a.yaml": strings.Replace(markedFile, "app:1", "app:2", 1)})
	if told := f.reconciled(t, a); len(a.Status.Held) > 0 || told[0] != readyMessage {
		t.Errorf("held %v, told %q", a.Status.Held, told)
	}
}

func TestBatchesWaitForMore(t *testing.T) {
	p, q := policy("1"), other("1")
	f := newFixture(t, credentials(), source(), p, q)
	f.repo.Commit("main", map[string]string{"o.yaml": otherFile})
	clk := clocktesting.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	f.Clock = clk
	a := automation(func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Commit.Batch = &imagev1.CommitBatch{
			Quiet: metav1.Duration{Duration: 10 * time.Second}, Max: &metav1.Duration{Duration: 25 * time.Second}}
		a.Annotations = map[string]string{meta.ReconcileRequestAnnotation: "first"}
	})
	f.reconciled(t, a)
	base := f.repo.Head("main")
	step := func(after time.Duration, wantWait time.Duration) {
		t.Helper()
		clk.SetTime(clk.Now().Add(after))
		result, err := f.Reconcile(t.Context(), a)
		if err != nil || result.Progressing != (wantWait > 0) || (wantWait > 0 && result.After != wantWait) {
			t.Fatalf("waits %v (progressing %v), error %v; want %v", result.After, result.Progressing, err, wantWait)
		}
		if pushed := f.repo.Head("main") != base; pushed != (wantWait == 0) {
			t.Fatalf("pushed: %v", pushed)
		}
	}
	f.choose(t, p, "2")
	step(0, 10*time.Second)
	step(4*time.Second, 6*time.Second)
	f.choose(t, q, "2")
	step(4*time.Second, 10*time.Second)
	f.tracker = tracker{} // a restart loses when it began, and nothing else
	step(9*time.Second, 10*time.Second)
	f.choose(t, p, "3")
	step(9*time.Second, 10*time.Second)
	f.choose(t, p, "4")
	step(9*time.Second, 7*time.Second) // until max
	step(7*time.Second, 0)
	if count := f.repo.Git("rev-list", "--count", base+"..main"); count != "1" {
		t.Errorf("%s commits, want 1", count)
	}
	base = f.repo.Head("main")
	f.choose(t, p, "5")
	step(time.Hour, 10*time.Second)
	a.Annotations[meta.ReconcileRequestAnnotation] = "second"
	step(time.Second, 0)
}

func TestAnEventOfAHeldUpdateSaysWhatItIsInPlaceOf(t *testing.T) {
	f, a := newFixture(t, credentials(), source(), policy("2")), automation()
	f.repo.Commit("main", map[string]string{"b.yaml": "b: 1 # {\"$imagepolicy\": \"apps:app:tag\"}\n"})
	f.reconciled(t, a)
	by := f.repo.Commit("main", map[string]string{"a.yaml": markedFile, "b.yaml": "b: 0 # {\"$imagepolicy\": \"apps:app:tag\"}\n"})
	result, err := f.Reconcile(t.Context(), a)
	if err != nil || len(result.Events) != 1 {
		t.Fatalf("events %+v, error %v", result.Events, err)
	}
	want := map[string]string{
		imagev1.CommitAnnotation: by, imagev1.PolicyAnnotation: "app", imagev1.OldAnnotation: "app:1,0", imagev1.NewAnnotation: "app:2",
	}
	if diff := cmp.Diff(want, result.Events[0].Metadata); diff != "" {
		t.Error(diff)
	}
}

func TestOneCommitAndOneEventForEachPolicy(t *testing.T) {
	f := newFixture(t, credentials(), source(), policy("2"), other("3"))
	f.repo.Commit("main", map[string]string{"o.yaml": otherFile})
	f.repo.Git("config", "receive.advertisePushOptions", "true")
	a := automation(func(a *imagev1.ImageUpdateAutomation) {
		a.Spec.GitSpec.Commit.Per = imagev1.CommitPerPolicy
		a.Spec.GitSpec.Commit.MessageTemplate = "{{ (index .Changed.Changes 0).Setter }}"
		a.Spec.GitSpec.Push = &imagev1.PushSpec{Refspec: "HEAD:refs/heads/copy", Options: map[string]string{"ci.skip": ""}}
	})
	result, err := f.Reconcile(t.Context(), a)
	if err != nil || len(result.Events) != 2 {
		t.Fatalf("events %v, error %v", result.Events, err)
	}
	for i, want := range []struct{ commit, policy string }{{"main^", "app"}, {"main", "other"}} {
		commit, e := f.repo.Head(want.commit), result.Events[i]
		message := "pushed commit '" + commit[:7] + "' to branch 'main' and refspecs 'HEAD:refs/heads/copy'\napps:" + want.policy
		if e.Message != message || e.Metadata[imagev1.CommitAnnotation] != commit || e.Metadata[imagev1.PolicyAnnotation] != want.policy {
			t.Errorf("event %d is %+v, want %q", i, e, message)
		}
	}
	if f.repo.Head("copy") != f.repo.Head("main") {
		t.Error("the copy is not at main")
	}
}

func TestCommitsAreSigned(t *testing.T) {
	entity, err := openpgp.NewEntity("bot", "", "bot@example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	var gpg bytes.Buffer
	w, err := armor.Encode(&gpg, openpgp.PrivateKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := entity.SerializePrivate(w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	// One round of the key derivation: sixteen take seconds under the race detector.
	encrypt := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-p", "-a", "1", "-P", "", "-N", "open", "-f", file)
	if out, err := encrypt.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	identity, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		kind imagev1.SigningKeyType
		data map[string][]byte
		want string
	}{
		"by default with GPG": {data: map[string][]byte{"git.asc": gpg.Bytes()}, want: "-----BEGIN PGP SIGNATURE-----"},
		"with an encrypted SSH key": {
			kind: "ssh",
			data: map[string][]byte{"identity": identity, "password": []byte("open")},
			want: "-----BEGIN SSH SIGNATURE-----",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			key := make.Secret("apps", "key", tc.data)
			f := newFixture(t, credentials(), source(), policy("2"), key)
			a := automation(func(a *imagev1.ImageUpdateAutomation) {
				a.Spec.GitSpec.Commit.SigningKey = &imagev1.SigningKey{Type: tc.kind, SecretRef: meta.LocalObjectReference{Name: "key"}}
			})
			f.reconciled(t, a)
			if raw := f.repo.Git("cat-file", "commit", "main"); !strings.Contains(raw, tc.want) {
				t.Errorf("the commit is\n%s", raw)
			}
			f.repo.Git("fsck", "--strict")
		})
	}
}

func TestMarkersAreCounted(t *testing.T) {
	unready := policy("2", func(p *imagev1.ImagePolicy) {
		p.Name = "unready"
		p.Status.Conditions[0].Status = metav1.ConditionFalse
	})
	f, a := newFixture(t, credentials(), source(), policy("2"), unready), automation()
	f.repo.Commit("main", map[string]string{
		"m.yaml": "a: x # {\"$imagepolicy\": \"apps:unready\"}\nb: x # {\"$imagepolicy\": \"apps:nobody\"}\n",
	})
	f.reconciled(t, a)
	m := a.Status.Markers
	if m == nil || m.Total != 3 || m.Current != 1 || m.Held != 0 || len(m.Skipped) != 2 {
		t.Fatalf("markers %+v", m)
	}
	for _, s := range m.Skipped {
		if s.Count != 1 || !strings.HasPrefix(s.Example, "m.yaml:") || s.Reason == "" {
			t.Errorf("skipped %+v", s)
		}
	}
}

// A push that the server refused, and a pull request that waits, showed as all current.
func TestWhatIsProposedIsNotCurrentBeforeItIsMerged(t *testing.T) {
	f, a := proposingFixture(t), automation(proposes())
	seen, err := f.observe(t.Context(), a)
	must(t, err)
	review, err := f.Writer.Review(t.Context(), seen.request)
	must(t, err)
	f.record(t.Context(), a, seen, review.Result)
	if m := a.Status.Markers; m.Total != 1 || m.Current != 0 || len(m.Skipped) != 0 {
		t.Errorf("markers %+v", m)
	}
}

// TestAnUpdateOfAKnownBranchIsOneRequest names the branch in all ways.
func TestAnUpdateOfAKnownBranchIsOneRequest(t *testing.T) {
	for name, ref := range map[string]sourcev1.GitRepositoryRef{
		"as a branch":   {Branch: "main"},
		"as a full ref": {Name: "refs/heads/main"},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy("2")
			f, a := newFixture(t, credentials(), source(func(r *sourcev1.GitRepository) { r.Spec.Reference = &ref }), p), automation()
			f.repo.Commit("main", map[string]string{"a.yaml": markedFile})
			f.reconciled(t, a)
			for _, tag := range []string{"3", "4"} {
				f.choose(t, p, tag)
				before := f.server.Requests()
				f.reconciled(t, a)
				if n := f.server.Requests() - before; n != 1 || a.Status.LastPushCommit != f.repo.Head("main") {
					t.Errorf("%d requests; main is at %s, the last push is %s", n, f.repo.Head("main"), a.Status.LastPushCommit)
				}
			}
		})
	}
}

func TestARejectedPushIsToldOnceForEachReason(t *testing.T) {
	tests := map[string]struct {
		hook string
		says string
		same bool
	}{
		"a reason that stays the same": {`echo "declined by a rule" >&2`, "declined by a rule", true},
		"one with the commit that was made": {`read old new ref; echo "commit $new of $ref has no ticket; see /c/$(echo $new | cut -c1-10)" >&2`,
			"commit the commit of refs/heads/main has no ticket; see /c/the commit", true},
		"one with the time, a request and a folder": {
			`echo "$(date -u +%Y-%m-%dT%H:%M:%S.%NZ) $(date) frozen, in objects/tmp_objdir-incoming-$(date +%N | ` +
				`tr 0-9 a-j), $(cat /proc/sys/kernel/random/uuid)" >&2`,
			"now now frozen, in objects/incoming, ...", true},
		"another reason each time": {`echo "declined by rule $(cat /proc/sys/kernel/random/uuid | cut -c1-6)" >&2`, "declined by rule", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, credentials(), source(), policy("2"))
			hook := "#!/bin/sh\n" + tc.hook + "\nexit 1\n"
			if err := os.WriteFile(filepath.Join(f.repo.Dir, "hooks", "pre-receive"), []byte(hook), 0o755); err != nil {
				t.Fatal(err)
			}
			clk := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
			f.Writer = writeback.NewWriter(git.NewMirrors(t.TempDir(), clk), clk)
			var said []string
			for range 2 {
				_, err := f.Reconcile(t.Context(), automation())
				if err == nil || reconciler.ReasonOf(err, f.Reason) != imagev1.GitOperationFailedReason {
					t.Fatalf("error %v with reason %s", err, reconciler.ReasonOf(err, f.Reason))
				}
				said = append(said, err.Error())
				clk.Step(time.Hour)
			}
			if (said[0] == said[1]) != tc.same || !strings.Contains(said[0], tc.says) {
				t.Errorf("got %q\nand %q", said[0], said[1])
			}
			host := strings.TrimPrefix(f.server.URL, "http://")
			for _, part := range []string{host, "refs/heads/main", "account of GitRepository apps/app", "branch 'main'", "spec.git.push.branch"} {
				if !strings.Contains(said[0], part) {
					t.Errorf("%q does not name %q", said[0], part)
				}
			}
		})
	}
}

func TestMarkersThatWouldBreakWhatTheyAreInAreToldOnce(t *testing.T) {
	const marker = " # {\"$imagepolicy\": \"apps:app\"}\n"
	f, a := newFixture(t, credentials(), source(), policy("2")), automation()
	f.repo.Commit("main", map[string]string{
		"kustomization.yaml": "images:\n- newTag: \"1\"" + marker, "secret.yaml": "image: app:1" + marker + "sops:\n  mac: x\n",
	})
	const tag = `kustomization.yaml:2: skipped: the field holds a tag, for which the marker has to end with ` +
		`:tag (marker "apps:app" of policy 'app' in namespace 'apps')`
	const secret = `secret.yaml:1: skipped: the value is encrypted with SOPS, or covered by its MAC: ` +
		`nobody could decrypt the file any more (marker "apps:app" of policy 'app' in namespace 'apps')`
	told := func(result reconciler.Result) (events []string) {
		for _, e := range result.Events {
			if e.Reason == imagev1.MarkerHeldReason {
				events = append(events, e.Message)
			}
		}
		return events
	}
	for _, want := range [][]string{{tag, secret}, nil} {
		result, err := f.Reconcile(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, told(result)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		if message := "repository up-to-date; " + tag + "; " + secret; result.Message != message {
			t.Errorf("message %q, want %q", result.Message, message)
		}
	}
	f.repo.Commit("main", map[string]string{"more.yaml": "tag: \"1\"" + marker})
	result, err := f.Reconcile(t.Context(), a)
	if got := told(result); err != nil || len(got) != 1 || !strings.Contains(got[0], "more.yaml:1: skipped: the field holds a tag") {
		t.Errorf("one more: events %v, error %v", got, err)
	}
	if !strings.HasPrefix(f.repo.File("main", "secret.yaml"), "image: app:1 ") {
		t.Error("the encrypted file was written")
	}
}
