// SPDX-License-Identifier: Apache-2.0

package metric

import "testing"

func TestWhenTheProcessesOfATemplateWereScraped(t *testing.T) {
	for exposure, want := range map[string]string{
		`sum by (pod) (jobs_total{namespace="a", pod=~"b-(1|2)"})`:     `max by (pod) (timestamp(jobs_total{namespace="a", pod=~"b-(1|2)"}))`,
		"sum by(pod,instance)(\n  jobs:total\n) # all of them":         `max by(pod,instance) (timestamp(jobs:total))`,
		`sum(jobs_total{topic="}\""}) by (pod)`:                        `max by (pod) (timestamp(jobs_total{topic="}\""}))`,
		`max without (code) (jobs_total{})`:                            `max without (code) (timestamp(jobs_total{}))`,
		`sum by (pod) (jobs_total) + sum by (pod) (other_total)`:       "",
		`sum by (pod) (jobs_total offset 5m)`:                          "",
		`sum by (pod) (label_replace(jobs_total, "a", "b", "c", "d"))`: "",
		`sum by (pod) (jobs_total{a="b"} # why) (`:                     "",
		`sum by (pod) (jobs_total) or vector(0)`:                       "",
		`sum by (pod) (count_over_time(jobs[1m]))`:                     "",
		`topk by (pod) (5, jobs_total)`:                                "",
		`jobs_total`:                                                   `timestamp(jobs_total)`,
		"sum by (pod) (jobs_total{a=`b`})":                             "",
		`sum by (pod) (jobs_total{a='b', path="/x#y", b!~".*"})`:       `max by (pod) (timestamp(jobs_total{a='b', path="/x#y", b!~".*"}))`,
	} {
		got, ok := scrapesOf("(" + exposure + "\n)")
		if got != want || ok != (want != "") {
			t.Errorf("%s: got %q, want %q", exposure, got, want)
		}
	}
}
