// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// listens are the addresses that the process is going to listen on, by flag.
func (f *flags) listens() map[string]string {
	on := map[string]string{
		"--metrics-addr": f.metricsAddr, "--health-addr": f.healthAddr, "--pprof-addr": f.pprofAddr, "--ui-addr": f.page.addr,
	}
	if f.serves("source") {
		on["--storage-addr"] = f.storageAddr
	}
	if f.serves("notification") {
		on["--receiverAddr"] = f.receiverAddr
		if f.eventsAddr == "" {
			on["--events-listen-addr"] = f.eventsListenAddr
		}
	}
	return on
}

// checkListens tries every address before anything is waited for: a port that is in
// use is otherwise found long after the start, by an error that names no flag.
func (f *flags) checkListens() error {
	var failed []error
	on := f.listens()
	for _, flag := range slices.Sorted(maps.Keys(on)) {
		address := on[flag]
		if !listensAt(address) {
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w; name another host:port", flag, err))
			continue
		}
		defer listener.Close() // when all are open: two flags may name one port
	}
	return errors.Join(failed...)
}

// listensAt is false for what stands for no address.
func listensAt(address string) bool { return address != "0" && address != "" }

// validateProfiles refuses to serve profiles where others could read them: the memory
// that they tell of has everybody's secrets in it.
func validateProfiles(address string) error {
	if listensAt(address) && !isLoopback(address) {
		return fmt.Errorf("--pprof-addr: %q is not a loopback address; name one such as 127.0.0.1:6060, and reach it with kubectl port-forward",
			address)
	}
	return nil
}

// Schemes of servers, and of proxies.
var (
	serverSchemes = []string{"http", "https"}
	proxySchemes  = []string{"http", "https", "socks5", "socks5h"}
)

// validateURL refuses what is not the absolute URL of a server or a proxy. Empty is
// none. The value is not repeated: some hold secrets.
func validateURL(flag, value string, schemes []string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) || strings.ContainsAny(value, " \t\n") {
		return fmt.Errorf("%s: must be a URL such as https://host:port, of the schemes %s", flag, strings.Join(schemes, ", "))
	}
	return nil
}
