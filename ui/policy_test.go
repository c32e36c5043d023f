// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// withTags has a server that knows some tags of the image app.
func withTags(t *testing.T, tags ...string) *Server {
	t.Helper()
	s, err := NewServer(Options{Cluster: furnished(t), Token: "secret", Clock: clock.RealClock{}, Log: logr.Discard(),
		Tags: func(context.Context, client.Client, *imagev1.ImageRepository) (Tags, error) {
			return Tags{Names: tags}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	close(s.ready)
	return s
}

// try asks what another rule would make of the tags.
func try(ctx context.Context, s *Server, query url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:8080/api/v1/policies/apps/app?"+query.Encode(), http.NoBody)
	r.Header.Set("Authorization", "Bearer secret")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// A pattern of a query was matched with all tags, however much work that is, which the controller refuses to do for an ImagePolicy.
func TestAPatternThatIsTriedIsNoMoreWorkThanThatOfAPolicy(t *testing.T) {
	tags := make([]string, 20_000)
	for i := range tags {
		tags[i] = fmt.Sprintf("%s%08d", strings.Repeat("ab", 56), i)
	}
	slow := url.Values{"kind": {"alphabetical"}, "pattern": {"(a|b|.){0,400}x"}}
	w := try(t.Context(), withTags(t, tags...), slow)
	if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "spec.filterTags.pattern") ||
		!strings.Contains(w.Body.String(), "make it simpler") {
		t.Errorf("for many tags: %d %.300s", w.Code, w.Body)
	}
	if w := try(t.Context(), withTags(t, "abx"), slow); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"qualified":1`) {
		t.Errorf("for one tag: %d %.300s", w.Code, w.Body)
	}
}

// A reader who did not sign in could have two processors work for ten seconds on patterns that nobody needs.
func TestWhoDidNotSignInMayTryWhatIsLittleWork(t *testing.T) {
	tags := make([]string, 700)
	for i := range tags {
		tags[i] = fmt.Sprintf("%s%08d", strings.Repeat("ab", 56), i)
	}
	everything := scope{everything: true}
	s := signedIn(t, Options{Cluster: furnished(t), Clock: clock.RealClock{}, Log: logr.Discard(),
		Tags: func(context.Context, client.Client, *imagev1.ImageRepository) (Tags, error) {
			return Tags{Names: tags}, nil
		},
	}, map[string]scope{"eve": everything, AnonymousUser: everything})
	try := func(ctx context.Context, authorization, pattern string) (int, string) {
		query := url.Values{"kind": {"alphabetical"}, "pattern": {pattern}}
		r := httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:8080/api/v1/policies/apps/app?"+query.Encode(), http.NoBody)
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	// What is heavy is reckoned by its size, and is over at the first letter of each tag: no machine is too slow for it.
	const eve, nobody, heavy, light = "Bearer token-of-eve", "", "^z(a|b|.){0,400}x", "^ab"
	if code, says := try(t.Context(), nobody, heavy); code != http.StatusBadRequest || !strings.Contains(says, "sign in, or make it simpler") {
		t.Errorf("nobody is answered %d %.300s", code, says)
	}
	for who, pattern := range map[string]string{eve: heavy, nobody: light} {
		if code, says := try(t.Context(), who, pattern); code != http.StatusOK {
			t.Errorf("%q is answered %d %.300s", who, code, says)
		}
	}

	if !s.judged.TryAcquire(AnonymousUser) {
		t.Fatal("nobody is judged for")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if code, says := try(ctx, nobody, light); code != http.StatusTooManyRequests || !strings.Contains(says, "sign in, or try again") {
		t.Errorf("a second one who did not sign in is answered %d %.300s", code, says)
	}
	if code, says := try(t.Context(), eve, light); code != http.StatusOK {
		t.Errorf("who has signed in waits for who did not: %d %.300s", code, says)
	}
	s.judged.Release(AnonymousUser)
	if code, says := try(t.Context(), nobody, light); code != http.StatusOK {
		t.Errorf("afterwards: %d %.300s", code, says)
	}
}

// Tags were matched on after the one who had asked was gone.
func TestTagsAreJudgedNoLongerThanSomebodyWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	read := 0
	for range untilEnd(ctx, []string{"1.0.0", "1.1.0", "1.2.0"}) {
		if read++; read == 2 {
			cancel()
		}
	}
	if read != 2 {
		t.Errorf("read %d tags", read)
	}
	ctx, cancel = context.WithCancel(t.Context())
	s := withTags(t)
	s.Tags = func(context.Context, client.Client, *imagev1.ImageRepository) (Tags, error) {
		cancel() // while they are listed
		return Tags{Names: []string{"1.0.0"}}, nil
	}
	if w := try(ctx, s, nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "takes too long") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// The column was empty but for policies with a minimum age.
func TestThePageSaysWhenTagsWereFirstSeen(t *testing.T) {
	s := withTags(t, "1.0.0", "1.1.0")
	known := s.Tags
	s.Tags = func(ctx context.Context, c client.Client, repo *imagev1.ImageRepository) (Tags, error) {
		tags, err := known(ctx, c, repo)
		tags.FirstSeen = func(tag string) time.Time {
			return map[string]time.Time{"1.0.0": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}[tag]
		}
		return tags, err
	}
	if w := try(t.Context(), s, nil); strings.Count(w.Body.String(), `"firstSeen":"2026-01-02T03:04:05Z"`) != 1 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w := try(t.Context(), withTags(t, "1.0.0"), nil); strings.Contains(w.Body.String(), "firstSeen") {
		t.Errorf("got %s", w.Body)
	}
}

// The extract of a draft was read with a pattern only, without which it was taken for nothing; and what a draft left open of a rule
// of the policy's own kind was forgotten, where sluice explain policy keeps it.
func TestATrialOnThePageChangesWhatThatOfTheCommandLineChanges(t *testing.T) {
	filter := &imagev1.TagFilter{Pattern: `^v(?P<v>.*)-(?P<n>\d+)$`, Extract: "$v"}
	newest := imagev1.ImagePolicyChoice{Alphabetical: &imagev1.AlphabeticalPolicy{Order: "desc"}}
	for name, tc := range map[string]struct {
		filter *imagev1.TagFilter
		query  string
		want   imagev1.ImagePolicySpec
		says   string
	}{
		"nothing": {filter, "", imagev1.ImagePolicySpec{Policy: newest, FilterTags: filter}, ""},
		"another extract": {filter, "extract=$n",
			imagev1.ImagePolicySpec{Policy: newest, FilterTags: &imagev1.TagFilter{Pattern: filter.Pattern, Extract: "$n"}}, ""},
		"another pattern": {filter, "pattern=(%3FP<v>a)",
			imagev1.ImagePolicySpec{Policy: newest, FilterTags: &imagev1.TagFilter{Pattern: "(?P<v>a)", Extract: "$v"}}, ""},
		"no pattern":              {filter, "pattern=&extract=", imagev1.ImagePolicySpec{Policy: newest}, ""},
		"no pattern, and its own": {filter, "pattern=", imagev1.ImagePolicySpec{Policy: newest}, ""},
		"an extract of nothing":   {nil, "extract=$n", imagev1.ImagePolicySpec{}, "there is no pattern to extract from"},
		"the same kind":           {nil, "kind=alphabetical", imagev1.ImagePolicySpec{Policy: newest}, ""},
		"another order": {nil, "kind=alphabetical&order=asc",
			imagev1.ImagePolicySpec{Policy: imagev1.ImagePolicyChoice{Alphabetical: &imagev1.AlphabeticalPolicy{Order: "asc"}}}, ""},
		"another kind": {nil, "kind=semver&range=1.x",
			imagev1.ImagePolicySpec{Policy: imagev1.ImagePolicyChoice{SemVer: &imagev1.SemVerPolicy{Range: "1.x"}}}, ""},
		"a kind that is none": {nil, "kind=newest", imagev1.ImagePolicySpec{}, `"newest" is none of`},
	} {
		t.Run(name, func(t *testing.T) {
			query, err := url.ParseQuery(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			saved := imagev1.ImagePolicySpec{Policy: newest, FilterTags: tc.filter}
			got := *saved.DeepCopy()
			err = applyDraft(&got, query)
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v, want %q", err, tc.says)
			}
			if diff := cmp.Diff(tc.want, got); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
	if w := try(t.Context(), withTags(t, "1.0.0"), url.Values{"extract": {"$n"}}); w.Code != http.StatusBadRequest {
		t.Errorf("an extract of nothing: %d %s", w.Code, w.Body)
	}
}
