// SPDX-License-Identifier: Apache-2.0

package playground

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// holder names the process that listens on a TCP port, as " (nginx, process
// 123, has it)", or is empty where /proc does not tell.
func holder(port int) string {
	inode := listener(port)
	if inode == "" {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the only error is a bad pattern
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err != nil || target != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(fd, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			return ""
		}
		return fmt.Sprintf(" (%s, process %s, has it)", bytes.TrimSpace(name), pid)
	}
	return ""
}

// listener is the inode of the socket that listens on a port, from the table
// that proc_net(5) describes: local address in field 2, state in field 4 (0A
// is LISTEN), inode in field 10.
func listener(port int) string {
	suffix := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && strings.HasSuffix(f[1], suffix) && f[3] == "0A" {
				return f[9]
			}
		}
	}
	return ""
}
