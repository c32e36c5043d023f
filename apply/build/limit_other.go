// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package build

// limitMemory is for Linux, where controllers run.
func limitMemory(int64) error { return nil }
