package metric

import (
	"context"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
)

// connect returns the source of a MetricTemplate's provider. The field that
// it names in an error is relative to spec.provider.
type connect func(p flaggerv1.MetricTemplateProvider, credentials map[string][]byte, t transports) (source, error)

// providers are the sources by spec.provider.type.
var providers = map[string]connect{
	"prometheus": connectPrometheus,
}

// template plans a measurement by a MetricTemplate, in the canary's namespace
// unless the reference says otherwise.
func (k *Checker) template(ctx context.Context, c *flaggerv1.Canary, field string, ref *flaggerv1.CrossNamespaceObjectReference) (plan, error) {
	if ref.Kind != "" && ref.Kind != flaggerv1.MetricTemplateKind {
		return plan{}, reconcile.TerminalError(fmt.Errorf("%s.kind: %q is no %s", field, ref.Kind, flaggerv1.MetricTemplateKind))
	}
	key := client.ObjectKey{Namespace: c.Namespace, Name: ref.Name}
	if ref.Namespace != "" {
		key.Namespace = ref.Namespace
	}
	tmpl := &flaggerv1.MetricTemplate{}
	if err := k.client.Get(ctx, key, tmpl); err != nil {
		return plan{}, fmt.Errorf("reading MetricTemplate %s: %w", key, err)
	}
	where := fmt.Sprintf("MetricTemplate %s: spec", key)
	build, ok := providers[tmpl.Spec.Provider.Type]
	if !ok {
		return plan{}, reconcile.TerminalError(fmt.Errorf("%s.provider.type: %q is not served, only prometheus is", where, tmpl.Spec.Provider.Type))
	}
	credentials, err := k.credentials(ctx, tmpl)
	if err != nil {
		return plan{}, err
	}
	src, err := build(tmpl.Spec.Provider, credentials, k.transports)
	if err != nil {
		return plan{}, reconcile.TerminalError(fmt.Errorf("%s.provider.%w", where, err))
	}
	return plan{field: where + ".query", query: tmpl.Spec.Query, source: src, scale: asIs}, nil
}

// credentials are those of the Secret beside the template, nil without one.
func (k *Checker) credentials(ctx context.Context, tmpl *flaggerv1.MetricTemplate) (map[string][]byte, error) {
	ref := tmpl.Spec.Provider.SecretRef
	if ref == nil {
		return nil, nil
	}
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: tmpl.Namespace, Name: ref.Name}
	if err := k.client.Get(ctx, key, secret); err != nil {
		if apierrors.IsNotFound(err) {
			err = fmt.Errorf("spec.provider.secretRef: %w", err)
		}
		return nil, fmt.Errorf("reading the credentials of MetricTemplate %s/%s: %w", tmpl.Namespace, tmpl.Name, err)
	}
	return secret.Data, nil
}

// connectPrometheus takes a bearer token from the Secret's key token, or else
// basic authentication from username and password.
func connectPrometheus(p flaggerv1.MetricTemplateProvider, credentials map[string][]byte, t transports) (source, error) {
	if p.Region != "" {
		return nil, fmt.Errorf("region: not supported by provider prometheus")
	}
	transport := t.verifying
	if p.InsecureSkipVerify {
		transport = t.trusting
	}
	server, err := newPrometheus(p.Address, transport)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	server.headers = http.Header(p.Headers)
	if p.SecretRef == nil {
		return server, nil
	}
	server.token = string(credentials["token"])
	server.username, server.password = string(credentials["username"]), string(credentials["password"])
	if server.token == "" && (server.username == "" || server.password == "") {
		return nil, fmt.Errorf("secretRef: Secret %q has neither token nor username and password", p.SecretRef.Name)
	}
	return server, nil
}
