// SPDX-License-Identifier: Apache-2.0

package router_test

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/canary/object"
	"github.com/sluice-cd/sluice/canary/provider"
	"github.com/sluice-cd/sluice/test/contract"
)

// An Ingress, an ApisixRoute or a DestinationRule of somebody else that had the name of a
// copy was overwritten, and led elsewhere on deletion.
func TestARouteObjectOfSomebodyElseIsNotTakenForACopy(t *testing.T) {
	byOperator := []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Shop", Name: "shop", UID: "shop", Controller: new(true)}}
	theirs := map[string]string{
		"nginx":   `{"rules":[{"http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"beta","port":{"number":80}}}}]}}]}`,
		"skipper": `{"rules":[{"http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"beta","port":{"number":80}}}}]}}]}`,
		"apisix":  `{"http":[{"name":"beta","backends":[{"serviceName":"beta","servicePort":80}]}]}`,
		"istio":   `{"host":"beta","subsets":[{"name":"a"}]}`,
	}
	for by, spec := range theirs {
		for name, tc := range map[string]struct {
			spec   map[string]any // nil is that of a copy
			owners []metav1.OwnerReference
			want   bool
		}{
			"nobody's":                          {specOf(t, spec), nil, true},
			"an operator's":                     {specOf(t, spec), byOperator, true},
			"an operator's that looks like one": {nil, byOperator, true},
			"one that lost its owner":           {nil, nil, false},
		} {
			t.Run(by+" "+name, func(t *testing.T) {
				tr := contract.New(t, by, contract.Cluster(t))
				tr.Start(provider.ToPrimary)
				for _, o := range copiesIn(tr) {
					o.SetOwnerReferences(tc.owners)
					if tc.spec != nil {
						o.Object["spec"] = tc.spec
						object.EnableFlux(o)
					}
					tr.Must(tr.Cluster.Update(t.Context(), o))
				}
				if !tc.want {
					tr.Must(tr.Reconcile(t.Context(), tr.Canary))
					return
				}
				tr.UnchangedBy("a canary with a copy of this name", func() error {
					err := tr.Reconcile(t.Context(), tr.Canary)
					if !errors.Is(err, reconcile.TerminalError(nil)) || !strings.Contains(err.Error(), "has the name of a copy") {
						t.Errorf("got %v", err)
					}
					if by == "istio" { // what is led elsewhere is its own VirtualService
						return nil
					}
					return tr.Finalize(t.Context(), tr.Canary)
				})
			})
		}
	}
}

// copiesIn are the objects that have the name of one that is there already, or of one of
// the two copies.
func copiesIn(tr *contract.Fixture) (copies []*unstructured.Unstructured) {
	for _, o := range tr.Made() {
		if strings.HasSuffix(o.GetName(), "-canary") || strings.HasSuffix(o.GetName(), "-primary") {
			copies = append(copies, o)
		}
	}
	return copies
}
