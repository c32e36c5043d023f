package canary

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// refuse names the first field that makes no sense beside another. What a router
// or a target cannot do is theirs to refuse.
func refuse(c *flaggerv1.Canary) error {
	if !c.HasService() && c.Spec.Provider != "" && c.Spec.Provider != unrouted && c.Spec.Provider != knative {
		return &Refused{"spec.service.port", "provider " + c.Spec.Provider + " needs it to route users; a worker, which has none, needs no provider"}
	}
	return nil
}
