// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// splunk runs a SignalFlow program at Splunk Observability Cloud. Flagger listens
// to its WebSocket; the same service also streams over plain HTTP, as server-sent
// events.
type splunk struct {
	*connection
	base  *url.URL
	token string
}

// connectSplunk takes the address of the API or of the stream, of either protocol,
// as Flagger does: programs run at the stream.
func connectSplunk(c *connection) (querier, error) {
	if rest, ok := strings.CutPrefix(c.Address, "ws"); ok {
		c.Address = "http" + rest
	}
	base, err := c.base("")
	if err != nil {
		return nil, err
	}
	if rest, ok := strings.CutPrefix(base.Host, "api."); ok {
		base.Host = "stream." + rest
	}
	keys, err := c.keys("sf_token_key")
	if err != nil {
		return nil, err
	}
	return &splunk{c, base, keys["sf_token_key"]}, nil
}

// Query asks for a time that is over, so that the stream ends by itself.
func (s *splunk) Query(ctx context.Context, q renderedQuery) (float64, error) {
	req, err := s.request(ctx, http.MethodPost, urlOf(s.base, "v2/signalflow/execute", url.Values{
		"start":     {strconv.FormatInt(q.now.Add(-lookback*q.window).UnixMilli(), 10)},
		"stop":      {strconv.FormatInt(q.now.UnixMilli(), 10)},
		"immediate": {"true"},
	}), strings.NewReader(q.text))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "text/plain")
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("X-SF-Token", s.token)
	body, err := ask(s.client, req)
	if err != nil {
		return 0, err
	}
	return decodeSignalFlow(body)
}

// decodeSignalFlow reads a stream of events:
//
//	event: data
//	data: {"data": [{"tsId": "AAAA", "value": 1.5}], "logicalTimestampMs": 1}
//
// An empty line ends an event, whose data may have several lines. The value is the
// last one.
func decodeSignalFlow(body []byte) (float64, error) {
	var answer signalFlow
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, maxAnswer+1)
	for lines.Scan() {
		if err := answer.line(lines.Text()); err != nil {
			return 0, err
		}
	}
	if err := answer.line(""); err != nil {
		return 0, err
	}
	switch {
	case !answer.events:
		return 0, fmt.Errorf("the server's answer is not from SignalFlow")
	case len(answer.series) == 0:
		return 0, ErrNoValues
	case len(answer.series) > 1:
		return 0, fmt.Errorf("%w: %d", ErrManySeries, len(answer.series))
	default:
		return answer.value, nil
	}
}

// signalFlow is what was read so far.
type signalFlow struct {
	event, data string
	events      bool
	series      map[string]struct{} // those that have a value
	value       float64
}

func (s *signalFlow) line(line string) error {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch {
	case line == "":
		event, data := s.event, s.data
		s.event, s.data = "", ""
		return s.handle(event, data)
	case name == "event":
		s.event, s.events = value, true
	case name == "data":
		s.data += value + "\n"
	}
	return nil
}

func (s *signalFlow) handle(event, data string) error {
	switch event {
	case "error":
		return fmt.Errorf("the server answered: %s", serverMessage([]byte(data)))
	case "control-message":
		var control struct {
			Event string `json:"event"`
			Abort struct {
				Reason string `json:"sf_job_abortReason"`
				State  string `json:"sf_job_abortState"`
			} `json:"abortInfo"`
		}
		if json.Unmarshal([]byte(data), &control) == nil && control.Event == "CHANNEL_ABORT" {
			return fmt.Errorf("the server gave up: %s", excerpt(control.Abort.State+" "+control.Abort.Reason))
		}
	case "data":
		return s.points(data)
	}
	return nil
}

func (s *signalFlow) points(data string) error {
	var message struct {
		Data []struct {
			Series string          `json:"tsId"`
			Value  json.RawMessage `json:"value"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(data), &message); err != nil {
		return errors.New("reading the data: it is no JSON")
	}
	for _, point := range message.Data {
		value, err := number(point.Value)
		switch {
		case errors.Is(err, ErrNoValues):
			continue
		case err != nil:
			return err
		}
		if s.series == nil {
			s.series = map[string]struct{}{}
		}
		s.series[point.Series] = struct{}{}
		s.value = value
	}
	return nil
}
