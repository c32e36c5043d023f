// SPDX-License-Identifier: Apache-2.0

// Package decrypt turns what SOPS encrypted into what it was.
//
//	file --> Encrypted? --> its key groups --> a key of the Secret, or a key service
//	                                    |
//	                                    '--> data key --> values --> file in plain
//
// A file has a data key, which is in its metadata once for each key that may open it. Age
// and PGP keys are those of a Secret and are used here, without a gpg binary. The key
// services of AWS, Google Cloud, Azure and Huawei Cloud, and a Vault, are asked with a deadline, through
// the guard of connections that users' objects lead to, and with credentials of the
// Secret, or with the identity of a ServiceAccount or of the controller itself. That
// identity goes to the provider's own hosts alone, and to the Vaults that a ConfigMap of the
// installation names: which key is asked stands in the file, so whoever writes to the
// repository says it.
//
// The library of SOPS reads and writes the formats, and decrypts values. Its checksum
// (MAC) of a file is not checked, as in Flux: kustomize changes objects before they are
// decrypted, and tools change values that are not encrypted.
//
// A [Decrypter] is made for one build and dropped with it, and with it all keys. No error
// quotes a value, or what a server answers.
package decrypt
