// SPDX-License-Identifier: Apache-2.0

package gitea

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/sluice-cd/sluice/test/harness"
)

// StatusError is an answer of the API that is not a success.
type StatusError struct {
	Method, Path string
	Code         int
	Message      string // as the server says it
}

// Error names the call and what the server said.
func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %s", e.Method, e.Path, e.Code, http.StatusText(e.Code), e.Message)
}

// answers are bounded in time and size, so that a fault ends a test.
const (
	answerWithin = harness.Patience
	answerBytes  = 16 << 20
)

// Call asks the API as the person: path begins below /api/v1, in is sent as JSON
// unless it is nil, and the answer is decoded into out unless that is nil. An answer
// that is no success is a [*StatusError].
func (p *Person) Call(ctx context.Context, method, path string, in, out any) error {
	data, err := p.fetch(ctx, method, path, in)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: reading the answer: %w", method, path, err)
	}
	return nil
}

// fetch is the body of an answer.
func (p *Person) fetch(ctx context.Context, method, path string, in any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, p.server.URL+"/api/v1"+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if p.Token != "" {
		req.Header.Set("Authorization", "token "+p.Token)
	} else {
		req.SetBasicAuth(p.Name, p.Password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, &StatusError{Method: method, Path: path, Code: resp.StatusCode, Message: message(data)}
	}
	return data, nil
}

// message is the text of an answer that says what went wrong.
func message(data []byte) string {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(data, &said) == nil && said.Message != "" {
		return said.Message
	}
	return string(data[:min(len(data), 500)])
}
