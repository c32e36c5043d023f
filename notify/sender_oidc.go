package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
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
		if err := h.validate(ctx, p, claims); err != nil {
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

// validate evaluates the expressions. The messages of those that fail are told to
// the sender, as their author intends.
func (h *Hooks) validate(ctx context.Context, p *notificationv1.OIDCProvider, claims map[string]any) error {
	vars := map[string]any{}
	data := map[string]any{"claims": claims, "vars": vars}
	for _, v := range p.Variables {
		program, err := h.programs.get(variable(v.Expression))
		if err != nil {
			return fmt.Errorf("variable %s is not valid", v.Name)
		}
		if vars[v.Name], err = program.Evaluate(ctx, data); err != nil {
			return fmt.Errorf("variable %s cannot be evaluated", v.Name)
		}
	}
	var failed []string
	for i, v := range p.Validations {
		program, err := h.programs.get(validation(v.Expression))
		if err != nil {
			return fmt.Errorf("validation %d is not valid", i)
		}
		switch ok, err := program.EvaluateBoolean(ctx, data); {
		case err != nil:
			return fmt.Errorf("validation %d cannot be evaluated", i)
		case !ok:
			failed = append(failed, v.Message)
		}
	}
	if len(p.Validations) == 0 {
		return errors.New("the issuer of the token has no validations")
	}
	if len(failed) > 0 {
		return fmt.Errorf("token validation failed: %s", strings.Join(failed, "; "))
	}
	return nil
}
