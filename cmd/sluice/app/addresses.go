// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// listens are the addresses that the process is going to listen on, by flag.
func (f *flags) listens() map[string]string {
	on := map[string]string{"--metrics-addr": f.metricsAddr, "--health-addr": f.healthAddr, "--pprof-addr": f.pprofAddr}
	if f.serves("source") {
		on["--storage-addr"] = f.storageAddr
	}
	if f.serves("notification") {
		on["--receiverAddr"] = f.receiverAddr
	}
	return on
}

// checkListens tries every address before anything is waited for: a port that is in
// use is otherwise found long after the start, by an error that names no flag.
func (f *flags) checkListens() error {
	var failed []error
	for flag, address := range f.listens() {
		if address == "0" || address == "" {
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w; name another host:port", flag, err))
			continue
		}
		failed = append(failed, listener.Close())
	}
	return errors.Join(failed...)
}

// validateURL refuses what is not the absolute http or https URL of a server. Empty is
// none. The value is not repeated: some hold secrets.
func validateURL(flag, value string) error {
	if value == "" {
		return nil
	}
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(value, " \t\n") {
		return fmt.Errorf("%s: must be a URL such as https://host:port", flag)
	}
	return nil
}
