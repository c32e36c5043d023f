// SPDX-License-Identifier: Apache-2.0

// Package flux runs the Flux CLI, built from its own module and unmodified,
// against a playground where Sluice serves instead of Flux's controllers.
//
//	flux binary --> kube-apiserver <-- sluice controller
//	                     |
//	                     '-- config/default, installed with kubectl
//
// Nothing here knows Sluice from inside: a command is run, and its exit code and
// what it prints are judged. The commands of one test are a story in one
// namespace, told as a list of [step]; stories run at once. [TestClients] does the
// same with the requests of other clients: the pages that people have, and Grafana.
//
// The installation's pod runs on a simulated node and so runs nothing. The
// controller is a process beside it, whose log a small kubelet serves as the
// pod's; see kubelet_test.go.
package flux

import (
	"context"
	"fmt"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/test/env"
	"github.com/sluice-cd/sluice/test/harness"
)

// testEnv is what all stories share.
type testEnv struct {
	*harness.Playground
	cli    string // path of the flux binary
	own    string // path of Sluice's
	home   string // an empty home folder, so that nobody's configuration plays a part
	sluice *harness.Controller
}

// the is the one of this package, made by TestMain.
var the *testEnv

func TestMain(m *testing.M) {
	// The CLI looks every two seconds and sleeps in between: stories are told
	// at once, however few processors there are.
	env.AtOnce(8)
	env.Main(m, setup)
}

func setup(m *testing.M) (int, error) {
	ctx := context.Background()
	playground, err := harness.FromEnv()
	if err != nil {
		return 0, err
	}
	work, err := os.MkdirTemp("", "sluice-flux-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(work)
	the = &testEnv{Playground: playground, home: work}
	if the.cli, err = harness.Upstream(ctx, "flux"); err != nil {
		return 0, err
	}
	if the.own, err = harness.Binary(); err != nil {
		return 0, err
	}
	if err := the.install(ctx); err != nil {
		return 0, err
	}
	if the.sluice, err = the.StartController(ctx, work, "--canary-min-interval", "1s", "--resource-info"); err != nil {
		return 0, err
	}
	defer the.sluice.Stop()
	watch, err := startWatch(ctx, the.Client)
	if err != nil {
		return 0, err
	}
	code := m.Run()
	for _, broken := range watch.stop() {
		fmt.Fprintln(os.Stderr, "--- FAIL:", broken)
		code = 1
	}
	return code, nil
}

// install does what the README says, with kubectl.
func (w *testEnv) install(ctx context.Context) error {
	if err := w.Install(ctx); err != nil { // the Gateway API, which an installation expects
		return err
	}
	return w.InstallDefault(ctx)
}

// namespace makes a namespace for one story and removes it afterwards.
func (w *testEnv) namespace(t *testing.T, name string) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := w.Client.Create(t.Context(), ns); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		if err := client.IgnoreNotFound(w.Client.Delete(ctx, ns)); err != nil {
			t.Error(err)
		}
		// The controller has to live until finalizers are gone.
		_, err := harness.Eventually(ctx, "the deletion of namespace "+name, harness.Patience, func(ctx context.Context) (bool, string) {
			err := w.Client.Get(ctx, client.ObjectKeyFromObject(ns), ns)
			return apierrors.IsNotFound(err), fmt.Sprint(ns.Status)
		})
		if err != nil {
			t.Error(err)
		}
	})
}
