// SPDX-License-Identifier: Apache-2.0

package forge_test

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/sluice-cd/sluice/promotion/forge"
	"github.com/sluice-cd/sluice/test/contract/pullrequest"
	"github.com/sluice-cd/sluice/test/make"
)

// The repository of a world, who we are, and the person beside us.
const (
	owner, repoName, fullName = "acme", "fleet", "acme/fleet"
	us, person, secretToken   = "sluice-bot", "alice", "s3cr3t-t0ken-of-the-bot"
)

// world is a repository at a forge as all of the fakes see it: what a forge does,
// without the protocol in which it tells. Each fake serves it as its forge would.
type world struct {
	*testing.T
	mu       sync.Mutex
	name     string // of the provider
	remote   forge.Remote
	clients  *forge.Clients
	clock    clock.PassiveClock
	server   *httptest.Server
	branches map[string]string
	changes  []*change
	statuses map[string][]forge.Status
	required string       // the check that main demands, beside an approval; "" is nothing
	only     forge.Method // that the repository allows; "" is all
	commits  int
	merges   int
	touched  int
	labels   []string
	requests []string
	// checkRuns are those of every commit, at GitHub.
	checkRuns []object
	// protection is the name of the rule of main, for administrators, at Gitea.
	protection string
	// commitStatuses are those that no policy looks at, at Azure DevOps.
	commitStatuses []shaStatus
	// intercept may answer instead of the forge.
	intercept func(http.ResponseWriter, *http.Request) bool
	// checking is for how many more looks mergeability is not known after a push.
	checking int
}

// shaStatus is a status of a commit.
type shaStatus struct {
	sha string
	forge.Status
}

// change is a pull request.
type change struct {
	number                        int
	title, body, base, branch     string
	headRepo, head, landed        string
	draft, queued                 bool
	auto                          bool
	autoMethod, completing        forge.Method
	state                         forge.State
	author, mergedBy, closedBy    string
	approved                      map[string]bool
	labels, reviewers, assignees  []string
	version, updated              int
	reads                         int
	created, closedAt, mergedTime time.Time
}

// fakes are the forges by provider: each serves a world.
var fakes = map[string]struct {
	serve func(*world) http.Handler
	path  string // of the Git repository, if it is not owner/name
}{
	forge.Gitea:  {serve: serveGitea},
	forge.GitHub: {serve: serveGitHub},
	forge.GitLab: {serve: serveGitLab},

	forge.Bitbucket:       {serve: serveBitbucket},
	forge.AzureDevOps:     {serve: serveAzure, path: "/org/" + owner + "/_git/" + repoName},
	forge.BitbucketServer: {serve: serveBitbucketServer, path: "/scm/" + fullName + ".git"},
}

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, name string) *world {
	fake := fakes[name]
	w := &world{T: t, name: name, branches: map[string]string{}, statuses: map[string][]forge.Status{}}
	w.branches[pullrequest.Base] = w.commit()
	handler := fake.serve(w)
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.requests = append(w.requests, r.Method+" "+r.URL.RequestURI())
		if w.intercept != nil && w.intercept(rw, r) {
			return
		}
		if !strings.Contains(r.Header.Get("Authorization"), " ") {
			fail(rw, http.StatusUnauthorized, "who are you?")
			return
		}
		handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.server.Close)
	w.clock = testingclock.NewFakePassiveClock(start)
	w.clients = forge.NewClients(forge.Options{Clock: w.clock})
	path := fake.path
	if path == "" {
		path = "/" + fullName + ".git"
	}
	secret := make.Secret("apps", "forge", map[string]string{"token": secretToken})
	w.remote = forge.Remote{URL: w.server.URL + path, Provider: name, Secret: secret}
	return w
}

// later lets time pass, so that what is written in a test does not reach a limit.
func (w *world) later(d time.Duration) {
	w.clock.(*testingclock.FakePassiveClock).SetTime(w.clock.Now().Add(d))
}

func (w *world) Forge() forge.Forge {
	w.later(10 * time.Second)
	f, err := w.clients.For(w.remote)
	if err != nil {
		w.Fatal(err)
	}
	return f
}

func (w *world) Provider() string { return w.name }
func (w *world) Person() string   { return person }

// commit makes the hash of a new commit.
func (w *world) commit() string {
	w.commits++
	return fmt.Sprintf("%x", sha1.Sum([]byte(strconv.Itoa(w.commits))))
}

func (w *world) Push(branch string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.branches[branch] = w.commit()
	for _, c := range w.changes {
		if c.state == forge.Open && c.branch == branch && c.headRepo == fullName {
			c.head, c.reads = w.branches[branch], 0
			w.touch(c)
		}
	}
	return w.branches[branch]
}

func (w *world) DeleteBranch(branch string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.branches, branch)
}

