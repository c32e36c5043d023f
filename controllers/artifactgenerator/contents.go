// SPDX-License-Identifier: Apache-2.0

package artifactgenerator

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/sluice-cd/sluice/internal/budget"
	"github.com/sluice-cd/sluice/internal/tree"
	"github.com/sluice-cd/sluice/source"
	"github.com/sluice-cd/sluice/source/generator"
)

// maxBytes bounds what is merged and extracted for one artifact.
const maxBytes = 256 << 20

// contents implements [generator.Contents] for one artifact. What is merged and extracted is kept in memory.
type contents struct {
	views  map[string]*source.View
	kept   source.BlobMap
	memory *budget.Grant
	left   int64 // bytes that may still be kept
}

// blobs are where the files of the artifact lie.
func (c *contents) blobs() []source.Blobs {
	blobs := []source.Blobs{c.kept}
	for _, view := range c.views {
		blobs = append(blobs, view)
	}
	return blobs
}

// Read implements [generator.Contents].
func (c *contents) Read(hash string, most int64) ([]byte, error) {
	all := source.Assemble(nil, c.blobs()...)
	size, err := all.BlobSize(hash)
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("%w: a file has %d bytes, of which %d are allowed", generator.ErrContent, size, most)
	}
	if err := c.memory.Grow(size); err != nil {
		return nil, err
	}
	return all.ReadBlob(hash)
}

// Keep implements [generator.Contents].
func (c *contents) Keep(data []byte) (string, error) {
	if c.left -= int64(len(data)); c.left < 0 {
		return "", fmt.Errorf("%w: more than %d bytes are merged and extracted", generator.ErrContent, maxBytes)
	}
	if err := c.memory.Grow(int64(len(data))); err != nil {
		return "", err
	}
	hash := tree.BlobHash(data)
	c.kept[hash] = data
	return hash, nil
}

// Unpack implements [generator.Contents]. Symbolic links are left out, as Flux leaves them out of artifacts.
func (c *contents) Unpack(hash string) (generator.Files, error) {
	data, err := c.Read(hash, maxBytes)
	if err != nil {
		return nil, err
	}
	unpacked, err := tree.FromTar(bytes.NewReader(data), tree.Limits{
		Bytes: max(c.left, 1), Files: generator.MaxFiles, Grow: c.memory.Grow, Links: tree.DropLinks,
	})
	switch {
	case errors.Is(err, budget.ErrExhausted), errors.Is(err, budget.ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", generator.ErrContent, err)
	}
	files := generator.Files{}
	err = tree.Walk(unpacked, "", func(name string, e tree.Entry) error {
		data, err := unpacked.ReadFile(name)
		if err != nil {
			return err
		}
		files[name] = generator.File{Executable: e.Mode == tree.Executable, Hash: e.Hash}
		c.kept[e.Hash] = data
		c.left -= int64(len(data))
		return nil
	})
	return files, err
}
