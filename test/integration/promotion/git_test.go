// SPDX-License-Identifier: Apache-2.0

package promotion

import (
	"context"
	"strings"
	"testing"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/harness"
)

// playgroundGit is a repository at the Git server of the playground.
type playgroundGit struct {
	*harness.Repo
	p *harness.Playground
}

func (g playgroundGit) remote() (url, username, password string) {
	return g.URL, g.p.GitUsername, g.p.GitPassword
}

func (g playgroundGit) head(ctx context.Context, branch string) (string, error) {
	return harness.Git(ctx, "-C", g.Bare, "for-each-ref", "--format=%(objectname)", "refs/heads/"+branch)
}

func (g playgroundGit) file(ctx context.Context, branch, path string) (string, error) {
	return g.FileAt(ctx, branch, path)
}

func (g playgroundGit) messages(ctx context.Context) ([]string, error) {
	out, err := harness.Git(ctx, "-C", g.Bare, "log", "--format=%B%x00", harness.Branch)
	var messages []string
	for message := range strings.SplitSeq(out, "\x00") {
		if message = strings.TrimSpace(message); message != "" {
			messages = append(messages, message)
		}
	}
	return messages, err
}

func (g playgroundGit) commit(ctx context.Context, message string, files map[string]string) error {
	contents := map[string][]byte{}
	for path, text := range files {
		contents[path] = []byte(text)
	}
	_, err := g.Commit(ctx, message, contents)
	return err
}

// newScenario is one by commits, at the Git server of the playground, in the environment of
// Sluice's own controllers.
func newScenario(t *testing.T, name string) *scenario {
	t.Helper()
	return newScenarioIn(t, name, sluices)
}

// newScenarioIn has a repository whose stages have 1.0.0, and no pipeline yet.
func newScenarioIn(t *testing.T, name string, in func() (*environment, error)) *scenario {
	t.Helper()
	t.Parallel()
	harness.Installed(t)
	w, err := in()
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{T: t, environment: w, name: name}
	repo, err := w.p.NewRepo(t.Context(), w.namespace+"-"+name, t.TempDir())
	s.must(err)
	s.git = playgroundGit{repo, w.p}
	s.must(s.git.commit(t.Context(), "Begin", s.first()))
	s.pushFirst()
	s.ends()
	return s
}

// first are the files that a scenario begins with.
func (s *scenario) first() map[string]string {
	return map[string]string{"staging/app.yaml": s.stageFile("staging", "1.0.0"), "production/app.yaml": s.stageFile("production", "1.0.0")}
}

func (s *scenario) pushFirst() {
	s.Helper()
	_, err := s.p.PushImage(s.Context(), s.namespace+"/"+s.name, "1.0.0", nil)
	s.must(err)
}

// ends deletes the pipeline when the test is over, and tells why it failed.
func (s *scenario) ends() {
	s.Cleanup(func() {
		if s.Failed() {
			s.tell(s.T)
		}
		p := &sluicev1.Pipeline{}
		p.Namespace, p.Name = s.namespace, s.name
		_ = s.p.Client.Delete(context.Background(), p)
	})
}

// begin applies the objects of a scenario of two stages, and waits until both are verified
// with 1.0.0.
func (s *scenario) begin(pipeline string) {
	s.Helper()
	s.apply(images, kustomizations, pipeline)
	s.stands("1.0.0", "1.0.0")
}
