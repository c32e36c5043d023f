// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluice-cd/sluice/internal/outbound"
)

// externalMetrics asks the external metrics API of Kubernetes: through the API
// server, or an adapter that serves it.
type externalMetrics struct {
	endpoint
	// own is the only namespace to ask about; empty is any.
	own string
}

// connectExternalMetrics never sends the controller's own token to an address.
// Flagger does, to whatever address a MetricTemplate names.
func connectExternalMetrics(c *connection) (querier, error) {
	token := c.key("token")
	if c.SecretRef != nil && token == "" {
		return nil, incompleteSecret{fmt.Errorf("secretRef: Secret %q has no token", c.SecretRef.Name)}
	}
	if c.Address == "" {
		return c.apiServer(token)
	}
	asked, err := c.endpoint()
	return &externalMetrics{endpoint: asked}, err
}

// apiServer asks as the controller, or as whoever the token is.
func (c *connection) apiServer(token string) (querier, error) {
	api := c.checker.api
	if api == nil {
		return nil, errors.New("address: provider externalmetrics needs one here, because there is no API server to ask")
	}
	if c.InsecureSkipVerify {
		return nil, errors.New("insecureSkipVerify: has no meaning without an address: the API server is verified as the controller does")
	}
	if token != "" {
		api = rest.AnonymousClientConfig(api)
		api.BearerToken = token
	}
	base, _, err := rest.DefaultServerUrlFor(api)
	if err != nil {
		return nil, fmt.Errorf("address: reading that of the API server: %w", err)
	}
	transport, err := rest.TransportFor(api)
	if err != nil {
		return nil, fmt.Errorf("address: connecting to the API server: %w", err)
	}
	// This transport adds the token to whatever request it gets.
	c.client = outbound.NewClient(transport, outbound.Rules{Redirects: outbound.Return, Timeout: queryTimeout})
	own := ""
	if token == "" && c.checker.sameNamespace {
		own = c.namespace
	}
	return &externalMetrics{endpoint: endpoint{c, base, func(*http.Request) {}}, own: own}, nil
}

// external is what a query <namespace>/<metric>?labelSelector=<selector> names. The
// namespace may be left out, which is default.
type external struct {
	namespace, metric, selector string
}

func externalQuery(query string) (external, error) {
	path, options, _ := strings.Cut(query, "?")
	namespace, metric, found := strings.Cut(path, "/")
	if !found {
		namespace, metric = "", path
	}
	if namespace == "" {
		namespace = "default"
	}
	values, err := url.ParseQuery(options)
	if err != nil {
		return external{}, fmt.Errorf("it is not like namespace/metric?labelSelector=name%%3Dvalue: %w", err)
	}
	if metric, err = url.PathUnescape(metric); err != nil {
		return external{}, fmt.Errorf("its metric %w", err)
	}
	switch {
	case len(validation.IsDNS1123Label(namespace)) > 0:
		return external{}, fmt.Errorf("%q is no namespace", namespace)
	case metric == "" || metric == "." || metric == ".." || strings.Contains(metric, "/"):
		return external{}, fmt.Errorf("%q is no metric: it is like namespace/metric?labelSelector=name%%3Dvalue", metric)
	}
	selector, err := labels.Parse(values.Get("labelSelector"))
	if err != nil {
		return external{}, fmt.Errorf("its labelSelector: %w", err)
	}
	return external{namespace, metric, selector.String()}, nil
}

func (e *externalMetrics) Query(ctx context.Context, q renderedQuery) (float64, error) {
	what, err := externalQuery(q.text)
	if err != nil {
		return 0, err
	}
	if e.own != "" && what.namespace != e.own {
		return 0, reconcile.TerminalError(fmt.Errorf("spec.query: the metric is of namespace %s, "+
			"which --no-cross-namespace-refs forbids to ask about as the controller; "+
			"name a Secret with a token in spec.provider.secretRef", what.namespace))
	}
	path := "apis/external.metrics.k8s.io/v1beta1/namespaces/" + what.namespace + "/" + url.PathEscape(what.metric)
	values := url.Values{}
	if what.selector != "" {
		values.Set("labelSelector", what.selector)
	}
	body, err := e.get(ctx, urlOf(e.base, path, values), e.login)
	if err != nil {
		return 0, err
	}
	return decodeExternalMetrics(body)
}

// decodeExternalMetrics reads a list of quantities, such as 1500m.
func decodeExternalMetrics(body []byte) (float64, error) {
	var list struct {
		Kind  string `json:"kind"`
		Items []struct {
			Value *resource.Quantity `json:"value"`
		} `json:"items"`
	}
	if err := decode(body, &list, "the external metrics API"); err != nil {
		return 0, err
	}
	if list.Kind != "ExternalMetricValueList" {
		return 0, errors.New("the server's answer is not from the external metrics API")
	}
	var result singleValue
	for _, item := range list.Items {
		if item.Value != nil {
			result.add(item.Value.AsApproximateFloat64())
		}
	}
	return result.get()
}
