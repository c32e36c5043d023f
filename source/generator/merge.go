// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	// MaxMerged bounds each of two files that are merged, in bytes.
	MaxMerged = 1 << 20
	// maxValues and maxExpanded bound what is in one of them, as numbers of values and bytes, with aliases written out:
	// a file of a few hundred bytes can stand for gigabytes.
	maxValues   = 50_000
	maxExpanded = 4 << 20
)

// merge puts one YAML file over another, as Helm does with files of values: maps are merged, and
// everything else, lists included, is replaced.
func merge(base, overlay []byte) ([]byte, error) {
	below, err := readYAML(base)
	if err != nil {
		return nil, err
	}
	above, err := readYAML(overlay)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(mergeMaps(below, above))
}

// readYAML reads the documents of a file, which are maps, each over those before it.
func readYAML(data []byte) (map[string]any, error) {
	all, size := map[string]any{}, expansion{}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		if err := size.add(document); err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		var values map[string]any
		err = yaml.Unmarshal(document, &values, func(d *json.Decoder) *json.Decoder {
			d.UseNumber() // a float64 rounds large numbers
			return d
		})
		if err != nil {
			return nil, fmt.Errorf("reading YAML: %w", err)
		}
		all = mergeMaps(all, values)
	}
}

func mergeMaps(base, overlay map[string]any) map[string]any {
	merged := make(map[string]any, len(base)+len(overlay))
	for key, value := range base {
		merged[key] = value
	}
	for key, value := range overlay {
		below, isMap := merged[key].(map[string]any)
		above, both := value.(map[string]any)
		if isMap && both {
			value = mergeMaps(below, above)
		}
		merged[key] = value
	}
	return merged
}
