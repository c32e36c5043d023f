package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// The formats of -o. The empty one is a table.
const (
	asTable = ""
	asWide  = "wide"
	asJSON  = "json"
	asYAML  = "yaml"
)

var formats = []string{asJSON, asYAML, asWide}

// output is how a command prints what it lists.
type output struct{ format string }

func (o *output) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", asTable, "format of the output: "+strings.Join(formats, ", ")+"; default: a table")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

func (o *output) validate() error {
	if o.format != asTable && !slices.Contains(formats, o.format) {
		return fmt.Errorf("--output: unknown format %q; known: %s", o.format, strings.Join(formats, ", "))
	}
	return nil
}

// table is what people read. The columns from wide on are only shown by -o wide.
type table struct {
	columns []string
	wide    int
	rows    [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes data as JSON or YAML, or the table.
func (o *output) print(w io.Writer, t table, data any) error {
	switch o.format {
	case asJSON:
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(data)
	case asYAML:
		text, err := yaml.Marshal(data)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	shown := t.wide
	if o.format == asWide || t.wide == 0 {
		shown = len(t.columns)
	}
	tabs := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range append([][]string{t.columns}, t.rows...) {
		if _, err := fmt.Fprintln(tabs, strings.Join(cells(row[:shown]), "\t")); err != nil {
			return err
		}
	}
	return tabs.Flush()
}

// cells keeps a cell to its place: what registries, files and people wrote may
// hold tabs, line breaks and commands for the terminal.
func cells(row []string) []string {
	clean := make([]string, len(row))
	for i, cell := range row {
		clean[i] = strings.Map(func(r rune) rune {
			if r < ' ' || r >= 0x7f && r < 0xa0 {
				return ' '
			}
			return r
		}, cell)
		if clean[i] == "" {
			clean[i] = "-"
		}
	}
	return clean
}

// without leaves out a column.
func (t table) without(column int) table {
	cut := table{columns: slices.Delete(slices.Clone(t.columns), column, column+1), wide: t.wide}
	if column < t.wide {
		cut.wide--
	}
	for _, row := range t.rows {
		cut.add(slices.Delete(slices.Clone(row), column, column+1)...)
	}
	return cut
}
