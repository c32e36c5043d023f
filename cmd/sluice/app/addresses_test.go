// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net"
	"strings"
	"testing"
)

func TestAPortInUseIsFoundBeforeAnythingStarts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := flags{
		controllers:  groups,
		metricsAddr:  "0",
		healthAddr:   "127.0.0.1:0",
		pprofAddr:    "0",
		storageAddr:  "127.0.0.1:0",
		receiverAddr: "127.0.0.1:0",
	}
	if err := free.checkListens(); err != nil {
		t.Errorf("free addresses: %v", err)
	}
	for flag, set := range map[string]func(*flags, string){
		"--metrics-addr": func(f *flags, a string) { f.metricsAddr = a },
		"--health-addr":  func(f *flags, a string) { f.healthAddr = a },
		"--pprof-addr":   func(f *flags, a string) { f.pprofAddr = a },
		"--storage-addr": func(f *flags, a string) { f.storageAddr = a },
		"--receiverAddr": func(f *flags, a string) { f.receiverAddr = a },
	} {
		for what, address := range map[string]string{"in use": taken.Addr().String(), "without a colon": "8081"} {
			f := free
			set(&f, address)
			if err := f.checkListens(); err == nil || !strings.HasPrefix(err.Error(), flag+": ") {
				t.Errorf("%s %s: %v", flag, what, err)
			}
		}
	}
	once, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	same := free
	same.metricsAddr, same.receiverAddr = once.Addr().String(), once.Addr().String()
	if err := once.Close(); err != nil {
		t.Fatal(err)
	}
	if err := same.checkListens(); err == nil || !strings.HasPrefix(err.Error(), "--receiverAddr: ") {
		t.Errorf("two flags with one address: %v", err)
	}
	image := free
	image.controllers, image.storageAddr = []string{"image"}, taken.Addr().String()
	if err := image.checkListens(); err != nil {
		t.Errorf("an address that no group listens on: %v", err)
	}
}
