// SPDX-License-Identifier: Apache-2.0

// Package simulate plays releases whose truth is known against rules that decide about
// them: how often is a healthy release rolled back, how often and how soon a bad one?
//
//	Service       requests a second, the rate of errors, bursts and outages
//	ReleaseModel  how many times as bad the canary is, and its share of the users
//	Rule          what looks at each window: the judge, or the fixed thresholds of
//	              Flagger and Argo Rollouts as this package understands them
//	Run           many releases, and what became of them
//
// Events are drawn exactly, not by a normal approximation, because what is to be shown
// is a bound on a small probability. The generator is the caller's, so that a seed
// gives the same table every time.
package simulate
