// SPDX-License-Identifier: Apache-2.0

// Package traffic plays the users of a canary, and measures what they get.
//
// Simulated nodes run no containers, so that nobody could send a request
// anywhere. [Simulator] stands in for users, gateway and app at once, and says
// so: it reads the HTTPRoutes and the ready endpoints behind them from the real
// API server, splits an imaginary stream of requests by the weights it finds,
// and gives every request the answer that the labels of the pod's image declare:
//
//	sluice.dev/sim-error-rate        share of requests that end in status 500, 0 to 1
//	sluice.dev/sim-error-namespace   the only namespace whose users meet these errors
//	sluice.dev/sim-latency           how long a typical request takes, as 20ms
//
// What it counts is what a real gateway counts, in [Metrics], which a real
// Prometheus scrapes. Everything from the route to the verdict is therefore
// real, except for the requests. With real pods, package gateway proxies real
// requests over the same [Read] and into the same [Metrics].
package traffic
