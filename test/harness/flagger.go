package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Flagger is a running Flagger process.
type Flagger struct {
	*Process
	// URL is where it serves its metrics.
	URL string
}

// StartFlagger starts the release of Flagger that we are compared with, for one
// namespace, with its log under dir.
func (p *Playground) StartFlagger(ctx context.Context, namespace, dir string, args ...string) (*Flagger, error) {
	bin, err := upstream(ctx, "flagger")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	flagger := &Flagger{URL: "http://" + addr, Process: NewProcess(bin, filepath.Join(dir, "flagger.log"), append([]string{
		"-kubeconfig", p.Kubeconfig, "-namespace", namespace, "-metrics-server", p.Prometheus, "-port", port, "-log-level", "info"}, args...)...)}
	return flagger, flagger.Launch()
}

// upstream builds a program of the field once, and returns its path.
func upstream(ctx context.Context, name string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, filepath.Join(root, "hack", "upstream.sh"), name)
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
