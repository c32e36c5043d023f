// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Controller is a running `sluice controller` process.
type Controller struct {
	*Process
	// Webhooks is the address that takes webhooks in.
	Webhooks string
	// Metrics is the URL of its metrics.
	Metrics string

	health string
}

// StopAfter ends the controller with a test, and shows the end of its log if that failed.
func (c *Controller) StopAfter(t testing.TB) {
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Log(c.Tail(6000))
		}
	})
}

// StartController starts bin/sluice (or $SLUICE_BIN) against the playground,
// with its state and log under dir, and returns once it is ready.
func (p *Playground) StartController(ctx context.Context, dir string, args ...string) (*Controller, error) {
	bin, err := Binary()
	if err != nil {
		return nil, err
	}
	health, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	webhooks, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	metrics, err := FreeAddr()
	if err != nil {
		return nil, err
	}
	c := &Controller{
		Process: NewProcess(bin, filepath.Join(dir, "sluice.log"), append([]string{"controller",
			"--storage-path", filepath.Join(dir, "data"), "--storage-addr", "127.0.0.1:0",
			"--metrics-addr", metrics, "--health-addr", health, "--receiverAddr", webhooks, "--metrics-server", p.Prometheus}, args...)...),
		Webhooks: "http://" + webhooks, Metrics: "http://" + metrics + "/metrics", health: health,
	}
	c.env = append(c.env, "KUBECONFIG="+p.Kubeconfig)
	return c, c.Start(ctx)
}

// Binary is the program under test: $SLUICE_BIN, or what make build made.
func Binary() (string, error) {
	if bin := os.Getenv("SLUICE_BIN"); bin != "" {
		return bin, nil
	}
	root, err := Root()
	return filepath.Join(root, "bin", "sluice"), err
}

// Start starts the process, again after a [Process.Kill], and waits for /readyz.
func (c *Controller) Start(ctx context.Context) error {
	if err := c.Launch(); err != nil {
		return fmt.Errorf("%w (make build)", err)
	}
	return c.ready(ctx)
}

func (c *Controller) ready(ctx context.Context) error {
	if err := c.Answers(ctx, "http://"+c.health+"/readyz", Patience); err != nil {
		return fmt.Errorf("the controller: %w", err)
	}
	return nil
}
