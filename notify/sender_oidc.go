package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/pkg/runtime/cel"
)

// oidcToken trusts a token of one of the issuers of spec.oidcProviders whose
// claims pass all of the issuer's validations.
func oidcToken(ctx context.Context, h *Hooks, m message) (notice, error) {
	raw, ok := bearer(m)
	if !ok {
		return refuse("Authorization has no bearer token")
	}
	issuer, err := issuerOf(raw)
	if err != nil {
		return refuse("%v", err)
	}
	for i := range m.receiver.Spec.OIDCProviders {
		p := &m.receiver.Spec.OIDCProviders[i]
		if p.IssuerURL != issuer {
			continue
		}
		claims, err := h.issuers.claims(ctx, issuer, p.GetAudience(), raw)
		if err != nil {
			return refuse("%v", err)
		}
		if err := validate(ctx, p, claims); err != nil {
			return refuse("%v", err)
		}
		return notice{claims: claims}, nil
	}
	return refuse("no provider is configured for the issuer of the token")
}

// googleToken checks what Pub/Sub sends with a push.
func (h *Hooks) googleToken(ctx context.Context, m message) error {
	email, audience := string(m.secret["email"]), string(m.secret["audience"])
	if email == "" || audience == "" {
		return errors.New("the receiver's Secret has no 'email' and 'audience' to check the token against")
	}
	raw, ok := bearer(m)
	if !ok {
		return errors.New("Authorization has no bearer token")
	}
	claims, err := h.issuers.claims(ctx, h.GoogleIssuer, audience, raw)
	if err != nil {
		return err
	}
	if claims["email"] != email || claims["email_verified"] != true {
		return errors.New("the token is not that of the expected service account")
	}
	return nil
}

func bearer(m message) (string, bool) {
	token, ok := strings.CutPrefix(m.header.Get("Authorization"), "Bearer ")
	return strings.TrimSpace(token), ok && strings.TrimSpace(token) != ""
}

// issuerOf reads the issuer of a token that is not verified yet.
func issuerOf(raw string) (string, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return "", errors.New("the bearer token is not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Issuer == "" {
		return "", errors.New("the bearer token names no issuer")
	}
	return claims.Issuer, nil
}

// issuers keeps the keys of issuers, which the library renews when they rotate.
type issuers struct {
	mu    sync.Mutex
	known map[string]*oidc.Provider
}

func newIssuers() issuers { return issuers{known: map[string]*oidc.Provider{}} }

// claims verifies signature, expiry, issuer and audience.
func (s *issuers) claims(ctx context.Context, issuer, audience, raw string) (map[string]any, error) {
	provider, err := s.provider(ctx, issuer)
	if err != nil {
		return nil, fmt.Errorf("the keys of issuer %s cannot be read", issuer)
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: audience}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("the token is not valid: %w", err)
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return nil, errors.New("the claims of the token cannot be read")
	}
	return claims, nil
}

func (s *issuers) provider(ctx context.Context, issuer string) (*oidc.Provider, error) {
	s.mu.Lock()
	provider := s.known[issuer]
	s.mu.Unlock()
	if provider != nil {
		return provider, nil
	}
	// The provider keeps the context for the keys that it reads later.
	provider, err := oidc.NewProvider(context.WithoutCancel(ctx), issuer)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[issuer] = provider
	return provider, nil
}

// rules are the compiled expressions of one issuer.
type rules struct {
	variables   []*cel.Expression
	validations []*cel.Expression
}

// compile reads the expressions. A variable may use those before it; which ones
// there are is known only when it is evaluated.
func compile(p *notificationv1.OIDCProvider) (rules, error) {
	var r rules
	seen := map[string]bool{}
	for _, v := range p.Variables {
		expression, err := cel.NewExpression(v.Expression, cel.WithCompile(), cel.WithStructVariables("claims", "vars"))
		if err != nil {
			return r, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		if seen[v.Name] {
			return r, fmt.Errorf("variable %s is there twice", v.Name)
		}
		seen[v.Name] = true
		r.variables = append(r.variables, expression)
	}
	for i, v := range p.Validations {
		expression, err := condition(v.Expression, "claims", "vars")
		if err != nil {
			return r, fmt.Errorf("validation %d: %w", i, err)
		}
		r.validations = append(r.validations, expression)
	}
	if len(r.validations) == 0 {
		return r, errors.New("at least one validation is required: anybody can get a token of a public issuer")
	}
	return r, nil
}

// validate evaluates the expressions. The message of the first that fails is told
// to the sender, as its author intends.
func validate(ctx context.Context, p *notificationv1.OIDCProvider, claims map[string]any) error {
	r, err := compile(p)
	if err != nil {
		return errors.New("the receiver's OIDC provider is not valid")
	}
	vars := map[string]any{}
	data := map[string]any{"claims": claims, "vars": vars}
	for i, v := range p.Variables {
		if vars[v.Name], err = r.variables[i].Evaluate(ctx, data); err != nil {
			return fmt.Errorf("variable %s cannot be evaluated", v.Name)
		}
	}
	for i, v := range p.Validations {
		if ok, err := r.validations[i].EvaluateBoolean(ctx, data); err != nil || !ok {
			return errors.New(v.Message)
		}
	}
	return nil
}
