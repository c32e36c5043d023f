// SPDX-License-Identifier: Apache-2.0

package metric

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
)

// metricDataQuery is an entry of a query, spelled as AWS does in JSON.
type metricDataQuery struct {
	ID         string `json:"Id"`
	Expression string
	Label      string
	AccountID  string `json:"AccountId"`
	Period     int64
	ReturnData *bool
	MetricStat *struct {
		Metric struct {
			Namespace, MetricName string
			Dimensions            []struct{ Name, Value string }
		}
		Period     int64
		Stat, Unit string
	}
}

// cloudWatchQuery turns a JSON array of MetricDataQuery into a form. Only one entry
// may return data: CloudWatch answers with a series for each.
func cloudWatchQuery(query string) (url.Values, error) {
	var entries []metricDataQuery
	if err := json.Unmarshal([]byte(query), &entries); err != nil {
		return nil, fmt.Errorf("it is no JSON array of MetricDataQuery: %w", err)
	}
	if len(entries) == 0 {
		return nil, errors.New("it has no MetricDataQuery")
	}
	form, returning := url.Values{}, 0
	for i, entry := range entries {
		switch {
		case entry.ID == "":
			return nil, fmt.Errorf("its entry %d has no Id", i)
		case (entry.Expression == "") == (entry.MetricStat == nil):
			return nil, fmt.Errorf("its entry %s needs either Expression or MetricStat", entry.ID)
		}
		if entry.ReturnData == nil || *entry.ReturnData {
			returning++
		}
		entry.write(form, member("MetricDataQueries", i))
	}
	if returning != 1 {
		return nil, fmt.Errorf("%d of its entries return data, which one must: set ReturnData to false on the others", returning)
	}
	return form, nil
}

func (m metricDataQuery) write(form url.Values, prefix string) {
	set := func(name, value string) {
		if value != "" {
			form.Set(prefix+"."+name, value)
		}
	}
	number := func(name string, value int64) {
		if value != 0 {
			set(name, strconv.FormatInt(value, 10))
		}
	}
	set("Id", m.ID)
	set("Expression", m.Expression)
	set("Label", m.Label)
	set("AccountId", m.AccountID)
	number("Period", m.Period)
	if m.ReturnData != nil {
		set("ReturnData", strconv.FormatBool(*m.ReturnData))
	}
	if m.MetricStat == nil {
		return
	}
	set("MetricStat.Metric.Namespace", m.MetricStat.Metric.Namespace)
	set("MetricStat.Metric.MetricName", m.MetricStat.Metric.MetricName)
	for i, dimension := range m.MetricStat.Metric.Dimensions {
		set(member("MetricStat.Metric.Dimensions", i)+".Name", dimension.Name)
		set(member("MetricStat.Metric.Dimensions", i)+".Value", dimension.Value)
	}
	number("MetricStat.Period", m.MetricStat.Period)
	set("MetricStat.Stat", m.MetricStat.Stat)
	set("MetricStat.Unit", m.MetricStat.Unit)
}
