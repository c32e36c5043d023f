// SPDX-License-Identifier: Apache-2.0

package provider

// Weights are percentages of the users that add up to 100. With Mirror, the canary
// also gets a copy of their requests, and its answers are thrown away.
type Weights struct {
	Primary, Canary int
	Mirror          bool
}

// ToPrimary sends every user to the primary.
var ToPrimary = Weights{Primary: 100}

// Split gives the canary its percentage and the primary the rest.
func Split(canary int) Weights { return Weights{Primary: 100 - canary, Canary: canary} }
