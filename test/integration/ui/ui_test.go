// SPDX-License-Identifier: Apache-2.0

// Package ui asks the server of the web page, which reads a real API server.
package ui

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/test/harness"
	builder "github.com/sluice-cd/sluice/test/make"
	"github.com/sluice-cd/sluice/ui"
)

const (
	token = "the token"
)

// page is a server of the page for one user, and a browser that is signed in.
type page struct {
	*testing.T
	url string
}

// open serves the page to a user, of one namespace or of all.
func open(t *testing.T, p *harness.Playground, user, namespace string) *page {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, clusterOf(t, p, user, namespace), listener, ui.Options{Token: token})
	return &page{t, "http://" + listener.Addr().String()}
}

// clusterOf is the cluster as a user sees it, or the administrator.
func clusterOf(t *testing.T, p *harness.Playground, user, namespace string) *ui.Cluster {
	t.Helper()
	config := rest.CopyConfig(p.REST)
	if user != "" {
		config.Impersonate = rest.ImpersonationConfig{UserName: user}
	}
	cluster, err := ui.NewCluster(config, namespace, user)
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

// serve serves the page until the test ends.
func serve(t *testing.T, cluster *ui.Cluster, listener net.Listener, options ui.Options) {
	t.Helper()
	options.Cluster, options.Version, options.Clock, options.Log = cluster, "test", clock.RealClock{}, logr.Discard()
	server, err := ui.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := both(func() error { return server.Run(ctx) }, func() error { return server.Serve(ctx, listener) })
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
}

// both runs functions at once, and returns their errors.
func both(run ...func() error) <-chan error {
	done := make(chan error, len(run))
	for _, f := range run {
		go func() { done <- f() }()
	}
	return done
}

// do sends a request, and reads the answer into something if that is not nil.
func (p *page) do(method, path, body string, into any) (code int, why string) {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Sluice-Request", "1")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= http.StatusBadRequest {
		var failed struct{ Error string }
		if err := json.NewDecoder(answer.Body).Decode(&failed); err != nil {
			p.Fatal(err)
		}
		return answer.StatusCode, failed.Error
	}
	if into != nil {
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			p.Fatal(err)
		}
	}
	return answer.StatusCode, ""
}

// lanesEvent is what the stream says about lanes.
type lanesEvent struct {
	Reset bool
	Set   []report.Lane
	Gone  []string
}

// stream reads the events about lanes.
func (p *page) stream() <-chan lanesEvent {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.url+"/api/v1/stream", http.NoBody)
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		p.Fatal(err, answer)
	}
	p.Cleanup(func() { _ = answer.Body.Close() })
	events := make(chan lanesEvent, 100)
	go func() {
		lines, about := bufio.NewScanner(answer.Body), ""
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if event, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				about = event
			}
			var event lanesEvent
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && about == "lanes" && json.Unmarshal([]byte(data), &event) == nil {
				events <- event
			}
		}
	}()
	return events
}

// until reads events until one is as wanted.
func (p *page) until(what string, events <-chan lanesEvent, wanted func(lanesEvent) bool) {
	p.Helper()
	late := time.After(harness.Patience)
	for {
		select {
		case event := <-events:
			if wanted(event) {
				return
			}
		case <-late:
			p.Fatalf("no event: %s", what)
		}
	}
}

