// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-cd/sluice/test/sops"
)

// FuzzDecrypt feeds files that were changed after they were encrypted, under any name.
func FuzzDecrypt(f *testing.F) {
	key := sops.NewAgeKey(f)
	for name, plain := range map[string]string{
		"a.yaml": "user: hunter2\nlist: [hunter2, 1, true]\n---\nb: hunter2\n", "a.json": `{"user": "hunter2"}`,
		"a.env": "USER=hunter2\n", "a.ini": "[db]\nuser = hunter2\n", "a.bin": "hunter2",
	} {
		f.Add(key.Encrypt(f, sops.File{Name: name, Plain: plain}), name)
	}
	d, err := (&Services{}).New(f.Context(), map[string][]byte{"k.agekey": key.Private()}, AllKeys, Requester{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		plain, err := d.Decrypt(t.Context(), data, name)
		switch {
		case err == nil && formatOf(data) == "" && string(plain) != string(data):
			t.Errorf("%q was changed to %q", data, plain)
		case err != nil && !errors.Is(err, ErrDecrypt):
			t.Errorf("got %v", err)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("it quotes a value: %v", err)
		}
	})
}
