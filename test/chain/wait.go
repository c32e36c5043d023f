// SPDX-License-Identifier: Apache-2.0

package chain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/test/gateway"
	"github.com/sluice-cd/sluice/test/harness"
	"github.com/sluice-cd/sluice/test/traffic"
)

// patience is how long anything may take before a chain counts as broken.
const patience = 3 * time.Minute

// requestsPerSecond is what the users of the app send.
const requestsPerSecond = 100

// Outcome is how a release ended.
type Outcome string

// The outcomes.
const (
	Promoted   Outcome = "promoted"
	RolledBack Outcome = "rolled back"
)

// Ready waits until the first version is the primary.
func (c *Chain) Ready(ctx context.Context) error {
	_, err := harness.Eventually(ctx, "initializing the canary", patience, func(ctx context.Context) (bool, string) {
		canary, err := c.canary(ctx)
		if err != nil {
			return false, err.Error()
		}
		return canary.Status.Phase == flaggerv1.CanaryPhaseInitialized, c.seen(canary)
	})
	return err
}

// Verdict waits until the release of a tag has ended, however it did.
func (c *Chain) Verdict(ctx context.Context, tag string) (Outcome, error) {
	var outcome Outcome
	_, err := harness.Eventually(ctx, "the verdict on "+tag, patience, func(ctx context.Context) (bool, string) {
		canary, err := c.canary(ctx)
		if err != nil {
			return false, err.Error()
		}
		target := &appsv1.Deployment{}
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: App}, target); err != nil {
			return false, err.Error()
		}
		if !runs(target, tag) {
			return false, fmt.Sprintf("%s is not applied yet, the canary is %s", tag, canary.Status.Phase)
		}
		if canary.Status.LastAppliedSpec == c.judged {
			return false, fmt.Sprintf("the canary has not taken up %s, it is %s", tag, canary.Status.Phase)
		}
		primary, err := c.Primary(ctx)
		if err != nil {
			return false, err.Error()
		}
		switch {
		case canary.Status.Phase == flaggerv1.CanaryPhaseSucceeded && runs(primary, tag):
			outcome = Promoted
		case canary.Status.Phase == flaggerv1.CanaryPhaseFailed && !runs(primary, tag) && stopped(target):
			outcome = RolledBack
		}
		return outcome != "", c.seen(canary)
	})
	return outcome, err
}

func runs(d *appsv1.Deployment, tag string) bool {
	return strings.HasSuffix(d.Spec.Template.Spec.Containers[0].Image, ":"+tag)
}

func stopped(d *appsv1.Deployment) bool { return d.Spec.Replicas != nil && *d.Spec.Replicas == 0 }

func (c *Chain) canary(ctx context.Context) (*flaggerv1.Canary, error) {
	canary := &flaggerv1.Canary{}
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.Namespace, Name: App}, canary)
	return canary, err
}

// seen describes a canary for the error of a timeout.
func (c *Chain) seen(canary *flaggerv1.Canary) string {
	text := fmt.Sprintf("the canary is %q at weight %d", canary.Status.Phase, canary.Status.CanaryWeight)
	for _, condition := range canary.Status.Conditions {
		text += fmt.Sprintf("; %s=%s %s: %s", condition.Type, condition.Status, condition.Reason, condition.Message)
	}
	return text
}

// Users sends users to the app for as long as the test runs.
func (c *Chain) Users(tb testing.TB) {
	tb.Helper()
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error, 1)
	go func() { left <- c.Traffic(ctx) }()
	tb.Cleanup(func() {
		leave()
		if err := <-left; err != nil {
			tb.Error(err)
		}
	})
}

// Traffic sends users to the app until ctx ends: imaginary ones on simulated
// nodes, real requests through a real gateway on real ones.
func (c *Chain) Traffic(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reader, err := traffic.NewReader(ctx, c.REST, c.Namespace)
	if err != nil {
		return err
	}
	metrics, failed := traffic.NewMetrics(), make(chan error, 2)
	metrics.Ledger = &c.Ledger
	go func() { failed <- metrics.Serve(ctx, c.PrometheusTargets, "traffic-"+c.Namespace) }()
	if c.Node != "real" {
		users := &traffic.Simulator{Reader: reader, Metrics: metrics, Rate: requestsPerSecond}
		go func() { failed <- users.Run(ctx) }()
	} else {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		users := gateway.Load{URL: "http://" + listener.Addr().String(), Host: "podinfo.example.com", Rate: requestsPerSecond, Parallel: 50}
		go func() { failed <- (&gateway.Gateway{Reader: reader, Metrics: metrics}).Serve(ctx, listener) }()
		go users.Run(ctx)
	}
	first := <-failed
	cancel()
	return errors.Join(first, <-failed)
}
