// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
)

// A line of first-seen entries is `<unix seconds> <tag> <digest> <checksum>`. A line that
// was cut off, by a full disk or a crash, has the wrong checksum.
func formatSeen(what seenEntry, at int64) string {
	text := fmt.Sprintf("%d %s %s", at, what.tag, what.digest)
	return fmt.Sprintf("%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
}

func parseSeen(line string) (what seenEntry, at int64, ok bool) {
	text, sum, ok := cutLast(line)
	if !ok || sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(text), castagnoli)) {
		return seenEntry{}, 0, false
	}
	parts := strings.Split(text, " ")
	if len(parts) != 3 {
		return seenEntry{}, 0, false
	}
	at, err := strconv.ParseInt(parts[0], 10, 64)
	return seenEntry{strings.Clone(parts[1]), strings.Clone(parts[2])}, at, err == nil
}

func cutLast(line string) (before, after string, ok bool) {
	at := strings.LastIndexByte(line, ' ')
	if at < 0 {
		return "", "", false
	}
	return line[:at], line[at+1:], true
}

func (d *disk) readSeen(image string, into *seenIndex) {
	if d == nil || !d.has(seenFileOf(image)) {
		return
	}
	data, _, err := read(d.path(seenFileOf(image)))
	d.report("reading first-seen times of tags", err)
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if what, at, ok := parseSeen(lines.Text()); ok {
			into.note(what, at)
		}
	}
}

func (d *disk) appendSeen(image string, what seenEntry, at int64) {
	if d == nil {
		return
	}
	d.report("writing first-seen times of tags", d.append(seenFileOf(image), formatSeen(what, at)))
}

func (d *disk) append(name, line string) error {
	file, err := d.open(func() (*os.File, error) {
		return os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	})
	if err != nil {
		return err
	}
	d.note(name)
	_, err = file.WriteString(line)
	return errors.Join(err, file.Close())
}

func (d *disk) writeSeen(image string, a *seenIndex) {
	if d == nil {
		return
	}
	var text strings.Builder
	for what, at := range a.first {
		text.WriteString(formatSeen(what, at))
	}
	d.report("writing first-seen times of tags", d.write(seenFileOf(image), []byte(text.String())))
}
