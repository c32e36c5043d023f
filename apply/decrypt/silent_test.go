// SPDX-License-Identifier: Apache-2.0

package decrypt

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-cd/sluice/test/sops"
)

// silentServer takes connections, and answers nothing. It counts them.
func silentServer(t *testing.T) (dial func(context.Context, string, string) (net.Conn, error), taken *atomic.Int32) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken = &atomic.Int32{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var open []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				break
			}
			taken.Add(1)
			open = append(open, conn)
		}
		for _, conn := range open {
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
	}, taken
}

func secrets(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{vaultToken: "s.token\n", awsCredentials: awsSecret, azureCredentials: azureSecret, gcpCredentials: gcpSecret(t)}
}

// keyNames are what errors call the keys of [masters].
var keyNames = map[string]string{
	vaultToken:       `"Vault http://vault.example.com:8200 sops/first"`,
	awsCredentials:   `"AWS arn:aws:kms:eu-west-1:123456789012:key/abc-def"`,
	azureCredentials: `"Azure https://team.vault.azure.net key"`,
	gcpCredentials:   `"Google Cloud projects/p/locations/l/keyRings/r/cryptoKeys/k"`,
}

func TestAKeyServiceThatNeverAnswersIsNamedInTime(t *testing.T) {
	for name, master := range masters() {
		t.Run(name, func(t *testing.T) {
			dial, taken := silentServer(t)
			const timeout = 300 * time.Millisecond
			services := &Services{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: timeout}
			dataKey := sops.DataKey()
			sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, master)
			start := time.Now()
			_, err := open(t, services, map[string]string{name: secrets(t)[name]}).Decrypt(t.Context(), sealed, "a.yaml")
			if want := keyNames[name] + ": it did not answer within 300ms"; !errors.Is(err, ErrDecrypt) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
			if took := time.Since(start); took > 20*timeout || taken.Load() == 0 {
				t.Errorf("it took %s, and %d connections", took, taken.Load())
			}
		})
	}
}

// Each file waited for it anew, until the build had taken too long.
func TestAKeyServiceThatDoesNotAnswerIsWaitedForOnceInABuild(t *testing.T) {
	dial, taken := silentServer(t)
	services := &Services{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 100 * time.Millisecond}
	age := sops.NewAgeKey(t)
	d := open(t, services, map[string]string{vaultToken: "s.token", "me.agekey": string(sops.NewAgeKey(t).Private())})
	for i := range 3 {
		dataKey := sops.DataKey()
		sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, dataKey, masters()[vaultToken], age.Master(t, dataKey))
		_, err := d.Decrypt(t.Context(), sealed, "a.yaml")
		if err == nil || !strings.Contains(err.Error(), "it did not answer within 100ms") || taken.Load() != 1 {
			t.Errorf("file %d, after %d connections: %v", i, taken.Load(), err)
		}
	}
	again := open(t, services, map[string]string{vaultToken: "s.token"})
	sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"}, sops.DataKey(), masters()[vaultToken])
	if _, err := again.Decrypt(t.Context(), sealed, "a.yaml"); err == nil || taken.Load() != 2 {
		t.Errorf("the next build asks again: %d connections, %v", taken.Load(), err)
	}
}

// The error was that a value is not as SOPS wrote it, and said to encrypt the file again.
func TestAKeyServiceThatGivesAnotherKeyIsNamed(t *testing.T) {
	for name, master := range masters() {
		for what, given := range map[string][]byte{"another key": sops.DataKey(), "no key": []byte("x")} {
			t.Run(name+" "+what, func(t *testing.T) {
				services, _ := cloudServer(t, given)
				sealed := sops.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: hunter2\n"}, sops.DataKey(), master)
				_, err := open(t, services, map[string]string{name: secrets(t)[name]}).Decrypt(t.Context(), sealed, "a.yaml")
				want := "the data key that " + keyNames[name] + " gives is not that of the file"
				if !errors.Is(err, ErrDecrypt) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("got %v, want %s", err, want)
				}
			})
		}
	}
}

func TestAValueThatWasChangedIsNotBlamedOnTheKey(t *testing.T) {
	key := sops.NewAgeKey(t)
	sealed := strings.Replace(string(key.Encrypt(t, sops.File{Name: "a.yaml", Plain: "k: v\n"})), "data:", "data:AAAA", 1)
	_, err := open(t, nil, map[string]string{"me.agekey": string(key.Private())}).Decrypt(t.Context(), []byte(sealed), "a.yaml")
	if err == nil || !strings.Contains(err.Error(), "a value is not as SOPS wrote it: encrypt the file again") {
		t.Errorf("got %v", err)
	}
}
