// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluice-cd/sluice/internal/cel"
)

// filters decide which objects a message is about: spec.resourceFilter, and for
// each of spec.resources the filter of its own, if there is one.
type filters struct {
	input map[string]any // the variables req and claims; res is added for each object
	all   *program
	own   []*program // nil passes every object
}

// filters compiles the filters of the receiver. The body is parsed only if there are any,
// since it need not be JSON otherwise.
func (h *Hooks) filters(ctx context.Context, m message, sent payload) (*filters, error) {
	spec, withClaims := &m.receiver.Spec, senders[m.receiver.Spec.Type].claims()
	f := &filters{own: make([]*program, len(spec.Resources))}
	var err error
	if spec.ResourceFilter != "" {
		if f.all, err = h.programs.get(ctx, m.receiver.Namespace, filterOf(spec.ResourceFilter, withClaims)); err != nil {
			return nil, fmt.Errorf("spec.resourceFilter: %w", err)
		}
	}
	for i, resource := range spec.Resources {
		if resource.Filter == "" {
			continue
		}
		if f.own[i], err = h.programs.get(ctx, m.receiver.Namespace, filterOf(resource.Filter, withClaims)); err != nil {
			return nil, fmt.Errorf("spec.resources[%d].filter: %w", i, err)
		}
	}
	if filtered(m.receiver) {
		f.input, err = filterInput(m, sent)
	}
	return f, err
}

// needsObject reports whether a filter reads the objects of the i-th resource.
func (f *filters) needsObject(i int) bool { return f.all != nil || f.own[i] != nil }

// pass reports whether an object of the i-th resource passes its filters.
func (f *filters) pass(ctx context.Context, i int, object *metav1.PartialObjectMetadata) (bool, error) {
	if !f.needsObject(i) {
		return true, nil
	}
	resource, err := visibleMetadata(object)
	if err != nil {
		return false, err
	}
	data := map[string]any{"res": resource, "req": f.input["req"], "claims": f.input["claims"]}
	for _, expression := range []*program{f.all, f.own[i]} {
		if expression == nil {
			continue
		}
		passes, err := expression.passes(ctx, data)
		switch {
		case errors.Is(err, cel.ErrTooExpensive), errors.Is(err, errBusy), errors.Is(err, context.DeadlineExceeded):
			return false, err
		case err != nil:
			return false, fmt.Errorf("%w: %w", errFilter, err)
		case !passes:
			return false, nil
		}
	}
	return true, nil
}

// errFilter means that a filter could not be evaluated for an object.
var errFilter = errors.New("filtering an object")

// visibleMetadata is what filters may read of an object: its metadata without the managed
// fields and kubectl's last-applied annotation, which hold copies of the spec.
func visibleMetadata(object *metav1.PartialObjectMetadata) (map[string]any, error) {
	object = object.DeepCopy()
	object.ManagedFields = nil
	delete(object.Annotations, corev1.LastAppliedConfigAnnotation)
	return runtime.DefaultUnstructuredConverter.ToUnstructured(object)
}

// filterInput are the variables req and claims. Without the content type of JSON, req is
// empty.
func filterInput(m message, sent payload) (map[string]any, error) {
	body := map[string]any{}
	raw, isJSON := m.body, jsonContent(m.header.Get("Content-Type"))
	if sent.body != nil {
		raw, isJSON = sent.body, true
	}
	if isJSON && json.Unmarshal(raw, &body) != nil {
		return nil, fmt.Errorf("%w: the body is not a JSON object, and there is a filter to ask about it", errRefused)
	}
	known := sent.claims
	if known == nil {
		known = map[string]any{}
	}
	return map[string]any{"req": body, "claims": known}, nil
}

func jsonContent(contentType string) bool {
	for kind := range strings.SplitSeq(contentType, ",") {
		if parsed, _, err := mime.ParseMediaType(kind); err == nil && parsed == "application/json" {
			return true
		}
	}
	return false
}

// claims is whether filters of the type may ask about claims.
func (s sender) claims() claims {
	if s.tokenless {
		return someClaims
	}
	return noClaims
}

// filtered reports whether the receiver has any filter.
func filtered(receiver *notificationv1.Receiver) bool {
	for _, resource := range receiver.Spec.Resources {
		if resource.Filter != "" {
			return true
		}
	}
	return receiver.Spec.ResourceFilter != ""
}
