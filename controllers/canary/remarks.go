// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary"
	"github.com/sluice-cd/sluice/canary/router"
)

// remark is a mistake that Flagger accepts and that keeps the canary from nothing, but
// its users from an answer, or its owner from what was meant. It is an event, once.
type remark struct {
	about topic
	text  string
	// certain remarks are in the Ready message as well.
	certain bool
}

// warnRemarks warns of each remark once, and again when its text changes.
func (n *notifier) warnRemarks(c *flaggerv1.Canary, remarks []remark) {
	for _, remark := range remarks {
		n.warnOnce(c, remark.about, errors.New(remark.text))
	}
}

// withRemarks adds to a Ready message what is certain.
func withRemarks(message string, remarks []remark) string {
	if message == "" {
		return ""
	}
	for _, remark := range remarks {
		if remark.certain {
			message = strings.TrimSuffix(message, ".") + "; " + remark.text
		}
	}
	return message
}

// portRemarks are about where the Services lead. A name leads nowhere for certain; a
// number need not be declared.
func portRemarks(c *flaggerv1.Canary, text string) []remark {
	if text == "" {
		return nil
	}
	return []remark{{about: aboutPorts, text: text, certain: c.Spec.Service.TargetPort.Type == intstr.String}}
}

// alertRemarks are about alerts that nobody will hear of, which is no reason not to release.
func alertRemarks(unheard error) []remark {
	if unheard == nil {
		return nil
	}
	return []remark{{about: aboutAlerts, text: unheard.Error(), certain: true}}
}

// specRemarks are about fields that mean nothing, or hardly what was meant.
func specRemarks(plan canary.Plan) []remark {
	if len(plan.Warnings) == 0 {
		return nil
	}
	return []remark{{about: aboutSpec, text: canary.Advice(plan.Warnings), certain: true}}
}

const gatewayKind = "Gateway"

// gateway is one that spec.service.gatewayRefs names.
type gateway struct {
	clusterRef
	index int
}

// gateways are those that a canary's route names as its parents. Whether those of other
// namespaces exist is not for everybody to know where references may not cross them.
func (r *routing) gateways(c *flaggerv1.Canary, routes router.Router) (gateways []gateway) {
	for _, route := range routes.Objects(c) {
		if route.Group != gatewayv1.GroupName {
			continue
		}
		kind := clusterKind{route.GroupVersion().WithKind(gatewayKind), r.clusterOf(c)}
		for i, ref := range c.Spec.Service.GatewayRefs {
			namespace := string(ptr.Deref(ref.Namespace, gatewayv1.Namespace(c.Namespace)))
			if ptr.Deref(ref.Group, gatewayv1.GroupName) != gatewayv1.GroupName || ptr.Deref(ref.Kind, gatewayKind) != gatewayKind ||
				r.deps.OwnNamespace && namespace != c.Namespace {
				continue
			}
			key := client.ObjectKey{Namespace: namespace, Name: string(ref.Name)}
			gateways = append(gateways, gateway{clusterRef{kind, key}, i})
		}
	}
	return gateways
}

// gatewayRemarks are about Gateways that are not there.
func (o *observer) gatewayRemarks(ctx context.Context, gateways []gateway) []remark {
	var missing []string
	for _, gateway := range gateways {
		if o.watcher.absent(ctx, gateway.clusterRef) {
			missing = append(missing, fmt.Sprintf("spec.service.gatewayRefs[%d]: Gateway %s does not exist", gateway.index, gateway.ObjectKey))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	text := strings.Join(missing, "; ") + ", and no user comes through it; create it, or correct the reference"
	return []remark{{about: aboutGateways, text: text, certain: true}}
}

func objectsOf(gateways []gateway) []clusterRef {
	objects := make([]clusterRef, 0, len(gateways))
	for _, gateway := range gateways {
		objects = append(objects, gateway.clusterRef)
	}
	return objects
}
