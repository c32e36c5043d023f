// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"strings"

	"github.com/sluice-cd/sluice/cmd/sluice/cli/output"
	"github.com/sluice-cd/sluice/report"
)

// pageOf is a trace for people.
func pageOf(traced report.Trace) *output.Page {
	page := &output.Page{}
	object := traced.Object
	page.Section("%s %s", object.Kind, name(object.Namespace, object.Name))
	for _, owner := range traced.Through {
		page.Lines([][]string{{"owned by", owner.Kind + " " + name(owner.Namespace, owner.Name)}})
	}
	if owner := traced.Owner; owner != nil {
		page.Section("%s %s", owner.Kind, name(owner.Namespace, owner.Name))
		page.Lines(filled([][]string{{"revision", owner.Revision}, {"path", owner.Path}, {"ready", ready(owner.Resource)}}))
	}
	if source := traced.Source; source != nil {
		page.Section("%s %s", source.Kind, name(source.Namespace, source.Name))
		page.Lines(filled([][]string{
			{"url", source.URL}, {"revision", source.Revision}, {"made of", source.OriginSource}, {"made at", source.OriginRevision},
			{"ready", ready(source.Resource)},
		}))
	}
	for _, image := range traced.Images {
		page.Section("Image %s", image.Runs)
		page.Lines(filled([][]string{
			{"policy", name(image.Namespace, image.Policy)}, {"chosen", image.Chosen},
			{"automation", image.Automation}, {"written", image.Written}, {"commit", image.Commit},
			{"message", image.Message},
		}))
	}
	for _, stage := range traced.Stages {
		page.Section("Stage %s of Pipeline %s", stage.Name, name(stage.Pipeline.Namespace, stage.Pipeline.Name))
		rows := [][]string{{"phase", string(stage.Phase)}, {"message", stage.Message}}
		if stage.Has != nil {
			rows = append(rows, []string{"has", report.NameBundle(*stage.Has)})
		}
		page.Lines(filled(append(rows, []string{"commit", stage.Commit}, []string{"by", stage.By})))
	}
	return page
}

func name(namespace, name string) string { return strings.TrimPrefix(namespace+"/"+name, "/") }

// ready is the condition Ready in a cell.
func ready(r report.Resource) string {
	return strings.Join(strings.Fields(r.Ready+" "+r.Reason+" "+r.Message), " ")
}

// filled are the rows that have a value.
func filled(rows [][]string) [][]string {
	var found [][]string
	for _, row := range rows {
		if row[1] != "" {
			found = append(found, row)
		}
	}
	return found
}
