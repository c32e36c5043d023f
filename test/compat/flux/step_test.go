// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/test/harness"
)

// step is one command of a story.
type step struct {
	does string // a sentence
	// run is the command, split at spaces. Words in braces are replaced by the
	// story's values.
	run string
	// ours has Sluice's CLI run the command, which is given no namespace then.
	ours bool
	// code is the wanted exit code.
	code int
	// out and err are what the command has to print to stdout and stderr, part
	// by part; parts are filled in as run is. White space counts as one space:
	// tables are padded.
	out, err []string
	// not is what it must not print, to either.
	not []string
	// within is how soon it has to end; default is [harness.Patience].
	within time.Duration
	// before runs first.
	before func(t *testing.T)
	// eventually repeats the command until it prints what is wanted, for what
	// another controller does meanwhile.
	eventually bool
}

// story runs steps in order, against one namespace, and ends with the first that
// fails: the next ones build on it.
type story struct {
	*testEnv
	namespace  string
	repository string // of its image, in the registry
	values     map[string]string
}

func newStory(t *testing.T, namespace string) *story {
	t.Helper()
	the.namespace(t, namespace)
	// The registry keeps what earlier runs pushed.
	repository := fmt.Sprintf("%s-%d/podinfo", namespace, time.Now().UnixMilli())
	return &story{testEnv: the, namespace: namespace, repository: repository, values: map[string]string{
		"{ns}": namespace, "{image}": the.Registry + "/" + repository, "{registry}": the.Registry,
		"{git}": the.GitURL, "{git-user}": the.GitUsername, "{git-password}": the.GitPassword,
	}}
}

func (s *story) fill(text string) string {
	for name, value := range s.values {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

func (s *story) tell(t *testing.T, steps []step) {
	t.Helper()
	for _, step := range steps {
		if !t.Run(step.does, func(t *testing.T) { s.take(t, step) }) {
			t.Fatalf("the story ends here; the controller said:\n%s", the.sluice.Tail(3000))
		}
	}
}

func (s *story) take(t *testing.T, step step) {
	t.Helper()
	if step.before != nil {
		step.before(t)
	}
	if step.within == 0 {
		step.within = harness.Patience
	}
	deadline := time.Now().Add(harness.Patience)
	for {
		said := s.run(t, step)
		wrong := s.judge(step, said)
		if wrong == "" {
			return
		}
		if !step.eventually || time.Now().After(deadline) {
			t.Fatalf("%s %s: %s\nexit code %d after %s\nstdout:\n%s\nstderr:\n%s",
				filepath.Base(s.program(step)), s.fill(step.run), wrong, said.code, said.took.Round(time.Millisecond), said.out, said.err)
		}
	}
}

// said is what became of a command.
type said struct {
	out, err string
	code     int
	hung     bool
	took     time.Duration
}

// judge returns what is wrong, or "".
func (s *story) judge(step step, said said) string {
	switch {
	case said.hung:
		return "hung"
	case strings.Contains(said.err, "panic:"):
		return "panicked"
	case said.code != step.code:
		return "wrong exit code"
	}
	for _, stream := range []struct {
		name, text string
		parts      []string
	}{{"stdout", said.out, step.out}, {"stderr", said.err, step.err}} {
		for _, part := range stream.parts {
			if !strings.Contains(squeeze(stream.text), squeeze(s.fill(part))) {
				return stream.name + " lacks " + s.fill(part)
			}
		}
	}
	for _, part := range step.not {
		if strings.Contains(squeeze(said.out+said.err), squeeze(s.fill(part))) {
			return "said " + s.fill(part)
		}
	}
	return ""
}

// squeeze makes one space of any white space.
func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }

// program is what runs the command of a step.
func (s *story) program(of step) string {
	if of.ours {
		return s.own
	}
	return s.cli
}

func (s *story) run(t *testing.T, step step) said {
	t.Helper()
	args := s.args(step.run)
	if step.ours {
		args = args[len(namespaceFlag):]
	}
	return s.command(t, step.within, s.program(step), args...)
}

// namespaceFlag is what every command of Flux's CLI begins with.
var namespaceFlag = [...]string{"-n", "{ns}"}

// args are a command's arguments. It is split before it is filled in: a value
// may have spaces.
func (s *story) args(command string) []string {
	var args []string
	for _, arg := range append(namespaceFlag[:], strings.Fields(command)...) {
		args = append(args, s.fill(arg))
	}
	return args
}

// environment has the playground's kubeconfig and nothing of the user's.
func (w *testEnv) environment() []string {
	return []string{
		"KUBECONFIG=" + w.Kubeconfig, "HOME=" + w.home, "PATH=" + os.Getenv("PATH"),
		// `flux check` asks the world for a newer version of itself. Loopback
		// is never asked through a proxy.
		"HTTPS_PROXY=http://127.0.0.1:1",
	}
}

// command runs a program and returns what it said.
func (w *testEnv) command(t *testing.T, within time.Duration, name string, args ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = w.environment()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running %s: %v", name, err)
	}
	return said{
		out: stdout.String(), err: stderr.String(), code: cmd.ProcessState.ExitCode(),
		hung: ctx.Err() != nil, took: time.Since(start),
	}
}
