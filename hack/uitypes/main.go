// SPDX-License-Identifier: Apache-2.0

// Command uitypes writes the TypeScript types of what the user interface is told, and of what it sends: those of packages
// report and ui, and all that they are made of.
//
//	go run ./hack/uitypes >ui/app/src/api/types.ts
//
// It reflects over the types rather than over their source, as a field means what encoding/json makes
// of it: embedded structs are extended, named strings with constants become unions of these, and what
// may be left out may be undefined. Comments come from the source.
package main

import (
	"fmt"
	"os"
	"reflect"

	"github.com/sluice-cd/sluice/report"
	"github.com/sluice-cd/sluice/ui"
)

// answers are what the server of the user interface sends, and what it is sent.
var answers = []any{
	report.Lane{}, ui.CanaryDetail{}, ui.PipelineDetail{}, ui.PolicyDetail{}, ui.AutomationDetail{}, ui.CommitDetail{},
	report.Condition{}, report.Event{}, report.ObjectReference{}, ui.Timeline{},
	ui.Session{}, ui.LaneChange{}, ui.Alive{}, ui.ObjectLine{}, ui.FoundObjects{}, ui.ObjectDetail{}, ui.Action{},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "uitypes:", err)
		os.Exit(1)
	}
}

func run() error {
	w := newWriter(".")
	for _, answer := range answers {
		if _, err := w.nameOf(reflect.TypeOf(answer)); err != nil {
			return err
		}
	}
	text, err := w.module()
	if err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(text)
	return err
}
