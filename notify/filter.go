package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"github.com/fluxcd/pkg/runtime/cel"
	"github.com/google/cel-go/common/types"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Check finds what makes a Receiver useless until somebody edits it: an unknown
// type, a missing Secret, an expression that is none.
func Check(receiver *notificationv1.Receiver) error {
	known, ok := senders[receiver.Spec.Type]
	if !ok {
		return fmt.Errorf("spec.type: %q is not a type of receiver", receiver.Spec.Type)
	}
	switch hasSecret := receiver.Spec.SecretRef != nil; {
	case known.tokenless && hasSecret:
		return fmt.Errorf("spec.secretRef: a receiver of type %s has none", receiver.Spec.Type)
	case !known.tokenless && !hasSecret:
		return fmt.Errorf("spec.secretRef: a receiver of type %s needs one", receiver.Spec.Type)
	case known.tokenless && len(receiver.Spec.OIDCProviders) == 0:
		return errors.New("spec.oidcProviders: at least one is needed")
	case !known.tokenless && len(receiver.Spec.OIDCProviders) > 0:
		return fmt.Errorf("spec.oidcProviders: a receiver of type %s has none", receiver.Spec.Type)
	}
	for i := range receiver.Spec.OIDCProviders {
		if _, err := compile(&receiver.Spec.OIDCProviders[i]); err != nil {
			return fmt.Errorf("spec.oidcProviders[%d]: %w", i, err)
		}
	}
	return checkResources(receiver)
}

// Ineffective names what a Receiver has that does nothing, "" if there is nothing
// of the kind. Flux accepts it, so that it is told and not refused.
func Ineffective(receiver *notificationv1.Receiver) string {
	if len(receiver.Spec.Events) > 0 && !senders[receiver.Spec.Type].events {
		return fmt.Sprintf("spec.events has no effect: a receiver of type %s does not tell events apart; use spec.resourceFilter", receiver.Spec.Type)
	}
	return ""
}

func checkResources(receiver *notificationv1.Receiver) error {
	if _, err := newFilter(receiver.Spec.ResourceFilter); err != nil {
		return fmt.Errorf("spec.resourceFilter: %w", err)
	}
	for i, resource := range receiver.Spec.Resources {
		if _, err := newFilter(resource.Filter); err != nil {
			return fmt.Errorf("spec.resources[%d].filter: %w", i, err)
		}
		if _, err := kindOf(resource); err != nil {
			return fmt.Errorf("spec.resources[%d]: %w", i, err)
		}
		if resource.Name == "*" && resource.MatchLabels == nil {
			return fmt.Errorf("spec.resources[%d]: matchLabels must be set when the name is '*'", i)
		}
	}
	return nil
}

// filter is a CEL expression about an object (res), the body of the request
// (req) and the claims of its token (claims). A nil filter passes all.
type filter struct{ expression *cel.Expression }

func newFilter(text string) (*filter, error) {
	if text == "" {
		return nil, nil
	}
	expression, err := condition(text, "res", "req", "claims")
	if err != nil {
		return nil, err
	}
	return &filter{expression}, nil
}

// condition compiles an expression that is true or false. One whose type shows
// only when it is evaluated, such as req.draft, is taken too: comparing it with
// true makes the compiler accept it, and nothing that can never be either.
func condition(text string, variables ...string) (*cel.Expression, error) {
	if _, err := cel.NewExpression(text, cel.WithCompile(), cel.WithStructVariables(variables...)); err != nil {
		return nil, err
	}
	expression, err := cel.NewExpression("("+text+") == true", cel.WithCompile(),
		cel.WithOutputType(types.BoolType), cel.WithStructVariables(variables...))
	if err != nil {
		return nil, fmt.Errorf("the expression %q is not true or false", text)
	}
	return expression, nil
}

func (f *filter) passes(ctx context.Context, object *metav1.PartialObjectMetadata, facts map[string]any) (bool, error) {
	if f == nil {
		return true, nil
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return false, err
	}
	resource := map[string]any{}
	if err := json.Unmarshal(raw, &resource); err != nil {
		return false, err
	}
	return f.expression.EvaluateBoolean(ctx, map[string]any{"res": resource, "req": facts["req"], "claims": facts["claims"]})
}

// factsOf are what filters may ask about a request. A body that does not say that
// it is JSON is empty to them.
func factsOf(m message, n notice) (map[string]any, error) {
	body := map[string]any{}
	if isJSON(m.header.Get("Content-Type")) {
		if err := json.Unmarshal(m.body, &body); err != nil {
			return nil, fmt.Errorf("%w: the body is not a JSON object", errRefused)
		}
	}
	claims := n.claims
	if claims == nil {
		claims = map[string]any{}
	}
	return map[string]any{"req": body, "claims": claims}, nil
}

func isJSON(contentType string) bool {
	for kind := range strings.SplitSeq(contentType, ",") {
		if parsed, _, err := mime.ParseMediaType(kind); err == nil && parsed == "application/json" {
			return true
		}
	}
	return false
}
