// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"

	"github.com/sluice-cd/sluice/test/harness"
)

// pageAddress is what `sluice ui` prints.
var pageAddress = regexp.MustCompile(`http://\S+/login#token=\S+`)

// servePage starts `sluice ui` for the playground, and returns its address.
func (s *demo) servePage(ctx context.Context, kubeconfig string) (address string, err error) {
	bin, err := harness.Binary()
	if err != nil {
		return "", err
	}
	log := filepath.Join(s.dir, "ui.log")
	s.page = harness.NewProcess(bin, log, "ui", "--kubeconfig", kubeconfig)
	if err := s.page.Launch(); err != nil {
		s.page = nil
		return "", err
	}
	_, err = harness.Eventually(ctx, "sluice ui", harness.Patience, func(context.Context) (bool, string) {
		said, err := os.ReadFile(log)
		if err != nil {
			return false, err.Error()
		}
		address = string(pageAddress.Find(said))
		return address != "" || s.page.Exited(), string(said)
	})
	if err == nil && address == "" {
		err = errors.New("sluice ui has ended: see " + log)
	}
	return address, err
}
