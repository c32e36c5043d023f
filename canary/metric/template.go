// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/internal/outbound"
)

// serverType is a kind of server that answers queries.
type serverType struct {
	// connect returns the server of a MetricTemplate, and asks nobody anything. The
	// field that it names in an error is relative to spec.provider.
	connect func(c *connection) (querier, error)
	// parse finds what is wrong with a query that is filled in; nil takes any text.
	parse func(query string) error
}

// serverTypes are those by spec.provider.type.
var serverTypes = map[string]serverType{
	"prometheus":      {connect: connectPrometheus},
	"cloudwatch":      {connect: connectCloudWatch, parse: parsed(cloudWatchQuery)},
	"datadog":         {connect: connectDatadog},
	"dynatrace":       {connect: connectDynatrace},
	"externalmetrics": {connect: connectExternalMetrics, parse: parsed(externalQuery)},
	"graphite":        {connect: connectGraphite, parse: parsed(graphiteQuery)},
	"influxdb":        {connect: connectInfluxDB},
	"keptn":           {connect: connectKeptn},
	"newrelic":        {connect: connectNewRelic},
	"splunk":          {connect: connectSplunk},
	"stackdriver":     {connect: connectStackdriver},
	"web":             {connect: connectWeb, parse: parsed(webQuery)},
}

// parsed forgets what a parser returns.
func parsed[T any](parse func(string) (T, error)) func(string) error {
	return func(query string) error {
		_, err := parse(query)
		return err
	}
}

// template prepares a measurement by a MetricTemplate, in the canary's namespace
// unless the reference says otherwise.
func (k *Checker) template(
	ctx context.Context, c *flaggerv1.Canary, field string, ref *flaggerv1.CrossNamespaceObjectReference,
) (preparedQuery, error) {
	tmpl, err := k.readTemplate(ctx, c, field, ref)
	if err != nil {
		return preparedQuery{}, err
	}
	return k.connect(ctx, tmpl)
}

// readTemplate reads the MetricTemplate that a canary refers to.
func (k *Checker) readTemplate(
	ctx context.Context, c *flaggerv1.Canary, field string, ref *flaggerv1.CrossNamespaceObjectReference,
) (*flaggerv1.MetricTemplate, error) {
	if ref.Kind != "" && ref.Kind != flaggerv1.MetricTemplateKind {
		return nil, reconcile.TerminalError(fmt.Errorf("%s.kind: %q is no %s", field, ref.Kind, flaggerv1.MetricTemplateKind))
	}
	key := client.ObjectKey{Namespace: c.Namespace, Name: ref.Name}
	if ref.Namespace != "" {
		key.Namespace = ref.Namespace
	}
	if k.sameNamespace && key.Namespace != c.Namespace {
		return nil, reconcile.TerminalError(fmt.Errorf("%s.namespace: MetricTemplate %s is in another "+
			"namespace, which --no-cross-namespace-refs forbids; copy it to %s",
			field, key, c.Namespace))
	}
	tmpl := &flaggerv1.MetricTemplate{}
	if err := k.client.Get(ctx, key, tmpl); apierrors.IsNotFound(err) {
		k.transports.Forget(key.String())
		return nil, fmt.Errorf("%s: MetricTemplate %s does not exist; create it, or correct the reference", field, key)
	} else if err != nil {
		return nil, fmt.Errorf("reading MetricTemplate %s: %w", key, err)
	}
	return tmpl, nil
}

// connect plans a measurement by a MetricTemplate that was read.
func (k *Checker) connect(ctx context.Context, tmpl *flaggerv1.MetricTemplate) (preparedQuery, error) {
	where := fmt.Sprintf("MetricTemplate %s/%s: spec", tmpl.Namespace, tmpl.Name)
	kind, ok := serverTypes[tmpl.Spec.Provider.Type]
	if !ok {
		return preparedQuery{}, reconcile.TerminalError(fmt.Errorf("%s.provider.type: %q is not served, only %s", where,
			tmpl.Spec.Provider.Type, strings.Join(slices.Sorted(maps.Keys(serverTypes)), ", ")))
	}
	if tmpl.Spec.Counters != nil && tmpl.Spec.Provider.Type != "prometheus" {
		return preparedQuery{}, reconcile.TerminalError(fmt.Errorf("%s.counters: has no meaning for provider %s, only for prometheus",
			where, tmpl.Spec.Provider.Type))
	}
	secret, err := k.secret(ctx, tmpl)
	if err != nil {
		return preparedQuery{}, err
	}
	src, err := k.source(kind, tmpl, secret)
	var waits incompleteSecret
	switch {
	case errors.As(err, &waits):
		return preparedQuery{}, fmt.Errorf("%s.provider.%w", where, err)
	case err != nil:
		return preparedQuery{}, reconcile.TerminalError(fmt.Errorf("%s.provider.%w", where, err))
	}
	return preparedQuery{
		field:  where + ".query",
		fields: fields{address: where + ".provider.address", secret: where + ".provider.secretRef", query: where + ".query"},
		query:  tmpl.Spec.Query, provider: tmpl.Spec.Provider.Type, parse: kind.parse, source: src, scale: asIs,
		secrets: newSecrets(secret, tmpl.Spec.Provider.Address),
	}, nil
}

func (k *Checker) source(kind serverType, tmpl *flaggerv1.MetricTemplate, secret map[string][]byte) (querier, error) {
	spec := tmpl.Spec.Provider
	switch {
	case spec.Region != "" && spec.Type != "cloudwatch":
		return nil, fmt.Errorf("region: has no meaning for provider %s", spec.Type)
	case spec.JSONPath != "" && spec.Type != "web":
		return nil, fmt.Errorf("jsonPath: has no meaning for provider %s", spec.Type)
	}
	// The authorities of the Secret are trusted beside those of the system: the token of a
	// service account comes with the authority of its cluster, which is not that of every
	// server the token is for.
	transport, err := k.transports.ForOwner(client.ObjectKeyFromObject(tmpl).String(), outbound.Settings{
		Insecure: spec.InsecureSkipVerify,
		CA:       string(secret["ca.crt"]), Cert: string(secret["tls.crt"]), Key: string(secret["tls.key"]),
	})
	if err != nil {
		return nil, incompleteSecret{fmt.Errorf("secretRef: Secret %q: %w", spec.SecretRef.Name, err)}
	}
	return kind.connect(&connection{
		MetricTemplateProvider: spec, namespace: tmpl.Namespace, secret: secret,
		client: newClient(transport, queryTimeout), checker: k,
	})
}

// secret is what is in the Secret beside the template, nil without one.
func (k *Checker) secret(ctx context.Context, tmpl *flaggerv1.MetricTemplate) (map[string][]byte, error) {
	ref := tmpl.Spec.Provider.SecretRef
	if ref == nil {
		return nil, nil
	}
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: tmpl.Namespace, Name: ref.Name}
	if err := k.client.Get(ctx, key, secret); apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("MetricTemplate %s/%s: spec.provider.secretRef: Secret %s does not exist; create it, or correct the reference",
			tmpl.Namespace, tmpl.Name, key)
	} else if err != nil {
		return nil, fmt.Errorf("MetricTemplate %s/%s: spec.provider.secretRef: reading Secret %s: %w", tmpl.Namespace, tmpl.Name, key, err)
	}
	return secret.Data, nil
}
