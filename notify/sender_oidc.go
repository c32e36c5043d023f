// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
)

// oidcToken accepts a token of one of the issuers of spec.oidcProviders whose
// claims pass all of the issuer's validations.
func oidcToken(ctx context.Context, h *Hooks, m message) (map[string]any, error) {
	raw, ok := bearer(m)
	if !ok {
		return nil, refusal("Authorization has no bearer token")
	}
	issuer, err := issuerOf(raw)
	if err != nil {
		return nil, refusal("%v", err)
	}
	for i := range m.receiver.Spec.OIDCProviders {
		p := &m.receiver.Spec.OIDCProviders[i]
		if p.IssuerURL != issuer {
			continue
		}
		claims, err := h.issuers.claims(ctx, issuer, p.GetAudience(), raw)
		if err != nil {
			return nil, refusal("%v", err)
		}
		return claims, h.validate(ctx, m.receiver, p, claims)
	}
	return nil, refusal("no provider is configured for the issuer of the token")
}

// withTokenClaims lets filters read the claims of the token.
func withTokenClaims(_ context.Context, _ *Hooks, m message) (payload, error) {
	return payload{claims: m.claims}, nil
}

// googleToken verifies the OIDC token that Pub/Sub sends, for the service account and the
// audience that the Secret names. Filters do not see its claims.
func googleToken(ctx context.Context, h *Hooks, m message) (map[string]any, error) {
	email, audience := string(m.secret["email"]), string(m.secret["audience"])
	if email == "" || audience == "" {
		return nil, refusal("the receiver's Secret has no 'email' and 'audience' to check the token against")
	}
	raw, ok := bearer(m)
	if !ok {
		return nil, refusal("Authorization has no bearer token")
	}
	claims, err := h.issuers.claims(ctx, h.GoogleIssuer, audience, raw)
	if err != nil {
		return nil, refusal("%v", err)
	}
	if claims["email"] != email || claims["email_verified"] != true {
		return nil, refusal("the token is not that of the expected service account")
	}
	return nil, nil
}

// maxToken is the longest token in bytes. Those of clouds have a few kilobytes.
const maxToken = 16 << 10

func bearer(m message) (string, bool) {
	token, ok := strings.CutPrefix(m.header.Get("Authorization"), "Bearer ")
	token = strings.TrimSpace(token)
	return token, ok && token != "" && len(token) <= maxToken
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

// validate evaluates the expressions. The messages of those that fail are sent
// to the sender, as their author intends.
func (h *Hooks) validate(
	ctx context.Context, receiver *notificationv1.Receiver, p *notificationv1.OIDCProvider, claims map[string]any,
) error {
	vars := map[string]any{}
	data := map[string]any{"claims": claims, "vars": vars}
	for _, v := range p.Variables {
		program, err := h.programs.get(ctx, receiver.Namespace, variable(v.Expression))
		if err == nil {
			vars[v.Name], err = program.value(ctx, data)
		}
		if err != nil {
			h.reportExpensive(receiver, err)
			return refusal("variable %s cannot be evaluated", v.Name)
		}
	}
	var failed []string
	for i, v := range p.Validations {
		program, err := h.programs.get(ctx, receiver.Namespace, validation(v.Expression))
		ok := false
		if err == nil {
			ok, err = program.passes(ctx, data)
		}
		switch {
		case err != nil:
			h.reportExpensive(receiver, err)
			return refusal("validation %d cannot be evaluated", i)
		case !ok:
			failed = append(failed, v.Message)
		}
	}
	if len(p.Validations) == 0 {
		return refusal("the issuer of the token has no validations")
	}
	if len(failed) > 0 {
		return refusal("token validation failed: %s", strings.Join(failed, "; "))
	}
	return nil
}
