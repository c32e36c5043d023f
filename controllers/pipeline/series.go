// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	sluicev1 "github.com/sluice-cd/sluice/api/sluice/v1alpha1"
	"github.com/sluice-cd/sluice/internal/shorten"
	"github.com/sluice-cd/sluice/promotion"
)

// Series of pipelines, of what their statuses say. There are at most 16 stages, and as
// many gates as there are types of them.
var (
	stageInfo = stageDesc("info", "Where a stage stands, and the bundle that it has.", "phase", "bundle")
	stageGate = stageDesc("waiting", "Gates that a stage waits for.", "gate")
	stageGot  = stageDesc("landed_timestamp_seconds", "When the stage got the bundle that it has.")
	stageGood = stageDesc("verified_timestamp_seconds", "When the bundle that the stage has was verified.")

	quarantined = prometheus.NewDesc("sluice_pipeline_quarantined_bundles",
		"Bundles that no stage is given.", []string{"namespace", "name"}, nil)

	seriesDescs = []*prometheus.Desc{stageInfo, stageGate, stageGot, stageGood, quarantined}
)

func stageDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sluice_pipeline_stage_"+name, help, append([]string{"namespace", "name", "stage"}, labels...), nil)
}

// collectSeries sends the series of all pipelines.
func (r *Reconciler) collectSeries(ctx context.Context, to chan<- prometheus.Metric) error {
	var pipelines sluicev1.PipelineList
	if err := r.Client.List(ctx, &pipelines, client.UnsafeDisableDeepCopy); err != nil {
		return err
	}
	for i := range pipelines.Items {
		for _, m := range seriesOf(&pipelines.Items[i]) {
			to <- m
		}
	}
	return nil
}

// maxLabel bounds a label in bytes: a server that bounds labels refuses all that has a longer one.
const maxLabel = 256

// seriesOf are the series of one pipeline.
func seriesOf(p *sluicev1.Pipeline) []prometheus.Metric {
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
		return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{p.Namespace, p.Name}, labels...)...)
	}
	all := []prometheus.Metric{gauge(quarantined, float64(len(p.Status.Quarantined)))}
	for i := range p.Status.Stages {
		s := &p.Status.Stages[i]
		has := ""
		if s.Has != nil {
			has = shorten.Bytes(promotion.Describe(*s.Has), maxLabel, shorten.Dots)
		}
		all = append(all, gauge(stageInfo, 1, s.Name, string(s.Phase), has))
		for gate, count := range closed(s.Waiting) {
			all = append(all, gauge(stageGate, float64(count), s.Name, string(gate)))
		}
		for desc, at := range map[*prometheus.Desc]*metav1.Time{stageGot: s.Since, stageGood: s.Verified} {
			if at != nil {
				all = append(all, gauge(desc, float64(at.Unix()), s.Name))
			}
		}
	}
	return all
}

// closed counts gates by their type: a stage may wait for several of one.
func closed(gates []sluicev1.Gate) map[sluicev1.GateType]int {
	count := map[sluicev1.GateType]int{}
	for _, gate := range gates {
		count[gate.Type]++
	}
	return count
}
