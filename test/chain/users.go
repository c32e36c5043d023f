// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/sluice-cd/sluice/test/gateway"
	"github.com/sluice-cd/sluice/test/traffic"
)

// requestsPerSecond is what the users of the app send, unless a test asks for fewer.
const requestsPerSecond = 100

// Users sends users to the app for as long as the test runs.
func (d *delivery) Users(tb testing.TB) {
	tb.Helper()
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() { left <- d.Traffic(ctx) }()
	tb.Cleanup(func() {
		leave()
		if err := <-left; err != nil {
			tb.Error(err)
		}
	})
}

// Traffic sends users to the app until ctx ends: imaginary ones on simulated
// nodes, real requests through a real gateway on real ones.
func (d *delivery) Traffic(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, err := traffic.NewReader(ctx, d.REST, d.apps...)
	if err != nil {
		return err
	}
	metrics, failed := traffic.NewMetrics(), make(chan error, 2)
	metrics.Ledger = &d.Ledger
	go func() { failed <- metrics.Serve(ctx, d.PrometheusTargets, "traffic-"+d.Namespace) }()
	if d.Node != "real" {
		users := &traffic.Simulator{Reader: reader, Metrics: metrics, Rate: float64(d.requests)}
		go func() { failed <- users.Run(ctx) }()
	} else {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		users := gateway.Load{URL: "http://" + listener.Addr().String(), Host: "podinfo.example.com", Rate: d.requests, Parallel: 50,
			Seldom: "/healthz"}
		go func() { failed <- (&gateway.Gateway{Reader: reader, Metrics: metrics}).Serve(ctx, listener) }()
		go users.Run(ctx)
	}
	first := <-failed
	cancel()
	return errors.Join(first, <-failed)
}
