// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "rewrite "+messagesFile)

// messagesFile has what each case of the tables says where things stand, and when it
// is looked at again.
const messagesFile = "testdata/messages.txt"

// messagesOf are the cases that ran, by the name of their test.
var messagesOf = struct {
	sync.Mutex
	told map[string]string
}{told: map[string]string{}}

// wantMessage holds a decision to the line of its test in the file.
func wantMessage(t *testing.T, d Decision) {
	t.Helper()
	got := fmt.Sprintf("%q after %s", d.Message, d.After)
	if d.Settling {
		got += ", settling"
	}
	messagesOf.Lock()
	defer messagesOf.Unlock()
	messagesOf.told[t.Name()] = got
	if want := readMessages(t)[t.Name()]; want != got && !*update {
		t.Errorf("says %s, want %s (run the package with -update if that is meant)", got, want)
	}
}

var readMessagesOnce = sync.OnceValues(func() (map[string]string, error) {
	content, err := os.ReadFile(messagesFile)
	lines := map[string]string{}
	for line := range strings.Lines(string(content)) {
		if name, told, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
			lines[name] = told
		}
	}
	return lines, err
})

func readMessages(t *testing.T) map[string]string {
	t.Helper()
	lines, err := readMessagesOnce()
	if err != nil && !*update {
		t.Fatal(err)
	}
	return lines
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if *update && code == 0 {
		if err := writeMessages(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

func writeMessages() error {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(messagesOf.told)) {
		fmt.Fprintf(&out, "%s: %s\n", name, messagesOf.told[name])
	}
	return os.WriteFile(messagesFile, out.Bytes(), 0o644)
}
