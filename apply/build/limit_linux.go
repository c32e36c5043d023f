// SPDX-License-Identifier: Apache-2.0

package build

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// limitMemory lets the process use so many bytes more of memory for data than it
// uses. Beyond that its runtime gives up, which ends the process.
func limitMemory(more int64) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("reading how much memory is in use: %w", err)
	}
	_, line, _ := bytes.Cut(status, []byte("\nVmData:"))
	line, _, _ = bytes.Cut(line, []byte("kB"))
	used, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 10, 64)
	if err != nil {
		return fmt.Errorf("reading how much memory is in use: %w", err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return err
	}
	limit.Cur = min(uint64(used)<<10+uint64(more), limit.Max)
	return syscall.Setrlimit(syscall.RLIMIT_DATA, &limit)
}
