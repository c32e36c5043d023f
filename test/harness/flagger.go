// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"net"
	"path/filepath"
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
	bin, err := Upstream(ctx, "flagger")
	if err != nil {
		return nil, err
	}
	addr, err := FreeAddr()
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
