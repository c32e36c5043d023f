// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/promotion/pullrequest"
)

func TestBundlesThatGoTogether(t *testing.T) {
	two := func(t *testing.T, together *sluicev1.Together) *simulation {
		t.Helper()
		s := newSimulation(t, staging())
		s.spec.Artifacts = append(s.spec.Artifacts, sluicev1.Artifact{Name: "web"})
		s.spec.Together = together
		s.releaseOf("web", "1")
		s.places["staging/"].versions["web"] = "1"
		s.settle()
		return s
	}
	t.Run("of the same tag", func(t *testing.T) {
		s := two(t, &sluicev1.Together{SameTag: true})
		s.release("2")
		s.pass(time.Hour)
		s.want(map[string]string{"staging": "1"})
		s.releaseOf("web", "2")
		s.settle()
		s.want(map[string]string{"staging": "2"})
	})
	t.Run("of the same tag, which they have", func(t *testing.T) {
		s := two(t, &sluicev1.Together{SameTag: true})
		last := s.last.Candidate.ID
		for artifact, digest := range map[string]string{"app": "sha256:a", "web": "sha256:b"} {
			s.newest[artifact] = Newest{Version: sluicev1.Version{Image: "registry/" + artifact, Digest: digest}}
		}
		s.settle()
		if s.last.Candidate.ID != last {
			t.Errorf("versions without tags are a bundle: %+v", s.last.Candidate)
		}
	})
	t.Run("wait for one another, but not for ever", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.release("2")
		s.pass(9 * time.Minute)
		s.want(map[string]string{"staging": "1"})
		s.pass(time.Minute)
		s.want(map[string]string{"staging": "2"})
	})
	// What the wait is counted from was the moment of each look: it never ended.
	t.Run("counted from the first change, over restarts and further changes", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.release("2")
		for range 9 {
			s.pass(time.Minute)
			text, err := s.state.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if s.state, err = ParseState(text); err != nil {
				t.Fatal(err)
			}
		}
		s.release("3")
		s.want(map[string]string{"staging": "1"})
		s.pass(time.Minute)
		s.want(map[string]string{"staging": "3"})
		if s.state.Changed != nil {
			t.Errorf("it still waits since %s", s.state.Changed)
		}
	})
	t.Run("and anew for the next one", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.release("2")
		s.pass(10 * time.Minute)
		s.release("3")
		s.pass(9 * time.Minute)
		s.want(map[string]string{"staging": "2"})
	})
	t.Run("and go at once when all are there", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.release("2")
		s.pass(time.Minute)
		s.releaseOf("web", "2")
		s.settle()
		s.want(map[string]string{"staging": "2"})
	})
	// What waited for a window was not written when that opened, and a pull request was closed.
	t.Run("while the next waits, the last goes on", func(t *testing.T) {
		s := two(t, &sluicev1.Together{WaitFor: minutes(10)})
		s.spec.Stages[0].Windows = []sluicev1.Window{{
			Name: "later", Kind: sluicev1.WindowAllow,
			From: &metav1.Time{Time: s.now.Add(30 * time.Minute)}, To: &metav1.Time{Time: s.now.Add(time.Hour)},
		}}
		s.release("2")
		s.releaseOf("web", "2")
		s.pass(25 * time.Minute)
		s.release("3")
		delete(s.newest, "web")
		s.pass(10 * time.Minute)
		s.want(map[string]string{"staging": "2"})
	})
}

// A policy that was not Ready for a moment, or a version that waited for another one, closed the pull request of the
// first stage, with its reviews.
func TestAPullRequestOutlivesAMomentWithoutANewestVersion(t *testing.T) {
	s := newSimulation(t, with(staging(), pullRequests))
	s.settle()
	s.release("2")
	s.settle()
	delete(s.newest, "app")
	s.settle()
	if pr := s.prs["staging"]; !pr.Open || pr.Number != 1 {
		t.Fatalf("it is %+v", pr)
	}
	s.prs["staging"].Checks = pullrequest.ChecksPassed
	s.settle()
	s.want(map[string]string{"staging": "2"})
	s.wantGate("staging", sluicev1.GateUpstream)
}

func TestWhichVersionsAreTheSame(t *testing.T) {
	version := func(artifact, image, tag, digest string) sluicev1.Version {
		return sluicev1.Version{Artifact: artifact, Image: image, Tag: tag, Digest: digest}
	}
	for name, tc := range map[string]struct {
		a, b sluicev1.Version
		want bool
	}{
		"one tag of one image":                    {version("app", "x", "1", ""), version("app", "x", "1", ""), true},
		"another tag of it":                       {version("app", "x", "1", ""), version("app", "x", "2", ""), false},
		"one tag, where one does not say of what": {version("app", "x", "1", ""), version("app", "", "1", ""), true},
		"one tag, where neither does":             {version("app", "", "1", ""), version("app", "", "1", ""), true},
		"one tag of two images":                   {version("app", "x", "1", ""), version("app", "y", "1", ""), false},
		"one tag of an artifact that was renamed": {version("app", "x", "1", ""), version("api", "x", "1", ""), true},
		"one tag of two artifacts":                {version("app", "", "1", ""), version("api", "", "1", ""), false},
		"one digest in two registries":            {version("app", "x", "1", "d"), version("app", "y", "2", "d"), true},
		"two digests of one tag":                  {version("app", "x", "1", "d"), version("app", "x", "1", "e"), false},
		"a digest that one does not know":         {version("app", "x", "1", "d"), version("app", "x", "1", ""), false},
		"one digest of two artifacts":             {version("app", "x", "1", "d"), version("api", "y", "1", "d"), false},
	} {
		if sameVersion(tc.a, tc.b) != tc.want || sameVersion(tc.b, tc.a) != tc.want {
			t.Errorf("%s: want %v", name, tc.want)
		}
	}
}
