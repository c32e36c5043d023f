// SPDX-License-Identifier: Apache-2.0

package router

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/sluice-cd/sluice/canary/object"
)

// unaccepted is what the parents of a route say against it: all must follow it that say
// anything about it, whichever of their controllers says so. nil is that they do.
func unaccepted(route *unstructured.Unstructured) *NotAccepted {
	var refused, waiting []string
	for _, parent := range object.ParentsOf(route) {
		answer := conditionNotAccepted(route, parent.Conditions, string(gatewayv1.RouteConditionAccepted), parent.String())
		switch {
		case answer == nil:
		case answer.Refused:
			refused = append(refused, answer.Why)
		default:
			waiting = append(waiting, answer.Why)
		}
	}
	if len(refused)+len(waiting) == 0 {
		return nil
	}
	all := append(slices.Compact(refused), slices.Compact(waiting)...)
	return &NotAccepted{Why: strings.Join(all, "; "), Refused: len(refused) > 0}
}
