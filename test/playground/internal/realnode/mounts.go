// SPDX-License-Identifier: Apache-2.0

package realnode

import "strings"

// mountsBelow lists the mount points inside dir, in the order of mounting,
// from the table that proc_pid_mountinfo(5) describes. The kernel writes
// blanks and backslashes of a path in octal.
func mountsBelow(table, dir string) []string {
	octal := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := octal.Replace(fields[4]); strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}
