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

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
)

// withTags has a server that knows some tags of the image app.
func withTags(t *testing.T, tags ...string) *Server {
	t.Helper()
	s, err := NewServer(Options{Cluster: furnished(t), Token: "secret", Clock: clock.RealClock{}, Log: logr.Discard(),
		Tags: func(context.Context, client.Client, *imagev1.ImageRepository) ([]string, error) { return tags, nil }})
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
	s.Tags = func(context.Context, client.Client, *imagev1.ImageRepository) ([]string, error) {
		cancel() // while they are listed
		return []string{"1.0.0"}, nil
	}
	if w := try(ctx, s, nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "takes too long") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
