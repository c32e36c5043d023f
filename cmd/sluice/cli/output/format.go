// SPDX-License-Identifier: Apache-2.0

// Package output prints what commands have to say: data to standard output, as a
// table for people or in a format for programs, and everything else to standard error.
//
//	-o          prints
//	(nothing)   a table with the columns that everybody needs
//	wide        the same with all columns
//	name        one name a line, to be given to another command
//	json, yaml  a type of package report, whose fields are a contract
//	svg         a picture, where a command has one
//
// What registries, files and people wrote may hold commands for the terminal; Clean
// takes them out of everything that is printed for people. JSON and YAML are quoted by
// their encoders.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"
)

// Format is a value of -o.
type Format string

// The formats. The empty one is a table.
const (
	Short Format = ""
	Wide  Format = "wide"
	Name  Format = "name"
	JSON  Format = "json"
	YAML  Format = "yaml"
	// SVG is for commands that have a picture, which they print themselves.
	SVG Format = "svg"
)

var formats = []string{string(JSON), string(YAML), string(Wide), string(Name)}

// Flags are the flags of a command that say how it prints.
type Flags struct {
	format string
	known  []string
}

// Register adds the flags to a command, which may have formats beside those of all.
func (f *Flags) Register(cmd *cobra.Command, more ...Format) {
	f.known = slices.Clone(formats)
	for _, format := range more {
		f.known = append(f.known, string(format))
	}
	cmd.Flags().StringVarP(&f.format, "output", "o", string(Short),
		"format of the output: "+strings.Join(f.known, ", ")+"; default: a table, of which wide has all columns, and hashes and messages whole")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(f.known, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

// RegisterOnly adds the flag -o to a command that prints data only when it is asked for, in one of
// some formats.
func (f *Flags) RegisterOnly(cmd *cobra.Command, what string, only ...Format) {
	f.known = nil
	for _, format := range only {
		f.known = append(f.known, string(format))
	}
	cmd.Flags().StringVarP(&f.format, "output", "o", string(Short), what+", in a format: "+strings.Join(f.known, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(f.known, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
}

// Validate refuses a format that does not exist.
func (f *Flags) Validate() error {
	known := f.known
	if known == nil {
		known = formats
	}
	if f.format != string(Short) && !slices.Contains(known, f.format) {
		return fmt.Errorf("--output: unknown format %q; known: %s", f.format, strings.Join(known, ", "))
	}
	return nil
}

// Format is the one that was asked for.
func (f *Flags) Format() Format { return Format(f.format) }

// IsTable reports whether people are to read the output.
func (f *Flags) IsTable() bool { return f.Format() == Short || f.Format() == Wide }

// Print writes data as JSON or YAML, or the table or its names.
func (f *Flags) Print(w io.Writer, t Table, data any) error {
	switch f.Format() {
	case JSON:
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(data)
	case YAML:
		text, err := yaml.Marshal(data)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	case Name:
		return t.printNames(w)
	case Wide:
		return t.Print(w)
	default:
		return t.PrintShort(w, Width(w))
	}
}
