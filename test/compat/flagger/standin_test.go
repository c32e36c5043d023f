// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// standIns are the programs of the load tester's image that stories use. Each is
// this test's own binary under another name.
var standIns = []string{"hey", "curl", "grpc_health_probe"}

// usersVariable is the environment variable with the URL of the users.
const usersVariable = "SLUICE_TEST_USERS"

// linkStandIns makes a folder of them for a PATH.
func linkStandIns(work string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(work, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return "", err
	}
	for _, name := range standIns {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			return "", err
		}
	}
	return bin, nil
}

// standIn passes the command line on to the users, prints what they answer, and
// fails if they do. It reports false if this process is the test.
func standIn() bool {
	name := filepath.Base(os.Args[0])
	address := os.Getenv(usersVariable)
	if address == "" {
		return false
	}
	args, err := json.Marshal(os.Args[1:])
	if err != nil {
		fail(err)
	}
	resp, err := http.Post(address+"/"+name, "application/json", bytes.NewReader(args))
	if err != nil {
		fail(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(os.Stdout, resp.Body)
	if resp.StatusCode != http.StatusOK {
		fail(resp.Status)
	}
	return true
}

func fail(why any) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(1)
}
