// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// view is how `sluice canary watch` shows what it sees.
type view interface {
	show(key client.ObjectKey, now report.Canary) error
	forget(key client.ObjectKey)
	close()
}

// newView is a table that is kept current where somebody looks at it, and lines
// everywhere else.
func newView(cmd *cobra.Command, format output.Format, clk clock.WithTicker) view {
	out := cmd.OutOrStdout()
	file, ok := out.(*os.File)
	if format == output.JSON || !ok || !term.IsTerminal(int(file.Fd())) {
		return &lines{out: out, clock: clk, json: format == output.JSON}
	}
	s := &screen{
		out: out, clock: clk, root: cmd.Root().CommandPath(), wide: format == output.Wide, stop: make(chan struct{}),
		all: map[client.ObjectKey]report.Canary{},
	}
	s.size = func() (int, int) {
		width, height, err := term.GetSize(int(file.Fd()))
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}
	s.stopped.Add(1)
	go s.keepCurrent()
	return s
}

// lines writes one line for each transition.
type lines struct {
	out   io.Writer
	clock clock.PassiveClock
	json  bool
}

func (l *lines) show(_ client.ObjectKey, now report.Canary) error {
	at := l.clock.Now()
	text, err := []byte(output.Fit(logLine(now, at), output.Width(l.out))), error(nil)
	if l.json {
		text, err = json.Marshal(report.CanaryTransition{Time: at.UTC(), Canary: now})
	}
	if err != nil {
		return err
	}
	_, err = l.out.Write(append(text, '\n'))
	return err
}

func (l *lines) forget(client.ObjectKey) {}
func (l *lines) close()                  {}

// logLine is a canary as one line of a log.
func logLine(c report.Canary, at time.Time) string {
	parts := []string{at.Format(time.TimeOnly), c.Namespace + "/" + c.Name}
	for _, part := range []struct{ name, value string }{
		{"", string(c.Phase)}, {"weight ", fmt.Sprint(c.Weight)}, {"step ", step(c)}, {"failed ", failed(c)},
		{"", c.Image}, {"hold ", c.HeldBy()}, {"", c.ProgressMessage()},
	} {
		if part.value != "" {
			parts = append(parts, part.name+part.value)
		}
	}
	return output.CleanLine(parts)
}
