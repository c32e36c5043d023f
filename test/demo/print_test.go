// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/test/chain"
	"github.com/sluice-cd/sluice/test/golden"
	"github.com/sluice-cd/sluice/test/traffic"
)

func TestTimeline(t *testing.T) {
	for name, colours := range map[string]bool{"plain": false, "terminal": true} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			start := time.Unix(1000, 0)
			p := &printer{out: &out, style: style{colours: colours}, now: func() time.Time { return start }}
			p.title("simulated")
			p.entry(chain.Entry{At: start, Step: chain.Fetched, Text: "before the first release"})
			p.done("a playground is up", 7300*time.Millisecond)
			p.begin(chain.Release{Tag: "1.1.0"}, "simulated")
			p.pushed("registry/app:1.1.0")
			at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
			p.entry(chain.Entry{At: at(100), Step: chain.Analysed, Text: "a late word about the release before", Weight: -1})
			p.entry(chain.Entry{At: at(1200), Step: chain.Seen, Text: "1.1.0", Weight: -1})
			p.entry(chain.Entry{
				At:     at(1500),
				Step:   chain.Committed,
				Text:   "0123456789",
				Weight: -1,
				Detail: []string{"+++ b/app.yaml", "@@ -1 +1 @@", "-old", "+new"},
			})
			p.entry(chain.Entry{At: at(12500), Step: chain.Analysed, Text: "Advance canary weight 40", Weight: 40})
			p.entry(chain.Entry{At: at(42500), Step: chain.Verdict, Text: "Promotion completed!", Weight: -1})
			p.entry(chain.Entry{At: at(42600), Step: chain.Analysed, Text: "an afterword", Weight: -1})
			p.end(chain.Release{Tag: "1.1.0"}, chain.Promoted)
			p.begin(chain.Release{Tag: "1.2.0", Traits: traffic.Traits{ErrorRate: 0.3}}, "simulated")
			p.pushed("registry/app:1.2.0")
			p.entry(chain.Entry{At: at(900), Step: chain.Seen, Text: "1.2.0", Weight: -1})
			p.entry(chain.Entry{At: at(10000), Step: chain.Analysed, Text: "Halt advancement", Weight: -1, Warning: true})
			p.end(chain.Release{Tag: "1.2.0"}, chain.RolledBack)
			p.summary(conclusion{where: "The primary", image: "registry/app:1.1.0", rest: "; the bad release never touched it."})
			golden.Compare(t, filepath.Join("testdata", name+".txt"), out.Bytes())
		})
	}
}

func TestATimelineOfStages(t *testing.T) {
	var out bytes.Buffer
	start := time.Unix(1000, 0)
	p := &printer{out: &out, byStage: true, now: func() time.Time { return start }}
	p.begin(chain.Release{Tag: "1.2.0", Traits: traffic.Traits{ErrorRate: 0.3, ErrorNamespace: chain.Production}}, "simulated")
	p.pushed("registry/app:1.2.0")
	say := func(ms int, e chain.Entry) {
		e.At = start.Add(time.Duration(ms) * time.Millisecond)
		p.entry(e)
	}
	say(100, chain.Entry{Step: chain.Verified, Stage: chain.Production, Text: "the version before", Weight: -1})
	say(200, chain.Entry{Step: chain.Seen, Text: "1.2.0", Weight: -1})
	say(300,
		chain.Entry{Step: chain.Committed, Stage: chain.Staging, Text: "0123456789 Promote", Weight: -1, Detail: []string{"+++ b/app.yaml"}})
	say(9000, chain.Entry{Step: chain.Verdict, Stage: chain.Staging, Text: "Promotion completed!", Weight: -1})
	say(9100, chain.Entry{Step: chain.Verified, Stage: chain.Staging, Text: "app 1.2.0", Weight: -1})
	say(20000, chain.Entry{Step: chain.Quarantined, Stage: chain.Production, Text: "app:1.2.0", Weight: -1, Warning: true})
	p.end(chain.Release{Tag: "1.2.0"}, chain.RolledBack)
	say(20100, chain.Entry{Step: chain.Applied, Stage: chain.Production, Text: "an afterword", Weight: -1})
	p.summary(conclusion{output: []string{"$ sluice"}, where: "Production", image: "registry/app:1.1.0", rest: " again."})
	golden.Compare(t, filepath.Join("testdata", "stages.txt"), out.Bytes())
}