// TestTheStreamFollowsARelease from its first step to its end.
func TestTheStreamFollowsARelease(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	namespace := p.NewNamespace(t, "lanes-", nil)
	c := builder.Canary(namespace, "podinfo")
	for _, object := range []client.Object{builder.Deployment(namespace, "podinfo", "podinfo:1.0.0"), c} {
		if err := p.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	events := open(t, p, "", namespace).stream()
	of := func(e lanesEvent) *report.Lane {
		for _, lane := range e.Set {
			if lane.Key == "Deployment/"+namespace+"/podinfo" {
				return &lane
			}
		}
		return nil
	}
	p2 := &page{T: t}
	p2.until("all lanes", events, func(e lanesEvent) bool { return e.Reset && of(e) != nil })

	c.Status.Phase, c.Status.CanaryWeight = flaggerv1.CanaryPhaseProgressing, 20
	if err := p.Client.Status().Update(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	p2.until("a weight", events, func(e lanesEvent) bool {
		lane := of(e)
		return !e.Reset && lane != nil && slices.ContainsFunc(lane.Cells, func(cell report.Cell) bool {
			return cell.Column == report.ColumnCanary && cell.Value == "20 %" && cell.State == report.CellMoving
		})
	})
	if err := p.Client.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	p2.until("the end of the lane", events, func(e lanesEvent) bool {
		return slices.Contains(e.Gone, "Deployment/"+namespace+"/podinfo")
	})
}

// tenant may do some things in one namespace.
func tenant(t *testing.T, p *harness.Playground, name, namespace string, verbs ...string) {
	t.Helper()
	rules := []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"canaries", "kustomizations", "deployments"}, Verbs: verbs},
	}
	for _, object := range []client.Object{
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Rules: rules},
		&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: name, APIGroup: rbacv1.GroupName}}},
	} {
		if err := p.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

// TestATenantSeesNoNameOfAnother, and is told what there is to do.
func TestATenantSeesNoNameOfAnother(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	mine, theirs := p.NewNamespace(t, "mine-", nil), p.NewNamespace(t, "theirs-", nil)
	for _, namespace := range []string{mine, theirs} {
		if err := p.Client.Create(t.Context(), builder.Canary(namespace, "app-of-"+namespace)); err != nil {
			t.Fatal(err)
		}
	}
	tenant(t, p, "tenant-of-"+mine, mine, "get", "list", "watch")
	of := open(t, p, "tenant-of-"+mine, mine)
	of.until("all lanes", of.stream(), func(e lanesEvent) bool { return e.Reset && len(e.Set) > 0 })
	var lanes report.List[report.Lane]
	if code, why := of.do(http.MethodGet, "/api/v1/lanes", "", &lanes); code != http.StatusOK {
		t.Fatal(code, why)
	}
	text, err := json.Marshal(lanes)
	if err != nil || !strings.Contains(string(text), "app-of-"+mine) || strings.Contains(string(text), theirs) {
		t.Errorf("%v, sees %s", err, text)
	}
	for path, want := range map[string]int{
		"/api/v1/canaries/" + mine + "/app-of-" + mine:                  http.StatusOK,
		"/api/v1/objects/Canary/" + mine + "/app-of-" + mine:            http.StatusOK,
		"/api/v1/timeline?key=Canary/" + mine + "/app-of-" + mine:       http.StatusOK,
		"/api/v1/canaries/" + theirs + "/app-of-" + theirs:              http.StatusForbidden,
		"/api/v1/objects/Canary/" + theirs + "/app-of-" + theirs:        http.StatusForbidden,
		"/api/v1/objects/Secret/" + mine + "/any":                       http.StatusNotFound,
		"/api/v1/objects?kind=Secret":                                   http.StatusNotFound,
		"/api/v1/objects?kind=Canary":                                   http.StatusOK,
		"/api/v1/objects?kind=Pipeline":                                 http.StatusNotFound,
		"/api/v1/everything":                                            http.StatusNotFound,
		"/api/v1/timeline?key=Deployment/" + theirs + "/app-of-" + mine: http.StatusNotFound,
	} {
		if code, why := of.do(http.MethodGet, path, "", nil); code != want {
			t.Errorf("%s: got %d %s, want %d", path, code, why, want)
		}
	}
	everywhere := open(t, p, "tenant-of-"+mine, "")
	var session struct{ Missing []ui.Missing }
	harness.MustEventually(t, "the session says what is missing", harness.True(func() bool {
		everywhere.do(http.MethodGet, "/api/v1/session", "", &session)
		return slices.ContainsFunc(session.Missing, func(m ui.Missing) bool {
			return m.Kind == "Canary" && strings.Contains(m.Why, "name one of yours with -n")
		})
	}))
}

// TestAButtonWithoutTheRightSaysWhichIsMissing and changes nothing.
func TestAButtonWithoutTheRightSaysWhichIsMissing(t *testing.T) {
	t.Parallel()
	p := harness.Installed(t)
	namespace := p.NewNamespace(t, "buttons-", nil)
	k := builder.Kustomization(namespace, "apps")
	if err := p.Client.Create(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	tenant(t, p, "reader-of-"+namespace, namespace, "get", "list", "watch")
	tenant(t, p, "writer-of-"+namespace, namespace, "get", "list", "watch", "patch")
	suspend := `{"kind":"Kustomization","namespace":"` + namespace + `","name":"apps","verb":"suspend"}`
	press := func(user string) (code int, why string) {
		of := open(t, p, user+"-of-"+namespace, namespace)
		of.until("all lanes", of.stream(), func(e lanesEvent) bool { return e.Reset && len(e.Set) > 0 })
		return of.do(http.MethodPost, "/api/v1/actions", suspend, nil)
	}
	if code, why := press("reader"); code != http.StatusForbidden || !strings.Contains(why, `cannot patch resource "kustomizations"`) {
		t.Errorf("got %d %s", code, why)
	}
	if code, why := press("writer"); code != http.StatusNoContent {
		t.Errorf("got %d %s", code, why)
	}
	if err := p.Client.Get(t.Context(), client.ObjectKeyFromObject(k), k); err != nil || !k.Spec.Suspend {
		t.Errorf("%v, suspended %v", err, k.Spec.Suspend)
	}
}
