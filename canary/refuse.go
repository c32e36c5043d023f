package canary

import (
	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// refuse names the first field that no provider honours yet. To ignore one
// would release what its owner meant to hold.
func refuse(c *flaggerv1.Canary) error {
	if kind := c.Spec.TargetRef.Kind; kind != "Deployment" {
		return &Refused{"spec.targetRef.kind", "only Deployment is supported, not " + kind}
	}
	a := c.Spec.Analysis
	for _, use := range []struct {
		field string
		set   bool
	}{
		{"spec.autoscalerRef", c.Spec.AutoscalerRef != nil},
		{"spec.ingressRef", c.Spec.IngressRef != nil},
		{"spec.routeRef", c.Spec.RouteRef != nil},
		{"spec.analysis.webhooks", a != nil && len(a.Webhooks) > 0},
		{"spec.analysis.alerts", a != nil && len(a.Alerts) > 0},
		{"spec.analysis.sessionAffinity", a != nil && a.SessionAffinity != nil},
	} {
		if use.set {
			return &Refused{use.field, "not supported yet"}
		}
	}
	return nil
}
