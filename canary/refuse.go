package canary

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/provider"
)

// refuse names the first field that makes no sense beside another. What a router
// or a target cannot do is theirs to refuse.
func refuse(c *flaggerv1.Canary) error {
	p, _ := provider.Named(c.Spec.Provider)
	if !c.HasService() && p.Name != "" && !p.ServiceOptional {
		return &Refused{"spec.service.port", "provider " + c.Spec.Provider + " needs it to route users; a worker, which has none, needs no provider"}
	}
	return nil
}
