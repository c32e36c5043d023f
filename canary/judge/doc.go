// SPDX-License-Identifier: Apache-2.0

// Package judge decides, from what users of both arms met, whether a canary is worse
// than its primary. An arm, here and below, is a copy of the workload under comparison: the
// canary or the primary. It may look after every scrape and stop when it likes, and still
// rolls back a healthy release with a probability of at most alpha.
//
// A fixed threshold asks whether the canary is bad; this package asks whether it is
// worse. The primary runs at the same time, for the same users, so that a failing
// database or a busy hour speaks against neither.
//
//	window      what happened in both arms between two scrapes: events (errors, slow
//	            requests, requests) and exposure (requests, or weight times seconds)
//	Evidence    for each relative risk r of a grid, how much better r explains all
//	            windows so far than 1 does; adding a window is a sum over the grid
//	e-value     the mean of that over the r that speak against a hypothesis. While the
//	            hypothesis holds, it exceeds 1/alpha at any time with a probability of
//	            at most alpha (Ville's inequality); the weights and the rate of errors
//	            may change from window to window
//	Verdict     Fail    the canary is worse than Tolerated times the primary
//	            Pass    the canary is not Regression times as bad as the primary
//	            Undecided, and about how many more events a verdict needs
//
// Sources: Lindon and Malek, Anytime-Valid Inference for Multinomial Count Data
// (NeurIPS 2022, arXiv 2011.03567), for the conditional e-process of counts; Ville
// (1939) for the bound at all times; Vovk and Wang, E-values: Calibration, combination
// and applications (Annals of Statistics 2021), for averages of e-values.
//
// The package computes; it has no clock, no client and no state of its own.
package judge
