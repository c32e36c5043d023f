// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// chartNamespace is where the chart is installed: clients of Flux look there.
const chartNamespace = "flux-system"

// Running is a controller that serves the playground.
type Running interface {
	// Stop ends it.
	Stop()
	// Tail is the last n bytes of its log.
	Tail(n int) string
	// FollowLog is a command that shows its log.
	FollowLog() string
}

// Start runs the controller as users of such nodes do: on a real node from its image,
// installed in the cluster by its chart, and otherwise as a process, with its state
// and log under dir.
func (p *Playground) Start(ctx context.Context, dir string, flags ...string) (Running, error) {
	if p.Node != "real" {
		c, err := p.StartController(ctx, dir, flags...)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	c := &Chart{playground: p, flags: flags}
	if err := c.Upgrade(ctx, "v0.0.1"); err != nil {
		return nil, errors.Join(err, c.Uninstall(ctx))
	}
	return c, nil
}

// FollowLog implements [Running].
func (c *Controller) FollowLog() string { return "tail -f " + c.Log() }

// Chart is Sluice in the cluster, as a release of Helm from an image in the
// playground's registry.
type Chart struct {
	playground *Playground
	flags      []string
}

// Upgrade builds the image, pushes it as a version, and installs the chart with it, or
// upgrades to it. It returns when the pod is ready.
func (c *Chart) Upgrade(ctx context.Context, version string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	repository := c.playground.Registry + "/sluice"
	push := exec.CommandContext(ctx, "go", "-C", root, "run", "./hack/image", "-version", version,
		"-platforms", "linux/"+runtime.GOARCH, "-push", repository+":"+version, "-allow-dirty")
	if out, err := push.CombinedOutput(); err != nil {
		return fmt.Errorf("building the image: %w: %s", err, out)
	}
	// Registry, Git server and Prometheus of the playground are at loopback: the pod is in the host's network.
	values := []string{"image.repository=" + repository, "image.tag=" + version, "hostNetwork=true",
		"storage.advertisedAddress=127.0.0.1:9090"}
	for i, flag := range append([]string{"--allow-addresses=127.0.0.0/8", "--metrics-server=" + c.playground.Prometheus}, c.flags...) {
		values = append(values, fmt.Sprintf("args[%d]=%s", i, strings.ReplaceAll(flag, ",", `\,`)))
	}
	args := []string{"upgrade", "--install", "sluice", filepath.Join(root, "charts", "sluice"), "--create-namespace",
		"--take-ownership", "--force-conflicts", // of CRDs that tests applied before
		"--wait", "--timeout", "2m"}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	if err := c.helm(ctx, args...); err != nil {
		return fmt.Errorf("%w\n%s", err, c.Tail(4000))
	}
	return nil
}

// Uninstall removes the release, and waits until its pod is gone.
func (c *Chart) Uninstall(ctx context.Context) error {
	if err := c.helm(ctx, "uninstall", "sluice", "--wait", "--timeout", "2m"); err != nil {
		return err
	}
	_, err := Eventually(ctx, "the end of Sluice's Deployment", Patience, func(ctx context.Context) (bool, string) {
		err := c.playground.Client.Get(ctx, client.ObjectKey{Namespace: chartNamespace, Name: "sluice"}, &appsv1.Deployment{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
	return err
}

// Images are what runs, by pod.
func (c *Chart) Images(ctx context.Context) (map[string]string, error) {
	var pods corev1.PodList
	err := c.playground.Client.List(ctx, &pods, client.InNamespace(chartNamespace), client.MatchingLabels{"app": "sluice"})
	images := map[string]string{}
	for i := range pods.Items {
		images[pods.Items[i].Name] = pods.Items[i].Spec.Containers[0].Image
	}
	return images, err
}

// Stop implements [Running]: it uninstalls, whatever ended the test.
func (c *Chart) Stop() { _ = c.Uninstall(context.Background()) }

// Tail implements [Running].
func (c *Chart) Tail(n int) string {
	args := []string{"-n", chartNamespace, "--kubeconfig", c.playground.Kubeconfig}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	log, err := exec.CommandContext(ctx, c.playground.Kubectl, append(args, "logs", "deployment/sluice", "--tail=200")...).CombinedOutput()
	if err != nil || len(log) == 0 { // it never ran: the pod says why
		log, err = exec.CommandContext(ctx, c.playground.Kubectl, append(args, "describe", "pods", "-l", "app=sluice")...).CombinedOutput()
	}
	if err != nil {
		log = append(log, err.Error()...)
	}
	return string(log[max(0, len(log)-n):])
}

// FollowLog implements [Running].
func (c *Chart) FollowLog() string {
	return c.playground.Kubectl + " -n " + chartNamespace + " logs -f deployment/sluice"
}

func (c *Chart) helm(ctx context.Context, args ...string) error {
	bin, err := Upstream(ctx, "helm")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, bin, append(args, "--namespace", chartNamespace)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.playground.Kubeconfig)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("helm %s: %w", args[0], errors.Join(err, errors.New(strings.TrimSpace(stderr.String()))))
	}
	return nil
}
