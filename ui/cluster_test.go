// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/sluice-cd/sluice/internal/kinds"
	"github.com/sluice-cd/sluice/report"
)

// apiServer is one without objects, at which everybody may list everything. The list of one resource fails while it is broken.
type apiServer struct {
	mapper  meta.RESTMapper
	broken  atomic.Bool
	breaks  string // the resource
	because string
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost {
		var review authorizationv1.SelfSubjectAccessReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		review.Status.Allowed = true
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(review)
		return
	}
	if r.URL.Path == "/version" {
		http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`, http.StatusForbidden)
		return
	}
	parts := strings.Split(r.URL.Path, "/") // /apis/GROUP/VERSION/RESOURCE
	resource := schema.GroupVersionResource{Group: parts[2], Version: parts[3], Resource: parts[4]}
	query := r.URL.Query()
	switch {
	case query.Get("sendInitialEvents") != "":
		http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`, http.StatusUnprocessableEntity)
	case resource.Resource == s.breaks && s.broken.Load():
		http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"`+s.because+`","reason":"InternalError","code":500}`,
			http.StatusInternalServerError)
	case query.Get("watch") != "":
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		kind, _ := s.mapper.KindFor(resource)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"kind": kind.Kind + "List", "apiVersion": resource.GroupVersion().String(), "metadata": map[string]any{"resourceVersion": "1"},
		})
	}
}

// clusterAt is a cluster whose API server has no object.
func clusterAt(t *testing.T, s *apiServer) *Cluster {
	t.Helper()
	scheme, err := kinds.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	s.mapper = testrestmapper.TestOnlyStaticRESTMapper(scheme)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // before it, which waits for them
	config := &rest.Config{Host: server.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON}}
	hc, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := newCluster(config, cache.Options{HTTPClient: hc, Scheme: scheme, Mapper: s.mapper}, "", "eve")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A kind whose list failed kept every answer waiting for ever.
func TestAKindWhoseListFailsIsMissingAndKeepsNoOther(t *testing.T) {
	s := &apiServer{breaks: "gitrepositories", because: "the conversion webhook does not answer"}
	s.broken.Store(true)
	c := clusterAt(t, s)
	c.patience = time.Millisecond
	told := make(chan report.ObjectReference, 10)
	changed := func(o report.ObjectReference) { told <- o }
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.start(ctx, changed, func(_ context.Context, err error) error { return err }); err != nil {
		t.Fatal(err)
	}
	why := func() string {
		missing := c.missingKinds()
		if i := slices.IndexFunc(missing, func(m Missing) bool { return m.Kind == "GitRepository" }); i >= 0 {
			return missing[i].Why
		}
		return ""
	}
	if _, shown := c.kindOf("Canary"); !shown || !strings.Contains(why(), s.because) || len(c.missingKinds()) != 1 {
		t.Fatalf("canaries are shown: %t; missing: %v", shown, c.missingKinds())
	}
	if _, err := c.ownerView().objects(ctx); err != nil { // which waited for the list
		t.Fatal(err)
	}
	s.broken.Store(false)
	if err := wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		c.findMissing(ctx, changed)
		_, shown := c.kindOf("GitRepository")
		return shown, nil
	}); err != nil || why() != "" {
		t.Fatalf("%v: %q", err, why())
	}
	if got := <-told; got != (report.ObjectReference{Kind: "GitRepository"}) {
		t.Errorf("told of %v", got)
	}
}

// While the API server did not answer, or a kind could not be watched, what the cache still had was shown as if it were so.
func TestWhatIsShownIsOldWhileTheAPIServerDoesNotAnswer(t *testing.T) {
	s := &apiServer{}
	c := clusterAt(t, s)
	now := clocktesting.NewFakePassiveClock(time.Now())
	begin := now.Now()
	c.clock, c.kinds["GitRepository"] = now, served{resource: schema.GroupVersionResource{Resource: "gitrepositories"}}
	at := func(after time.Duration) Alive {
		now.SetTime(begin.Add(after))
		return c.freshness(now.Now())
	}
	c.reach(t.Context())
	if got := at(maxSilence); got.StaleSince != nil {
		t.Errorf("it answered lately: %+v", got)
	}
	if got := at(maxSilence + time.Second); got.StaleSince == nil || !got.StaleSince.Equal(begin) ||
		got.Why != "the API server does not answer" {
		t.Errorf("it does not answer: %+v", got)
	}
	c.reach(t.Context()) // which refuses the request: it is there
	if got := at(maxSilence + time.Second); got.StaleSince != nil {
		t.Errorf("it answers again: %+v", got)
	}
	answers := c.ping
	c.ping = func(context.Context) error { return errors.New("connection refused") }
	now.SetTime(begin.Add(3 * maxSilence))
	c.reach(t.Context())
	if got := c.freshness(now.Now()); got.StaleSince == nil || !got.StaleSince.Equal(begin.Add(maxSilence+time.Second)) {
		t.Errorf("it refuses connections: %+v", got)
	}
	c.ping = answers
	fail := func(after time.Duration) Alive {
		now.SetTime(begin.Add(after))
		c.reach(t.Context())
		c.watchFailed(t.Context(), toolscache.NewReflector(nil, &sourcev1.GitRepository{}, nil, 0), errors.New("the webhook is away"))
		return c.freshness(now.Now())
	}
	if got := fail(time.Hour); got.StaleSince != nil {
		t.Errorf("it failed once: %+v", got)
	}
	if got := fail(time.Hour + failsFor); got.StaleSince == nil || !got.StaleSince.Equal(begin.Add(time.Hour)) ||
		got.Why != "gitrepositories cannot be listed: the webhook is away" {
		t.Errorf("it goes on failing: %+v", got)
	}
	now.SetTime(begin.Add(time.Hour + failsFor + failsAgain))
	c.reach(t.Context())
	if got := c.freshness(now.Now()); got.StaleSince != nil {
		t.Errorf("it fails no more: %+v", got)
	}
}

// The stream said that it is alive in a comment, which no browser shows to a page.
func TestTheStreamSaysThatItIsAliveAndHowOldWhatItTellsIs(t *testing.T) {
	cluster := furnished(t)
	cluster.reached = time.Now().Add(-time.Hour)
	s := signedIn(t, Options{Cluster: cluster, Clock: clock.RealClock{}, Log: logr.Discard()}, map[string]scope{"eve": {everything: true}})
	server := httptest.NewServer(s.handler)
	t.Cleanup(server.Close)
	var got Alive
	if err := json.Unmarshal([]byte(follow(t, server.URL, "eve")("alive")), &got); err != nil || got.StaleSince == nil ||
		!got.StaleSince.Equal(cluster.reached) {
		t.Errorf("%v: %+v", err, got)
	}
}
