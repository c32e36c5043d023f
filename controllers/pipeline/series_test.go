// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/test/make"
)

// collected are the series of one pipeline.
type collected struct{ *sluicev1.Pipeline }

func (c collected) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range seriesDescs {
		to <- desc
	}
}

func (c collected) Collect(to chan<- prometheus.Metric) {
	for _, m := range seriesOf(c.Pipeline) {
		to <- m
	}
}

func TestSeriesOfAPipeline(t *testing.T) {
	p := make.Pipeline(time.Unix(100_000, 0), func(p *sluicev1.Pipeline) {
		p.Status.Quarantined = []sluicev1.Quarantine{{Bundle: make.Bundle("0")}}
		waiting := &p.Status.Stages[1].Waiting
		*waiting = append(*waiting, sluicev1.Gate{Type: sluicev1.GateWindow}, sluicev1.Gate{Type: sluicev1.GateWindow})
		p.Status.Stages = append(p.Status.Stages, sluicev1.StageStatus{Name: "empty", Phase: sluicev1.StageEmpty})
	})
	const want = `
# HELP sluice_pipeline_quarantined_bundles Bundles that no stage is given.
# TYPE sluice_pipeline_quarantined_bundles gauge
sluice_pipeline_quarantined_bundles{name="shop",namespace="apps"} 1
# HELP sluice_pipeline_stage_info Where a stage stands, and the bundle that it has.
# TYPE sluice_pipeline_stage_info gauge
sluice_pipeline_stage_info{bundle="",name="shop",namespace="apps",phase="Empty",stage="empty"} 1
sluice_pipeline_stage_info{bundle="api 1, web 1",name="shop",namespace="apps",phase="Waiting",stage="production"} 1
sluice_pipeline_stage_info{bundle="api 2, web 2",name="shop",namespace="apps",phase="Verified",stage="staging"} 1
# HELP sluice_pipeline_stage_landed_timestamp_seconds When the stage got the bundle that it has.
# TYPE sluice_pipeline_stage_landed_timestamp_seconds gauge
sluice_pipeline_stage_landed_timestamp_seconds{name="shop",namespace="apps",stage="production"} 31600
sluice_pipeline_stage_landed_timestamp_seconds{name="shop",namespace="apps",stage="staging"} 99400
# HELP sluice_pipeline_stage_verified_timestamp_seconds When the bundle that the stage has was verified.
# TYPE sluice_pipeline_stage_verified_timestamp_seconds gauge
sluice_pipeline_stage_verified_timestamp_seconds{name="shop",namespace="apps",stage="production"} 35200
sluice_pipeline_stage_verified_timestamp_seconds{name="shop",namespace="apps",stage="staging"} 99700
# HELP sluice_pipeline_stage_waiting Gates that a stage waits for.
# TYPE sluice_pipeline_stage_waiting gauge
sluice_pipeline_stage_waiting{gate="Approval",name="shop",namespace="apps",stage="production"} 1
sluice_pipeline_stage_waiting{gate="Window",name="shop",namespace="apps",stage="production"} 2
`
	if err := testutil.CollectAndCompare(collected{p}, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
