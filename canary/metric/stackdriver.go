// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"

	"github.com/sluice-cd/sluice/internal/keysize"
)

// monitoringScope lets a token read metrics and nothing else.
const monitoringScope = "https://www.googleapis.com/auth/monitoring.read"

// stackdriver asks Google Cloud Monitoring in its query language, MQL.
type stackdriver struct {
	*connection
	base    *url.URL
	project string
	// account is that of the Secret; nil is the one that the controller has.
	account *jwt.Config
	bearer  *bearer
}

// connectStackdriver takes from the Secret the project and the key of a service
// account. Other kinds of credentials may name files and commands to read them
// from, which would be the controller's.
func connectStackdriver(c *connection) (querier, error) {
	base, err := c.base("https://monitoring.googleapis.com")
	if err != nil {
		return nil, err
	}
	s := &stackdriver{connection: c, base: base, bearer: &c.checker.ambientCredentials.google}
	if c.SecretRef != nil {
		keys, err := c.keys("project")
		if err != nil {
			return nil, err
		}
		s.project = keys["project"]
	}
	if key := c.key("serviceAccountKey"); key != "" {
		if s.account, err = google.JWTConfigFromJSON([]byte(key), monitoringScope); err != nil {
			return nil, incompleteSecret{fmt.Errorf("secretRef: serviceAccountKey of Secret %q is not the JSON key of a service account",
				c.SecretRef.Name)}
		}
		if err := keysize.CheckPEM(s.account.PrivateKey); err != nil {
			return nil, incompleteSecret{fmt.Errorf("secretRef: serviceAccountKey of Secret %q: %w", c.SecretRef.Name, err)}
		}
		s.bearer = &bearer{}
	}
	if s.account == nil {
		if err := c.refuseOwnIdentity("gcp", base); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *stackdriver) Query(ctx context.Context, q renderedQuery) (float64, error) {
	token, project, err := s.bearer.get(ctx, s.issue)
	if err != nil {
		return 0, err
	}
	if s.project != "" {
		project = s.project
	}
	if project == "" {
		return 0, errors.New("nothing says which project to ask about: name a Secret with the key project in spec.provider.secretRef")
	}
	body, err := json.Marshal(map[string]string{"query": q.text})
	if err != nil {
		return 0, fmt.Errorf("writing the query: %w", err)
	}
	endpoint := urlOf(s.base, "v3/projects/"+url.PathEscape(project)+"/timeSeries:query", nil)
	req, err := s.request(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	answer, err := ask(s.client, req)
	if err != nil {
		return 0, err
	}
	return decodeStackdriver(answer)
}

func (s *stackdriver) issue(ctx context.Context) (*oauth2.Token, string, error) {
	if s.account == nil {
		token, project, err := ambientGoogle(ctx)
		return token, project, refusal(err)
	}
	token, err := s.account.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, s.client)).Token()
	return token, "", refusal(err)
}

// refusal is why there is no token, without the page and the URL that say so.
func refusal(err error) error {
	var refused *oauth2.RetrieveError
	var unreachable *url.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Response != nil:
		// The key of a service account names the server to ask.
		return fmt.Errorf("getting a token from Google: the server answered %d%s", refused.Response.StatusCode, codeOf(refused))
	case errors.As(err, &unreachable):
		return fmt.Errorf("getting a token from Google: %w", unreachable.Err)
	default:
		return fmt.Errorf("getting a token from Google: %w", err)
	}
}

// codeOf is the error of OAuth 2 that a token server answers with, "" for any other
// answer.
func codeOf(refused *oauth2.RetrieveError) string {
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(refused.Body, &said) == nil && slices.Contains(oauthErrors, said.Error) {
		return ": " + said.Error
	}
	return ""
}

// oauthErrors are those of RFC 6749, section 5.2.
var oauthErrors = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope",
}

// decodeStackdriver reads series whose points are the newest first. A point has a
// value per column, the first of which counts.
func decodeStackdriver(body []byte) (float64, error) {
	var answer struct {
		Series []struct {
			Points []struct {
				Values []map[string]json.RawMessage `json:"values"`
			} `json:"pointData"`
		} `json:"timeSeriesData"`
		Partial []struct {
			Message string `json:"message"`
		} `json:"partialErrors"`
	}
	if err := decode(body, &answer, "Cloud Monitoring"); err != nil {
		return 0, err
	}
	if len(answer.Partial) > 0 {
		return 0, fmt.Errorf("the server answered in part: %s", excerpt(answer.Partial[0].Message))
	}
	var result singleValue
	for _, series := range answer.Series {
		if len(series.Points) == 0 || len(series.Points[0].Values) == 0 {
			continue
		}
		if err := result.read(typedValue(series.Points[0].Values[0])); err != nil {
			return 0, err
		}
	}
	return result.get()
}

// typedValue is an object with one field that is named after its type. Integers are
// in quotes. Flagger takes all but doubles for zero.
func typedValue(fields map[string]json.RawMessage) (float64, error) {
	for _, name := range []string{"doubleValue", "int64Value"} {
		if raw, ok := fields[name]; ok {
			return number(raw)
		}
	}
	if raw, ok := fields["boolValue"]; ok {
		var value any
		if err := json.Unmarshal(raw, &value); err != nil {
			return 0, fmt.Errorf("reading a value: %w", err)
		}
		return plain(value)
	}
	if len(fields) == 0 {
		return 0, ErrNoValues
	}
	return 0, errors.New("the query returns texts or distributions, not numbers")
}
