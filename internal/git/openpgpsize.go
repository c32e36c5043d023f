// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bytes"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/sluice-cd/sluice/internal/keysize"
)

// checkOpenPGP returns a keysize.ErrTooLarge if a key, armored or not, or one of its
// subkeys is too large. It looks at no signature, which readers of keys verify.
func checkOpenPGP(key []byte) error {
	var from io.Reader = bytes.NewReader(key)
	if block, err := armor.Decode(bytes.NewReader(key)); err == nil {
		from = block.Body
	}
	packets := packet.NewReader(from)
	for {
		p, err := packets.Next()
		if err != nil {
			return nil // the end, or what the reader of the key says
		}
		var public any
		switch p := p.(type) {
		case *packet.PublicKey:
			public = p.PublicKey
		case *packet.PrivateKey:
			public = p.PublicKey.PublicKey
		}
		if err := keysize.Check(public); err != nil {
			return err
		}
	}
}
