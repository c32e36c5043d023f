// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package realnode

import (
	"context"
	"errors"
)

// errLinux is never seen: Check comes first.
var errLinux = errors.New("a real node needs Linux")

// Inspect needs Linux.
func (n *Node) Inspect(context.Context) error { return errLinux }

// Prepare needs Linux.
func (n *Node) Prepare() error { return errLinux }

// Cleanup needs Linux.
func (n *Node) Cleanup(context.Context) error { return errLinux }

func snapshotter(string) string { return "native" }
