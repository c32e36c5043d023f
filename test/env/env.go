// SPDX-License-Identifier: Apache-2.0

// Package env finds the playground that a test runs against.
//
// A test that needs a real API server, registry, Git server or Prometheus
// begins with
//
//	pg := env.Require(t)
//
// and gets their addresses from the environment, as hack/with-playground.sh
// sets it, or else from the file .playground/env of the checkout. A test
// without a playground is skipped, so that `go test ./...` passes on a fresh
// checkout, and says how to get one. Where everything has to run, as in `make test`,
// $SLUICE_TEST_COMPLETE is set and a test that would be skipped fails instead.
package env

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ErrNone means that there is no playground to test against.
var ErrNone = errors.New("no playground: run `make playground && bin/playground up` first, or run the test with hack/with-playground.sh")

// complete is the environment variable that turns a skipped test into a failed one.
const complete = "SLUICE_TEST_COMPLETE"

// Missing skips a test because of what is missing to run it, and fails it where all
// tests have to run. The error says how to get what is missing.
func Missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(complete) != "" {
		t.Fatalf("%v ($%s is set: no test may be skipped)", err, complete)
	}
	t.Skip(err)
}

// Main is the TestMain of tests that share what setup makes, which runs them and returns
// their exit code. If there is no playground, and not all tests have to run, they are
// skipped.
func Main(m *testing.M, setup func(*testing.M) (int, error)) {
	code, err := setup(m)
	if err == nil {
		os.Exit(code)
	}
	if errors.Is(err, ErrNone) && os.Getenv(complete) == "" {
		fmt.Fprintln(os.Stderr, "all tests are skipped:", err)
		return
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// AtOnce runs so many tests of a package at once, however few processors there are: tests
// that wait for intervals do not compute. It is called by TestMain before [Main].
func AtOnce(tests int) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(tests)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Playground says where everything is. See test/playground/README.md.
type Playground struct {
	REST              *rest.Config // of the administrator, without a client-side rate limit
	Kubeconfig        string       // path
	Kubectl           string       // path of a kubectl of the same version
	Node              string       // simulated, real or none
	Registry          string       // host:port, plain HTTP, no authentication
	GitURL            string       // of the server: a repository's is GitURL/name.git
	GitRoot           string       // folder: a bare repository made in GitRoot/name.git is served
	GitUsername       string
	GitPassword       string
	Prometheus        string // URL
	PrometheusTargets string // folder: *.json and *.yaml in it are read as file_sd targets
}

// Require returns the running playground. Without one the test is skipped; see
// [Missing].
func Require(t testing.TB) Playground {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Find(dir)
	if errors.Is(err, ErrNone) {
		Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.alive(ctx); err != nil {
		t.Fatalf("%v\nthe one that was found (%s) does not answer: %v", ErrNone, p.Kubeconfig, err)
	}
	return p
}

// Find reads the environment, or the .playground/env of dir or the nearest
// folder above it. It does not check that anything runs.
func Find(dir string) (Playground, error) {
	if os.Getenv("SLUICE_REGISTRY") != "" {
		return load(os.Getenv)
	}
	for ; ; dir = filepath.Dir(dir) {
		p, err := Open(filepath.Join(dir, ".playground"))
		if !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
		if dir == filepath.Dir(dir) {
			return Playground{}, ErrNone
		}
	}
}

// Open reads the env file of the playground in dir, and no other. Without one it
// returns fs.ErrNotExist.
func Open(dir string) (Playground, error) {
	text, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		return Playground{}, err
	}
	vars := parse(string(text))
	return load(func(name string) string { return vars[name] })
}

func load(get func(string) string) (Playground, error) {
	var p Playground
	for name, field := range map[string]*string{
		"KUBECONFIG": &p.Kubeconfig, "SLUICE_KUBECTL": &p.Kubectl, "SLUICE_NODE": &p.Node,
		"SLUICE_REGISTRY": &p.Registry, "SLUICE_GIT_URL": &p.GitURL, "SLUICE_GIT_ROOT": &p.GitRoot,
		"SLUICE_GIT_USERNAME": &p.GitUsername, "SLUICE_GIT_PASSWORD": &p.GitPassword,
		"SLUICE_PROMETHEUS": &p.Prometheus, "SLUICE_PROMETHEUS_TARGETS": &p.PrometheusTargets,
	} {
		if *field = get(name); *field == "" {
			return p, fmt.Errorf("the playground's environment lacks %s: %w", name, ErrNone)
		}
	}
	var err error
	if p.REST, err = clientcmd.BuildConfigFromFlags("", p.Kubeconfig); err != nil {
		return p, fmt.Errorf("reading kubeconfig: %w", err)
	}
	p.REST.QPS = -1 // a test waits for nothing but its subject
	return p, nil
}

// parse reads what the launcher writes: lines of export NAME='value', where a
// quote in the value is written as '\”.
func parse(text string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if ok {
			value = strings.TrimSuffix(strings.TrimPrefix(value, "'"), "'")
			vars[name] = strings.ReplaceAll(value, `'\''`, "'")
		}
	}
	return vars
}

func (p Playground) alive(ctx context.Context) error {
	client, err := discovery.NewDiscoveryClientForConfig(p.REST)
	if err != nil {
		return err
	}
	_, err = client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return err
}
