package metric

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// secrets are texts that no error may hold. A server that refuses a key likes to
// repeat it.
type secrets []string

// minSecret is the length below which hiding a text would tell more than it hides.
const minSecret = 4

func newSecrets(data map[string][]byte, address string) secrets {
	var all secrets
	add := func(text string) {
		text = strings.TrimSpace(text)
		if len(text) < minSecret {
			return
		}
		all = append(all, text, url.QueryEscape(text), url.PathEscape(text), base64.StdEncoding.EncodeToString([]byte(text)))
	}
	for _, value := range data {
		add(string(value))
	}
	if name, ok := data["username"]; ok {
		add(string(name) + ":" + string(data["password"]))
	}
	if u, err := url.Parse(address); err == nil {
		if password, ok := u.User.Password(); ok {
			add(password)
		}
		for _, values := range u.Query() {
			for _, value := range values {
				add(value)
			}
		}
	}
	// The longest first: one secret may be part of another.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(all)
}

// scrub hides the secrets in an error, which otherwise stays what it is.
func (s secrets) scrub(err error) error {
	text := err.Error()
	clean := text
	for _, secret := range s {
		clean = strings.ReplaceAll(clean, secret, "***")
	}
	if clean == text {
		return err
	}
	return scrubbed{clean, err}
}

type scrubbed struct {
	text string
	err  error
}

func (s scrubbed) Error() string { return s.text }
func (s scrubbed) Unwrap() error { return s.err }
