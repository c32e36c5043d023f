// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asLauncher makes this test binary behave as the launcher, so that the tests
// run the very program, and it can start itself as registry and Git server.
const asLauncher = "PLAYGROUND_TEST_LAUNCHER"

func TestMain(m *testing.M) {
	if os.Getenv(asLauncher) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// launch runs a command of the launcher and returns what it says.
func launch(args ...string) (string, error) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asLauncher+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// lab is a playground that ends with its test.
type lab struct {
	t   *testing.T
	dir string
}

func newLab(t *testing.T) lab {
	t.Helper()
	l := lab{t: t, dir: filepath.Join(t.TempDir(), "playground")}
	t.Cleanup(func() {
		if out, err := launch("down", "--dir", l.dir); err != nil {
			t.Errorf("down: %v\n%s", err, out)
		}
		if left := l.processes(); len(left) > 0 {
			t.Errorf("down leaves processes: %v", left)
		}
	})
	return l
}

func (l lab) up(args ...string) string {
	l.t.Helper()
	out, err := launch(append([]string{"up", "--dir", l.dir}, args...)...)
	if err != nil {
		l.t.Fatalf("up: %v\n%s", err, out)
	}
	return out
}

func (l lab) down(args ...string) string {
	l.t.Helper()
	out, err := launch(append([]string{"down", "--dir", l.dir}, args...)...)
	if err != nil {
		l.t.Fatalf("down: %v\n%s", err, out)
	}
	return out
}

// env evaluates an expression in a shell that has sourced the env file.
func (l lab) env(expression string) string {
	l.t.Helper()
	script := fmt.Sprintf(". '%s/env' && %s", l.dir, expression)
	out, err := exec.Command("sh", "-euc", script).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", expression, err, out)
	}
	return strings.TrimSpace(string(out))
}

// processes are the command lines that name the lab's folder.
func (l lab) processes() []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the only error is a bad pattern
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(line), l.dir) {
			found = append(found, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

// kill ends a service as a crash would.
func (l lab) kill(name string) {
	l.t.Helper()
	state, err := os.ReadFile(filepath.Join(l.dir, "state.json"))
	if err != nil {
		l.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(state), fmt.Sprintf("%q: {", name))
	var pid int
	if _, err := fmt.Sscanf(strings.TrimSpace(after), `"pid": %d`, &pid); err != nil {
		l.t.Fatalf("no process of %s in %s: %v", name, state, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		l.t.Fatal(err)
	}
}

func wantWords(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("it does not say %q:\n%s", word, text)
		}
	}
}

func TestUpIsIdempotentAndRestartsWhatDied(t *testing.T) {
	l := newLab(t)
	wantWords(t, l.up(), "kube-apiserver", "is ready after")
	if got := l.env("$SLUICE_KUBECTL get nodes -o name"); got != "node/node-1\nnode/node-2\nnode/node-3" {
		t.Errorf("nodes: %s", got)
	}
	l.env("$SLUICE_KUBECTL create deployment web --image=example.com/web:1 --replicas=2")
	l.env("$SLUICE_KUBECTL rollout status deployment web --timeout=60s")

	wantWords(t, l.up(), "already up and healthy")

	l.kill("registry")
	l.kill("kube-apiserver")
	wantWords(t, l.up(), "registry", "kube-apiserver", "restarted")
	l.env("$SLUICE_KUBECTL get deployment web")

	wantWords(t, l.down(), "down and removed")
	if _, err := os.Stat(l.dir); err == nil {
		t.Error("down leaves the folder")
	}
	wantWords(t, l.down(), "no playground")
}

func TestTwoAtOnce(t *testing.T) {
	labs := []lab{newLab(t), newLab(t)}
	var wait sync.WaitGroup
	for _, l := range labs {
		wait.Go(func() {
			if out, err := launch("up", "--node", "none", "--dir", l.dir); err != nil {
				t.Errorf("up: %v\n%s", err, out)
			}
		})
	}
	wait.Wait()
	if a, b := labs[0].env("echo $SLUICE_REGISTRY"), labs[1].env("echo $SLUICE_REGISTRY"); a == b {
		t.Errorf("both have their registry at %s", a)
	}
	labs[0].down()
	wantWords(t, labs[1].up("--node", "none"), "already up and healthy")
}

func TestDataSurvivesADownThatKeepsIt(t *testing.T) {
	l := newLab(t)
	l.up("--node", "none")
	l.env("$SLUICE_KUBECTL create configmap kept")
	l.env(`git init --quiet --bare "$SLUICE_GIT_ROOT/kept.git"`)
	pushManifest(t, l.env("echo $SLUICE_REGISTRY"))
	wantWords(t, l.down("--keep-data"), "its data is kept")
	if left := l.processes(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
	l.up("--node", "none")
	l.env("$SLUICE_KUBECTL get configmap kept")
	l.env(`git ls-remote "http://$SLUICE_GIT_USERNAME:$SLUICE_GIT_PASSWORD@${SLUICE_GIT_URL#http://}/kept.git"`)
	resp, err := http.Get("http://" + l.env("echo $SLUICE_REGISTRY") + "/v2/app/manifests/kept")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the image is gone: %s", resp.Status)
	}
}

func pushManifest(t *testing.T, registry string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+registry+"/v2/app/manifests/kept", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestUpSaysWhatIsWrong(t *testing.T) {
	l := newLab(t)
	l.up("--node", "none")
	registry := l.env("echo $SLUICE_REGISTRY")
	refuse := func(words ...string) {
		t.Helper()
		out, err := launch("up", "--node", "none", "--dir", l.dir)
		if err == nil {
			t.Errorf("up succeeds:\n%s", out)
		}
		wantWords(t, out, words...)
	}
	out, err := launch("up", "--node", "simulated", "--dir", l.dir)
	if err == nil {
		t.Errorf("up with other nodes succeeds:\n%s", out)
	}
	wantWords(t, out, `it is there with none nodes: run "down"`)

	l.down("--keep-data")
	stranger := listen(t, registry)
	refuse("registry cannot have its port", registry, fmt.Sprintf("process %d", os.Getpid()))
	stranger.Close()

	etcd := filepath.Join(l.dir, "data", "etcd")
	if err := os.RemoveAll(etcd); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(etcd, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l.down("--keep-data")
	refuse("etcd died", "the last lines of "+filepath.Join(l.dir, "logs", "etcd.log"), "not a directory")
}

// listen waits for the port: who had it may just have ended.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := net.Listen("tcp", address)
		if err == nil {
			t.Cleanup(func() { l.Close() })
			return l
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func TestARealNodeNamesTheMissingPackages(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "up", "--node", "real", "--dir", filepath.Join(t.TempDir(), "none"))
	cmd.Env = []string{asLauncher + "=1", "PATH=/nonexistent", "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("up succeeds:\n%s", out)
	}
	wantWords(t, string(out), "packages that are not installed: containerd", "iptables", "runc", "apt-get install")
}

func TestUnknownNodesAreAnError(t *testing.T) {
	out, err := launch("up", "--node", "imaginary")
	if err == nil {
		t.Error("up succeeds")
	}
	wantWords(t, out, `"imaginary" is no kind of node`, "simulated, real or none")
}
