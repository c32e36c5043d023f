// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// Parts of the protocol of SOCKS5, RFC 1928 and RFC 1929.
const (
	socksVersion, socksPasswordVersion      = 5, 1
	socksPassword                           = 2 // a method
	socksConnect                            = 1
	socksIPv4, socksName, socksIPv6         = 1, 3, 4
	socksSucceeded, socksRefused            = 0, 5
	socksNoMethod                      byte = 0xff
)

var errSOCKS = errors.New("not what a SOCKS5 client says")

// NewSOCKS starts a SOCKS5 proxy that asks for a user and a password, and stops
// when the test ends.
func NewSOCKS(tb testing.TB, user, password string) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{URL: "socks5://" + listener.Addr().String()}
	s := &socks{proxy: p, login: user + "\n" + password, open: map[net.Conn]bool{}}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if s.keep(conn) {
				served.Go(func() { s.serve(conn) })
			}
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		s.hangUp()
		served.Wait()
	})
	return p
}

type socks struct {
	proxy *Proxy
	login string

	mu   sync.Mutex
	open map[net.Conn]bool
	over bool
}

// keep notes a connection that is to be closed at the end.
func (s *socks) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		_ = conn.Close()
		return false
	}
	s.open[conn] = true
	return true
}

func (s *socks) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for conn := range s.open {
		_ = conn.Close()
	}
}

func (s *socks) serve(here net.Conn) {
	defer func() { _ = here.Close() }()
	in := bufio.NewReader(here)
	if err := s.admit(in, here); err != nil {
		return
	}
	address, err := readSOCKSRequest(in)
	if err != nil {
		return
	}
	there, err := net.Dial("tcp", address)
	if err != nil {
		_, _ = here.Write(socksAnswer(socksRefused))
		return
	}
	if !s.keep(there) {
		return
	}
	defer func() { _ = there.Close() }()
	s.proxy.requests.Add(1)
	_, _ = here.Write(socksAnswer(socksSucceeded))
	go func() {
		_, _ = io.Copy(there, in)
		_ = there.Close()
	}()
	_, _ = io.Copy(here, there)
}

func socksAnswer(code byte) []byte { return []byte{socksVersion, code, 0, socksIPv4, 0, 0, 0, 0, 0, 0} }

// admit lets in who offers a password, and the right one.
func (s *socks) admit(in *bufio.Reader, out io.Writer) error {
	methods, err := readSOCKSField(in, socksVersion)
	if err != nil {
		return err
	}
	offered := false
	for _, method := range methods {
		offered = offered || method == socksPassword
	}
	if !offered {
		_, _ = out.Write([]byte{socksVersion, socksNoMethod})
		return errSOCKS
	}
	if _, err := out.Write([]byte{socksVersion, socksPassword}); err != nil {
		return err
	}
	user, err := readSOCKSField(in, socksPasswordVersion)
	if err != nil {
		return err
	}
	password, err := readSOCKSBytes(in)
	if err != nil {
		return err
	}
	if string(user)+"\n"+string(password) != s.login {
		_, _ = out.Write([]byte{socksPasswordVersion, 1})
		return errSOCKS
	}
	_, err = out.Write([]byte{socksPasswordVersion, 0})
	return err
}

// readSOCKSRequest returns where the client wants to go.
func readSOCKSRequest(in *bufio.Reader) (string, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(in, head); err != nil {
		return "", err
	}
	if head[0] != socksVersion || head[1] != socksConnect {
		return "", errSOCKS
	}
	var host string
	switch head[3] {
	case socksName:
		name, err := readSOCKSBytes(in)
		if err != nil {
			return "", err
		}
		host = string(name)
	case socksIPv4, socksIPv6:
		address := make([]byte, map[byte]int{socksIPv4: net.IPv4len, socksIPv6: net.IPv6len}[head[3]])
		if _, err := io.ReadFull(in, address); err != nil {
			return "", err
		}
		host = net.IP(address).String()
	default:
		return "", errSOCKS
	}
	var port uint16
	err := binary.Read(in, binary.BigEndian, &port)
	return net.JoinHostPort(host, strconv.Itoa(int(port))), err
}

// readSOCKSField reads a version and a field.
func readSOCKSField(in *bufio.Reader, version byte) ([]byte, error) {
	got, err := in.ReadByte()
	if err != nil {
		return nil, err
	}
	if got != version {
		return nil, errSOCKS
	}
	return readSOCKSBytes(in)
}

// readSOCKSBytes reads a field with its length before it.
func readSOCKSBytes(in *bufio.Reader) ([]byte, error) {
	n, err := in.ReadByte()
	if err != nil {
		return nil, err
	}
	field := make([]byte, n)
	_, err = io.ReadFull(in, field)
	return field, err
}
