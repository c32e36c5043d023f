// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/canary/judge/counter"
	"github.com/sluice-cd/sluice/canary/judge/replay"
	"github.com/sluice-cd/sluice/canary/metric"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
)

// serverFlags say where recorded counters are, and which.
type serverFlags struct {
	url, canary, since string
	every, scan, rest  time.Duration
	save               string
	provider           string
}

func (s *serverFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.url, "prometheus", "", "URL of the Prometheus server that has the counters")
	flags.StringVar(&s.canary, "canary", "", "name of the Canary whose releases are judged")
	flags.StringVar(&s.since, "since", "7d", "how far to look back, such as 12h or 30d")
	flags.DurationVar(&s.every, "every", 15*time.Second, "time between two readings; about as often as the server scrapes")
	flags.DurationVar(&s.scan, "scan", time.Minute, "time between two points at which releases are looked for; a shorter one may be missed")
	flags.DurationVar(&s.rest, "rest", 30*time.Minute,
		"how long before a release readings begin, from which is measured what the service is used to")
	flags.StringVar(&s.save, "save-trace", "", "also write the readings to this file, to be replayed with --trace")
	flags.StringVar(&s.provider, "mesh-provider", "", "router of canaries that name no provider, as that of the controller")
}

// check returns how far to look back.
func (s *serverFlags) check() (time.Duration, error) {
	if s.canary == "" {
		return 0, errors.New("--canary is required with --prometheus: the name of the Canary whose releases are judged")
	}
	since, err := model.ParseDuration(s.since)
	switch lasts := time.Duration(since); {
	case err != nil:
		return 0, fmt.Errorf("--since: %w", err)
	case lasts <= 0:
		return 0, fmt.Errorf("--since: %s is no time, such as 12h or 30d", s.since)
	case s.every < time.Second || s.scan < time.Second:
		return 0, errors.New("--every and --scan: have to be at least 1s")
	case s.rest < 0 || s.rest > 24*time.Hour:
		return 0, fmt.Errorf("--rest: %s is not between 0 and a day", s.rest)
	case lasts/s.scan > maxScans:
		return 0, fmt.Errorf("--since: %s is more than %d times --scan (%s)", s.since, maxScans, s.scan)
	default:
		return lasts, nil
	}
}

const (
	// maxScans bounds how many points a server is asked for: two months of minutes.
	maxScans = 100_000
	// maxReadings bounds how many readings are made.
	maxReadings = 100_000
)

// span is a time in which a canary may have had requests.
type span struct{ from, to time.Time }

// ask reads the counters of a Canary's releases, and judges them.
func (r *replaying) ask(cmd *cobra.Command, o replay.Options) ([]replay.ReplayedRelease, error) {
	since, err := r.server.check()
	if err != nil {
		return nil, err
	}
	var c flaggerv1.Canary
	k, err := r.cluster.Find(cmd.Context(), r.server.canary, &c)
	if err != nil {
		return nil, err
	}
	if o, err = optionsOf(cmd, &c, o); err != nil {
		return nil, err
	}
	r.settings.Settings = o.Settings // that the report is about
	counters, err := r.server.prepare(cmd.Context(), r, k, &c)
	if err != nil {
		return nil, err
	}
	now := r.clock.Now().Truncate(time.Second)
	spans, err := counters.spans(cmd, span{now.Add(-since), now})
	if err != nil {
		return nil, err
	}
	var releases []replay.ReplayedRelease
	err = r.server.saving(func(write func(counter.Reading) error) error {
		releases, err = counters.play(cmd, o, recordedOf(&c), spans, write)
		return err
	})
	return releases, err
}

// saving calls read with what keeps a reading, if that was asked for.
func (s *serverFlags) saving(read func(write func(counter.Reading) error) error) error {
	if s.save == "" {
		return read(func(counter.Reading) error { return nil })
	}
	return saveTrace(s.save, read)
}

// recorder reads recorded counters.
type recorder struct {
	flags  *serverFlags
	gap    time.Duration
	read   metric.Read
	active metric.Active
}

// prepare finds the counters that the judge of a Canary compares, or else those behind the builtin checks.
func (s *serverFlags) prepare(ctx context.Context, r *replaying, k client.Client, c *flaggerv1.Canary) (*recorder, error) {
	c = c.DeepCopy()
	c.Spec.MetricsServer = "" // the flag is
	var options []metric.Option
	if s.provider != "" {
		options = append(options, metric.WithProvider(s.provider))
	}
	checker := metric.NewChecker(k, s.url, r.clock, append(options, metric.WithOwnServer("--prometheus"))...)
	metrics := metric.JudgedMetrics(nil)
	if c.Spec.Analysis != nil {
		metrics = metric.JudgedMetrics(c.Spec.Analysis.Judge)
	}
	read, err := checker.PrepareCounters(ctx, c, metrics...)
	if err != nil {
		return nil, err
	}
	active, err := checker.PrepareActivity(ctx, c, metrics...)
	return &recorder{flags: s, gap: r.gap, read: read, active: active}, err
}

// spans finds when the canary had requests.
func (r *recorder) spans(cmd *cobra.Command, in span) ([]span, error) {
	var times []time.Time
	err := output.Await(cmd, "looking for releases", func() (err error) {
		times, err = r.active(cmd.Context(), in.from, in.to, r.flags.scan)
		return err
	})
	if err != nil {
		return nil, err
	}
	var spans []span
	readings := 0.0
	for _, at := range times {
		from, to := at.Add(-r.flags.scan-r.flags.rest), at.Add(r.gap)
		if to.After(in.to) {
			to = in.to
		}
		if n := len(spans); n > 0 && !from.After(spans[n-1].to) {
			spans[n-1].to = to
			continue
		}
		spans = append(spans, span{from, to})
	}
	for _, s := range spans {
		readings += s.to.Sub(s.from).Seconds() / r.flags.every.Seconds()
	}
	if readings > maxReadings {
		return nil, fmt.Errorf("the canary had requests for so long that it would take %.0f readings, more than %d: "+
			"shorten --since or --rest, or lengthen --every",
			readings, maxReadings)
	}
	return spans, nil
}

// play reads the counters of all spans, and judges them.
func (r *recorder) play(cmd *cobra.Command, o replay.Options, history []replay.Recorded, spans []span,
	write func(counter.Reading) error) ([]replay.ReplayedRelease, error) {
	var all []replay.ReplayedRelease
	for i, s := range spans {
		output.Note(cmd, "reading %d of %d: %s to %s", i+1, len(spans), s.from.UTC().Format(time.RFC3339), s.to.UTC().Format(time.RFC3339))
		o.History = nil
		for _, h := range history {
			if h.From.Before(s.to) && (h.To.IsZero() || h.To.After(s.from)) {
				o.History = append(o.History, h)
			}
		}
		player, err := replay.NewPlayer(o)
		if err != nil {
			return nil, err
		}
		for at := s.from; !at.After(s.to); at = at.Add(r.flags.every) {
			reading, err := r.read(cmd.Context(), at)
			if err == nil {
				err = player.Add(reading)
			}
			if err == nil {
				err = write(reading)
			}
			if err != nil {
				return nil, err
			}
		}
		all = append(all, player.Releases()...)
	}
	return all, nil
}
