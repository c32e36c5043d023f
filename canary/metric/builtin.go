package metric

import (
	_ "embed" // the queries are files of their own, to be read and tried out as such
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

//go:embed queries/request-success-rate.promql
var podSuccessRate string

//go:embed queries/request-duration.promql
var podDuration string

// builtin is a check with a query per provider: proxies disagree about the
// names of their metrics.
type builtin struct {
	queries map[string]string
	scale   func(float64) float64
}

// builtins are the checks by name. The empty provider is the one that the
// controller assumes, which is kubernetes.
var builtins = map[string]builtin{
	RequestSuccessRate: {
		queries: map[string]string{"": podSuccessRate, "kubernetes": podSuccessRate, "gatewayapi:v1": podSuccessRate},
		scale:   asIs,
	},
	RequestDuration: {
		queries: map[string]string{"": podDuration, "kubernetes": podDuration, "gatewayapi:v1": podDuration},
		scale:   wholeMilliseconds,
	},
}

func (b builtin) query(provider string) (string, error) {
	query, ok := b.queries[provider]
	if !ok {
		known := slices.DeleteFunc(slices.Sorted(maps.Keys(b.queries)), func(name string) bool { return name == "" })
		return "", reconcile.TerminalError(fmt.Errorf("spec.provider: no builtin checks for %q, only for %s", provider, strings.Join(known, ", ")))
	}
	return query, nil
}
