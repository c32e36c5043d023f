// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sluice-cd/sluice/internal/registry"
)

// stored is a listing as an encoder of a library would be given it.
type stored struct {
	Image string
	At    int64
	Tags  []string
	Born  []uint32
}

// BenchmarkFormat writes a listing of 100,000 tags and reads it again, as it is on disk and
// as libraries would have it there.
func BenchmarkFormat(b *testing.B) {
	const n = 100_000
	var tags tagBuffer
	if err := decodePage(benchBody(b, n), &tags); err != nil {
		b.Fatal(err)
	}
	list := newListing(registry.ID{Image: "app"}, tags.set(nil), time.Unix(1, 0))
	list.born = make([]uint32, n)
	list.epochs = append(list.epochs, 2)
	plain := func() stored {
		s := stored{Image: list.id.Image, At: list.at.Unix(), Born: list.born}
		for i := range list.tags.len() {
			s.Tags = append(s.Tags, list.tags.at(i))
		}
		return s
	}
	compress, err := zstd.NewWriter(nil)
	if err != nil {
		b.Fatal(err)
	}
	expand, err := zstd.NewReader(nil)
	if err != nil {
		b.Fatal(err)
	}
	defer expand.Close()
	for name, format := range map[string]struct {
		encode func() []byte
		decode func([]byte) error
	}{
		"ours": {
			func() []byte { return encodeListing(list) },
			func(data []byte) error { _, err := decodeListing(data); return err },
		},
		"json": {
			func() []byte { data, _ := json.Marshal(plain()); return data },
			func(data []byte) error { return json.Unmarshal(data, &stored{}) },
		},
		"gob": {
			func() []byte { var out bytes.Buffer; _ = gob.NewEncoder(&out).Encode(plain()); return out.Bytes() },
			func(data []byte) error { return gob.NewDecoder(bytes.NewReader(data)).Decode(&stored{}) },
		},
		"gob-zstd": {
			func() []byte {
				var out bytes.Buffer
				_ = gob.NewEncoder(&out).Encode(plain())
				return compress.EncodeAll(out.Bytes(), nil)
			},
			func(data []byte) error {
				plain, err := expand.DecodeAll(data, nil)
				if err != nil {
					return err
				}
				return gob.NewDecoder(bytes.NewReader(plain)).Decode(&stored{})
			},
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var data []byte
			for b.Loop() {
				data = format.encode()
				if err := format.decode(data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(data))/n, "disk-B/tag")
		})
	}
}
