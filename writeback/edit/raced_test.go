// SPDX-License-Identifier: Apache-2.0

//go:build race

package edit_test

// share is the part of the largest file that the tests of bounds read.
const share = 8
