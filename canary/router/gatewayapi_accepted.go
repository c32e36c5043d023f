package router

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// reported is what both kinds of routes have in common.
type reported struct {
	Spec   gatewayv1.CommonRouteSpec `json:"spec"`
	Status gatewayv1.RouteStatus     `json:"status"`
}

// refusedBy names a parent of the route that reports on it and has not accepted
// its current generation. A status that cannot be read says nothing.
func refusedBy(route *unstructured.Unstructured) (string, bool) {
	seen := &reported{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(route.Object, seen); err != nil {
		return "", false
	}
	for _, want := range seen.Spec.ParentRefs {
		for _, parent := range seen.Status.Parents {
			if equality.Semantic.DeepEqual(parent.ParentRef, want) && !accepts(parent, route.GetGeneration()) {
				return string(want.Name), true
			}
		}
	}
	return "", false
}

// accepts reports whether a Gateway has taken up a generation of the route, or has
// nothing to say about it.
func accepts(parent gatewayv1.RouteParentStatus, generation int64) bool {
	for _, condition := range parent.Conditions {
		if condition.Type == string(gatewayv1.RouteConditionAccepted) {
			return condition.Status == metav1.ConditionTrue && condition.ObservedGeneration >= generation
		}
	}
	return true
}
