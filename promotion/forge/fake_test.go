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

// The repository of every fake, whose token is used, and another user.
const (
	owner, repoName, fullName = "acme", "fleet", "acme/fleet"
	us, person, secretToken   = "sluice-bot", "alice", "s3cr3t-t0ken-of-the-bot"
)

// fakeForge is a repository at a forge: what happens to its branches and pull requests,
// whatever the protocol. A function of protocols serves it by the API of one forge.
type fakeForge struct {
	*testing.T
	mu       sync.Mutex
	name     string // of the provider
	remote   forge.Remote
	clients  *forge.Clients
	clock    clock.PassiveClock
	server   *httptest.Server
	branches map[string]string
	pulls    []*fakePull
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

// opened is when all pull requests were opened.
var opened = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// fakePull is a pull request.
type fakePull struct {
	number                        int
	title, body, base, branch     string
	headRepo, head, landed        string
	draft, queued                 bool
	auto                          bool
	autoMethod, completing        forge.Method
	state                         forge.PullRequestState
	author, mergedBy, closedBy    string
	openFor                       time.Duration // until it was closed
	approved                      map[string]bool
	labels, reviewers, assignees  []string
	version, updated              int
	reads                         int
	created, closedAt, mergedTime time.Time
}

// protocols serve a fakeForge by the API of a provider.
var protocols = map[string]struct {
	serve func(*fakeForge) http.Handler
	path  string // of the Git repository, if it is not owner/name
}{
	forge.Gitea:  {serve: serveGitea},
	forge.GitHub: {serve: serveGitHub},
	forge.GitLab: {serve: serveGitLab},

	forge.Bitbucket:       {serve: serveBitbucket},
	forge.AzureDevOps:     {serve: serveAzure, path: "/org/" + owner + "/_git/" + repoName},
	forge.BitbucketServer: {serve: serveDataCenter, path: "/scm/" + fullName + ".git"},
}

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

func newFakeForge(t *testing.T, name string) *fakeForge {
	protocol := protocols[name]
	fake := &fakeForge{T: t, name: name, branches: map[string]string{}, statuses: map[string][]forge.Status{}}
	fake.branches[pullrequest.Base] = fake.commit()
	handler := protocol.serve(fake)
	fake.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fake.mu.Lock()
		defer fake.mu.Unlock()
		fake.requests = append(fake.requests, r.Method+" "+r.URL.RequestURI())
		if fake.intercept != nil && fake.intercept(rw, r) {
			return
		}
		if !strings.Contains(r.Header.Get("Authorization"), " ") {
			fail(rw, http.StatusUnauthorized, "who are you?")
			return
		}
		handler.ServeHTTP(rw, r)
	}))
	t.Cleanup(fake.server.Close)
	fake.clock = testingclock.NewFakePassiveClock(start)
	fake.clients = forge.NewClients(forge.Options{Clock: fake.clock})
	path := protocol.path
	if path == "" {
		path = "/" + fullName + ".git"
	}
	secret := make.Secret("apps", "forge", map[string]string{"token": secretToken})
	fake.remote = forge.Remote{URL: fake.server.URL + path, Provider: name, Secret: secret}
	return fake
}

// later lets time pass, so that what is written in a test does not reach a limit.
func (fake *fakeForge) later(d time.Duration) {
	fake.clock.(*testingclock.FakePassiveClock).SetTime(fake.clock.Now().Add(d))
}

func (fake *fakeForge) Forge() forge.Forge {
	fake.later(10 * time.Second)
	f, err := fake.clients.For(fake.remote)
	if err != nil {
		fake.Fatal(err)
	}
	return f
}

func (fake *fakeForge) Provider() string { return fake.name }
func (fake *fakeForge) Person() string   { return person }

// commit makes the hash of a new commit.
func (fake *fakeForge) commit() string {
	fake.commits++
	return fmt.Sprintf("%x", sha1.Sum([]byte(strconv.Itoa(fake.commits))))
}

func (fake *fakeForge) Push(branch string) string {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	fake.branches[branch] = fake.commit()
	for _, c := range fake.pulls {
		if c.state == forge.Open && c.branch == branch && c.headRepo == fullName {
			c.head, c.reads = fake.branches[branch], 0
			fake.touch(c)
		}
	}
	return fake.branches[branch]
}

func (fake *fakeForge) DeleteBranch(branch string) {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	delete(fake.branches, branch)
}

func (fake *fakeForge) Head(branch string) string {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	return fake.branches[branch]
}

func (fake *fakeForge) OpenFromFork(branch string) {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	c := fake.add("theirs", "", pullrequest.Base, branch)
	c.headRepo, c.head, c.author = "mallory/"+repoName, fake.commit(), "mallory"
}

func (fake *fakeForge) Require(check string) {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	fake.required = check
}

func (fake *fakeForge) Allow(method forge.Method) {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	fake.only = method
}

func (fake *fakeForge) ApproveAsPerson(number int64) {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	c := fake.pull(int(number))
	c.approved[person] = true
	fake.touch(c)
	fake.mergeWaiting()
}

