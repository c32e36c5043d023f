// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// fluxTimeout is longer than that of other providers: Flux computes a lot.
const fluxTimeout = 15 * time.Second

// influxdb asks the API v2 of InfluxDB in Flux.
type influxdb struct {
	*connection
	endpoint string
	token    string
}

// connectInfluxDB needs no Secret: InfluxDB 1.8 speaks Flux and may be open.
func connectInfluxDB(c *connection) (querier, error) {
	base, err := c.base("")
	if err != nil {
		return nil, err
	}
	db := &influxdb{connection: c, endpoint: urlOf(base, "api/v2/query", nil)}
	if c.SecretRef != nil {
		keys, err := c.keys("token", "org")
		if err != nil {
			return nil, err
		}
		db.token, db.endpoint = keys["token"], urlOf(base, "api/v2/query", url.Values{"org": {keys["org"]}})
	}
	c.client = newClient(c.client.Transport, fluxTimeout)
	return db, nil
}

func (i *influxdb) Query(ctx context.Context, q renderedQuery) (float64, error) {
	body, err := json.Marshal(map[string]any{
		"query": q.text, "type": "flux",
		"dialect": map[string]any{"header": true, "annotations": []string{"datatype", "group", "default"}},
	})
	if err != nil {
		return 0, fmt.Errorf("writing the query: %w", err)
	}
	req, err := i.request(ctx, http.MethodPost, i.endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/csv")
	if i.token != "" {
		req.Header.Set("Authorization", "Token "+i.token)
	}
	answer, err := ask(i.client, req)
	if err != nil {
		return 0, err
	}
	return decodeFlux(answer)
}

// decodeFlux reads annotated CSV: tables of the same columns follow one header and
// are told apart by the columns result and table. The value is that of the first
// row; several tables are several series.
func decodeFlux(body []byte) (float64, error) {
	rows := csv.NewReader(bytes.NewReader(body))
	rows.FieldsPerRecord = -1
	var answer fluxAnswer
	for {
		row, err := rows.Read()
		switch {
		case errors.Is(err, io.EOF):
			return answer.value()
		case err != nil:
			return 0, errors.New("the server's answer is not from InfluxDB")
		}
		if err := answer.read(row); err != nil {
			return 0, err
		}
	}
}

// fluxAnswer is what was read so far.
type fluxAnswer struct {
	annotated              bool // the row before was an annotation
	header, types, missing []string
	tables                 []string
	first                  string
	kind                   string
}

// read takes a row. Annotations come before a header, and a header only after
// annotations or at the very beginning.
func (a *fluxAnswer) read(row []string) error {
	switch {
	case strings.HasPrefix(row[0], "#"):
		if !a.annotated {
			a.header, a.types, a.missing = nil, nil, nil
		}
		a.annotated = true
		switch row[0] {
		case "#datatype":
			a.types = row
		case "#default":
			a.missing = row
		}
		return nil
	case a.header == nil:
		if !a.annotated && row[0] != "" {
			return errors.New("the server's answer is not from InfluxDB: it has no header")
		}
		a.annotated, a.header = false, row
		return nil
	}
	if message := a.field(row, "error"); message != "" {
		return fmt.Errorf("the server answered: %s", excerpt(message))
	}
	table := a.field(row, "result") + " " + a.field(row, "table")
	if slices.Contains(a.tables, table) {
		return nil
	}
	a.tables = append(a.tables, table)
	if len(a.tables) == 1 {
		if !slices.Contains(a.header, "_value") {
			return errors.New("the query returns rows without a column _value")
		}
		a.first, a.kind = a.field(row, "_value"), pick(a.types, slices.Index(a.header, "_value"))
	}
	return nil
}

// field is a value of a row, or the default of its column.
func (a *fluxAnswer) field(row []string, column string) string {
	i := slices.Index(a.header, column)
	if i < 0 {
		return ""
	}
	if value := pick(row, i); value != "" {
		return value
	}
	return pick(a.missing, i)
}

func pick(row []string, i int) string {
	if i < 0 || i >= len(row) {
		return ""
	}
	return row[i]
}

func (a *fluxAnswer) value() (float64, error) {
	switch {
	case len(a.tables) == 0 || len(a.tables) == 1 && a.first == "":
		return 0, ErrNoValues
	case len(a.tables) > 1:
		return 0, fmt.Errorf("%w: %d tables", ErrManySeries, len(a.tables))
	case !slices.Contains([]string{"", "double", "long", "unsignedLong"}, a.kind):
		if slices.Contains([]string{"string", "boolean", "dateTime:RFC3339", "dateTime:RFC3339Nano", "duration", "base64Binary"}, a.kind) {
			return 0, fmt.Errorf("the query returns a value of type %s, not a number", a.kind)
		}
		return 0, errors.New("the query returns a value that is not a number")
	default:
		return parseNumber(a.first)
	}
}
