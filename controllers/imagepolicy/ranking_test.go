// SPDX-License-Identifier: Apache-2.0

package imagepolicy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	imagev1 "github.com/sluice-cd/sluice/api/image/v1"
	"github.com/sluice-cd/sluice/internal/wake/waketest"
)

// listing makes the fixture's image one with so many tags, which nobody could push.
func (f *fixture) listing(t *testing.T, tags int) {
	t.Helper()
	all := make([]string, tags)
	for i := range all {
		all[i] = fmt.Sprintf("1.0.%d", i)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"name":"app","tags":["`+strings.Join(all, `","`)+`"]}`)
	}))
	t.Cleanup(server.Close)
	f.repo.Spec.Image = strings.TrimPrefix(server.URL, "http://") + "/app"
	if err := f.Client.Update(t.Context(), f.repo); err != nil {
		t.Fatal(err)
	}
	f.scan(t)
}

// A pattern that is slow for many tags must not hold a worker.
func TestASlowPatternIsMatchedOutsideOfTheWorkers(t *testing.T) {
	f := newFixture(t)
	f.listing(t, 10_000)
	f.policy.Spec.FilterTags = &imagev1.TagFilter{Pattern: `^(?:[0-9]+|x|\.){1,300}$`}
	f.caches().matches.Patience = 0
	woken := waketest.Objects(t, &f.caches().done)
	got := f.mustReconcile(t)
	if !got.Progressing || !strings.Contains(got.Message, "10000 tags") {
		t.Fatalf("got %+v", got)
	}
	waketest.Next(t, woken)
	for range 2 { // and again, for what is known
		f.wantChoice(t, "1.0.9999")
	}
}

func TestAPatternThatIsTooSlowStallsThePolicy(t *testing.T) {
	tests := map[string]struct {
		pattern, extract string
		tags             int
	}{
		"by itself":        {`^(?:` + strings.Repeat(`(a|b|.){0,100}`, 60) + `)$`, "", 1},
		"for so many tags": {`^(?:[0-9]+|x|\.){1,300}$`, "", 200_000},
		"by its template":  {`^(.*)$`, strings.Repeat("$1", 1000), 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.listing(t, tc.tags)
			f.policy.Spec.FilterTags = &imagev1.TagFilter{Pattern: tc.pattern, Extract: tc.extract}
			_, err := f.reconcile()
			if f.Reason(err) != imagev1.InvalidPolicyReason || !errors.Is(err, reconcile.TerminalError(nil)) {
				t.Errorf("got %v", err)
			}
		})
	}
}