func (fake *fakeForge) CloseAsPerson(number int64) {
	fake.mu.Lock()
	defer fake.mu.Unlock()
	fake.close(fake.pull(int(number)), person)
}

// The rest is called by the fakes, which hold the lock.

func (fake *fakeForge) touch(c *fakePull) {
	fake.touched++
	c.updated = fake.touched
	c.version++
}

func (fake *fakeForge) add(title, body, base, branch string) *fakePull {
	c := &fakePull{
		number: len(fake.pulls) + 1, title: title, body: body, base: base, branch: branch, headRepo: fullName, state: forge.Open, author: us,
		head: fake.branches[branch], approved: map[string]bool{}, created: start,
	}
	fake.pulls = append(fake.pulls, c)
	fake.touch(c)
	return c
}

// opened is the open pull request of a branch of the repository itself, or nil.
func (fake *fakeForge) opened(base, branch string) *fakePull {
	i := slices.IndexFunc(fake.pulls, func(c *fakePull) bool {
		return c.state == forge.Open && c.base == base && c.branch == branch && c.headRepo == fullName
	})
	if i < 0 {
		return nil
	}
	return fake.pulls[i]
}

func (fake *fakeForge) pull(number int) *fakePull {
	if number < 1 || number > len(fake.pulls) {
		return nil
	}
	return fake.pulls[number-1]
}

// recent lists pull requests, those that changed last first.
func (fake *fakeForge) recent() []*fakePull {
	list := slices.Clone(fake.pulls)
	slices.SortFunc(list, func(a, b *fakePull) int { return b.updated - a.updated })
	return list
}

func (fake *fakeForge) close(c *fakePull, by string) {
	c.state, c.closedBy, c.closedAt = forge.Closed, by, start.Add(time.Duration(fake.touched)*time.Minute)
	c.auto, c.queued = false, false
	fake.touch(c)
}

// blockers are why a pull request cannot be merged.
func (fake *fakeForge) blockers(c *fakePull) []forge.Blocker {
	var found []forge.Blocker
	if c.draft {
		found = append(found, forge.ByDraft)
	}
	if fake.required != "" && len(c.approved) == 0 {
		found = append(found, forge.ByApprovals)
	}
	ok := slices.ContainsFunc(fake.statuses[c.head],
		func(s forge.Status) bool { return s.Context == fake.required && s.State == forge.CheckSuccess })
	if fake.required != "" && !ok {
		found = append(found, forge.ByChecks)
	}
	return found
}

func (fake *fakeForge) merge(c *fakePull, method forge.Method, by string) {
	landed := c.head
	if method != forge.FastForward {
		landed = fake.commit()
	}
	fake.merges++
	fake.branches[c.base], c.landed, c.state, c.mergedBy = landed, landed, forge.Merged, by
	c.auto, c.queued, c.mergedTime = false, false, start.Add(time.Duration(fake.touched)*time.Minute)
	fake.touch(c)
}

func (fake *fakeForge) setStatus(sha string, s forge.Status) {
	list := slices.DeleteFunc(slices.Clone(fake.statuses[sha]), func(o forge.Status) bool { return o.Context == s.Context })
	fake.statuses[sha] = append(list, s)
	fake.mergeWaiting()
}

// mergeWaiting merges what waits for its rules.
func (fake *fakeForge) mergeWaiting() {
	for _, c := range fake.pulls {
		if c.auto && c.state == forge.Open && len(fake.blockers(c)) == 0 {
			fake.merge(c, c.autoMethod, us)
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
func (fake *fakeForge) read(r *http.Request) object {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fake.Error(err)
	}
	into := object{}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &into); err != nil {
			fake.Errorf("%s %s: %v in %s", r.Method, r.URL, err, body)
		}
	}
	return into
}

// numbered is the pull request of the path of a request, or nil after the request was answered.
func (fake *fakeForge) numbered(rw http.ResponseWriter, r *http.Request) *fakePull {
	number, _ := strconv.Atoi(r.PathValue("n"))
	c := fake.pull(number)
	if c == nil {
		fail(rw, http.StatusNotFound, "no such pull request")
	}
	return c
}

// onPull returns a function that adds handlers of requests to a pull request, whose number
// is {n} in the path.
func (fake *fakeForge) onPull(handle func(string, func(http.ResponseWriter, *http.Request)), prefix string) func(
	method, path string, do func(http.ResponseWriter, object, *fakePull)) {
	return func(method, path string, do func(http.ResponseWriter, object, *fakePull)) {
		handle(method+" "+prefix+path, func(rw http.ResponseWriter, r *http.Request) {
			if c := fake.numbered(rw, r); c != nil {
				do(rw, fake.read(r), c)
			}
		})
	}
}

// named are objects with these names, as labels are.
func named(names []string) []object {
	list := []object{}
	for _, name := range names {
		list = append(list, object{"name": name})
	}
	return list
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
