// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"k8s.io/utils/clock"

	"github.com/sluice-cd/sluice/internal/webhook"
)

// The banner of any server that speaks no HTTP was readable for whoever may write a URL: net/http
// quotes it in its error.
func TestTheWordsOfAServerThatSpeaksNoHTTPAreNotQuoted(t *testing.T) {
	const words = `hunter2 "quoted" \back`
	for name, answer := range map[string]string{
		"a banner":             words + "\r\n",
		"a status":             "HTTP/1.1 " + words + "\r\n\r\n",
		"a version":            "HTTP/hunter2 200 OK\r\n\r\n",
		"a header":             "HTTP/1.1 200 OK\r\n" + words + "\r\n\r\n",
		"a continued header":   "HTTP/1.1 200 OK\r\n " + words + "\r\n\r\n",
		"a name of a header":   "HTTP/1.1 200 OK\r\n" + words + ": a\r\n\r\n",
		"a length":             "HTTP/1.1 200 OK\r\nContent-Length: " + words + "\r\n\r\n",
		"two lengths":          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: hunter2\r\n\r\n",
		"an encoding":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + words + "\r\n\r\n",
		"a trailer":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: content-length" + words + "\r\n\r\n",
		"where to go":          "HTTP/1.1 307 Go\r\nContent-Length: 0\r\nLocation: http://%zz/" + words + "\r\n\r\n",
		"a word behind a code": "HTTP/1.1 503 " + words + "\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = http.ReadRequest(bufio.NewReader(conn))
					_, _ = conn.Write([]byte(answer))
					_ = conn.Close()
				}
			}()
			address := "http://" + listener.Addr().String()
			resp, plain := http.Get(address) // of a test's own server
			if plain == nil {
				_ = resp.Body.Close()
				plain = errors.New(resp.Status[:3])
			}
			_, posted := webhook.NewClient(clock.RealClock{}, nil).Post(t.Context(), webhook.Message{URL: address})
			for _, err := range []error{plain, posted, errors.New("reading it: " + strconv.Quote(plain.Error()))} {
				if err == nil {
					continue
				}
				if text := validMessage(err.Error()); strings.Contains(text, "hunter2") || strings.Contains(text, "back") {
					t.Errorf("says %s", text)
				}
			}
		})
	}
	for _, text := range []string{
		`http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug="hunter2"`,
		`malformed HTTP response "hunter2 is cut`,
	} {
		if got := harmless(text); strings.Contains(got, "hunter2") {
			t.Errorf("says %s", got)
		}
	}
	if got := harmless(`a bad Content-Length "x" and "the rest" of it`); got != `a bad Content-Length and "the rest" of it` {
		t.Errorf("says %s", got)
	}
}
