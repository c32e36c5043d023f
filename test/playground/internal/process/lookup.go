// SPDX-License-Identifier: Apache-2.0

package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

type info struct {
	started string
	zombie  bool
}

// lookup asks /proc where there is one, and ps(1) elsewhere.
func lookup(pid int) (info, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		i, err := parseStat(stat)
		// A process is a zombie as soon as its first thread has ended. As long
		// as others have not, it keeps its ports and its folder.
		if threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); len(threads) > 1 {
			i.zombie = false
		}
		return i, err
	}
	if _, noProc := os.Stat("/proc/self/stat"); noProc == nil || !errors.Is(err, fs.ErrNotExist) {
		return info{}, err
	}
	out, err := exec.Command("ps", "-o", "state=,lstart=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return info{}, err
	}
	state, started, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return info{started: strings.TrimSpace(started), zombie: strings.HasPrefix(state, "Z")}, nil
}

// parseStat reads the state (field 3) and the start time in clock ticks since
// boot (field 22) of proc_pid_stat(5). The program's name, field 2, is in
// parentheses and may itself hold spaces and parentheses.
func parseStat(stat []byte) (info, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return info{}, errors.New("no program name")
	}
	fields := strings.Fields(string(stat[end+1:])) // begins with field 3
	if len(fields) < 20 {
		return info{}, errors.New("too few fields")
	}
	return info{started: fields[19], zombie: fields[0] == "Z" || fields[0] == "X"}, nil
}
