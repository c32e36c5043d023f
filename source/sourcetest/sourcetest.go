// SPDX-License-Identifier: Apache-2.0

// Package sourcetest is what tests of controllers of sources share: a server that they fetch from, what they
// publish, and how they fail.
package sourcetest

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-cd/sluice/internal/reconciler"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
)

// Files are the contents of an artifact's files, by path.
func Files(t testing.TB, store *source.Store, artifact *meta.Artifact) map[string]string {
	t.Helper()
	opened, err := source.NewOpener(store).Open(t.Context(), "apps", artifact)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	err = tree.Walk(opened, "", func(path string, _ tree.Entry) error {
		data, err := opened.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Upstream is a server that sources are fetched from, of which a test sees the requests and can give answers of its own.
type Upstream struct {
	server http.Handler
	mu     sync.Mutex
	asked  []string
	answer func(http.ResponseWriter, *http.Request) bool
}

// NewUpstream has all requests answered by server, as long as nothing else is said.
func NewUpstream(server http.Handler) *Upstream { return &Upstream{server: server} }

// ServeHTTP implements [http.Handler].
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, _ := url.PathUnescape(r.URL.EscapedPath())
	u.mu.Lock()
	u.asked = append(u.asked, r.Method+" "+path)
	answer := u.answer
	u.mu.Unlock()
	if answer == nil || !answer(w, r) {
		u.server.ServeHTTP(w, r)
	}
}

// Asked returns the requests since the last call: method and path.
func (u *Upstream) Asked() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	asked := u.asked
	u.asked = nil
	return asked
}

// Answer lets answer take the place of the server, for the requests for which it returns true.
func (u *Upstream) Answer(answer func(http.ResponseWriter, *http.Request) bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answer = answer
}

// CheckFailure checks the reason and a part of the message of a reconcile that is to fail, by the controller's own reasons.
func CheckFailure(t testing.TB, err error, reasonOf func(error) string, reason, text string) {
	t.Helper()
	if err == nil {
		t.Fatal("it did not fail")
	}
	if got := reconciler.ReasonOf(err, reasonOf); got != reason || !strings.Contains(err.Error(), text) {
		t.Errorf("failed with reason %s: %v\nwant %s, and %q", got, err, reason, text)
	}
}

// TakenOver gives a source conditions that Flux's source-controller leaves: of each look that was not over, or failed.
func TakenOver(obj reconciler.Object) {
	for _, condition := range failures {
		reconciler.SetCondition(obj, time.Time{}, metav1.Condition{
			Type: condition, Status: metav1.ConditionTrue, Reason: "Upstream", Message: "of another controller",
		})
	}
}

// failures are the conditions that say what is wrong with a source.
var failures = []string{
	sourcev1.ArtifactOutdatedCondition, sourcev1.FetchFailedCondition, sourcev1.StorageOperationFailedCondition,
	sourcev1.IncludeUnavailableCondition, sourcev1.BuildFailedCondition,
}

// CheckNoFailures checks that no condition says that something is wrong.
func CheckNoFailures(t testing.TB, obj reconciler.Object) {
	t.Helper()
	for _, condition := range failures {
		if c := apimeta.FindStatusCondition(obj.GetConditions(), condition); c != nil {
			t.Errorf("it stays %s: %s", c.Type, c.Message)
		}
	}
}