func (w *world) Head(branch string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.branches[branch]
}

func (w *world) OpenFromFork(branch string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.add("theirs", "", pullrequest.Base, branch)
	c.headRepo, c.head, c.author = "mallory/"+repoName, w.commit(), "mallory"
}

func (w *world) Require(check string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.required = check
}

func (w *world) Allow(method forge.Method) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.only = method
}

func (w *world) Approve(number int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.change(int(number))
	c.approved[person] = true
	w.touch(c)
	w.settle()
}

func (w *world) ClosePerson(number int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close(w.change(int(number)), person)
}

// The rest is called by the fakes, which hold the lock.

func (w *world) touch(c *change) {
	w.touched++
	c.updated = w.touched
	c.version++
}

func (w *world) add(title, body, base, branch string) *change {
	c := &change{
		number: len(w.changes) + 1, title: title, body: body, base: base, branch: branch, headRepo: fullName, state: forge.Open, author: us,
		head: w.branches[branch], approved: map[string]bool{}, created: start,
	}
	w.changes = append(w.changes, c)
	w.touch(c)
	return c
}

// opened is an open change of our branch, or nil.
func (w *world) opened(base, branch string) *change {
	i := slices.IndexFunc(w.changes, func(c *change) bool {
		return c.state == forge.Open && c.base == base && c.branch == branch && c.headRepo == fullName
	})
	if i < 0 {
		return nil
	}
	return w.changes[i]
}

func (w *world) change(number int) *change {
	if number < 1 || number > len(w.changes) {
		return nil
	}
	return w.changes[number-1]
}

// recent lists changes, those that changed last first.
func (w *world) recent() []*change {
	list := slices.Clone(w.changes)
	slices.SortFunc(list, func(a, b *change) int { return b.updated - a.updated })
	return list
}

func (w *world) close(c *change, by string) {
	c.state, c.closedBy, c.closedAt = forge.Closed, by, start.Add(time.Duration(w.touched)*time.Minute)
	c.auto, c.queued = false, false
	w.touch(c)
}

// blockers are why a change cannot be merged.
func (w *world) blockers(c *change) []forge.Blocker {
	var found []forge.Blocker
	if c.draft {
		found = append(found, forge.ByDraft)
	}
	if w.required != "" && len(c.approved) == 0 {
		found = append(found, forge.ByApprovals)
	}
	ok := slices.ContainsFunc(w.statuses[c.head], func(s forge.Status) bool { return s.Context == w.required && s.State == forge.CheckSuccess })
	if w.required != "" && !ok {
		found = append(found, forge.ByChecks)
	}
	return found
}

func (w *world) merge(c *change, method forge.Method, by string) {
	landed := c.head
	if method != forge.FastForward {
		landed = w.commit()
	}
	w.merges++
	w.branches[c.base], c.landed, c.state, c.mergedBy = landed, landed, forge.Merged, by
	c.auto, c.queued, c.mergedTime = false, false, start.Add(time.Duration(w.touched)*time.Minute)
	w.touch(c)
}

func (w *world) setStatus(sha string, s forge.Status) {
	list := slices.DeleteFunc(slices.Clone(w.statuses[sha]), func(o forge.Status) bool { return o.Context == s.Context })
	w.statuses[sha] = append(list, s)
	w.settle()
}

// settle merges what waits for its rules.
func (w *world) settle() {
	for _, c := range w.changes {
		if c.auto && c.state == forge.Open && len(w.blockers(c)) == 0 {
			w.merge(c, c.autoMethod, us)
		}
	}
}

// fail answers with an error in the form that most forges have.
func fail(rw http.ResponseWriter, code int, message string) {
	reply(rw, code, map[string]any{"message": message})
}

func reply(rw http.ResponseWriter, code int, value any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	if value != nil {
		_ = json.NewEncoder(rw).Encode(value)
	}
}

// object is JSON.
type object = map[string]any

// read decodes the body of a request.
func (w *world) read(r *http.Request) object {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.Error(err)
	}
	into := object{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &into); err != nil {
			w.Errorf("%s %s: %v in %s", r.Method, r.URL, err, body)
		}
	}
	return into
}

// numbered is the change of the path of a request, or nil after it was answered.
func (w *world) numbered(rw http.ResponseWriter, r *http.Request) *change {
	number, _ := strconv.Atoi(r.PathValue("n"))
	c := w.change(number)
	if c == nil {
		fail(rw, http.StatusNotFound, "no such pull request")
	}
	return c
}

// firstPage is as much of a list as one answer has.
func firstPage(list []object) []object { return list[:min(len(list), 50)] }

func texts(values any) []string {
	list, _ := values.([]any)
	var found []string
	for _, value := range list {
		found = append(found, fmt.Sprint(value))
	}
	return found
}
