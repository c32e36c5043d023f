// SPDX-License-Identifier: Apache-2.0

package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/google/go-cmp/cmp"
)

const id1, id2 = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"

func packets(texts ...string) string {
	var b strings.Builder
	for _, text := range texts {
		if text == Flush {
			b.WriteString(Flush)
			continue
		}
		fmt.Fprintf(&b, "%04x%s", len(text)+lengthSize, text)
	}
	return b.String()
}

func reader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

func free(int64) error { return nil }

func TestReadAdvertisement(t *testing.T) {
	head := id1 + " HEAD\x00multi_ack_detailed shallow agent=git/2 symref=HEAD:refs/heads/main\n"
	refs := map[string]plumbing.Hash{"HEAD": plumbing.NewHash(id1)}
	tests := map[string]struct {
		text string
		want map[string]plumbing.Hash
		err  error
	}{
		"over SSH":             {packets(head, Flush), refs, nil},
		"over HTTP":            {packets("# service=git-upload-pack\n", Flush, head, Flush), refs, nil},
		"over HTTP, version 1": {packets("# service=git-upload-pack\n", Flush, "version 1\n", head, Flush), refs, nil},
		"without newlines":     {packets(strings.TrimSpace(head), Flush), refs, nil},
		"a tag and its commit": {
			packets(head, id1+" refs/tags/v1\n", id2+" refs/tags/v1^{}\n", Flush),
			map[string]plumbing.Hash{"HEAD": plumbing.NewHash(id1), "refs/tags/v1": plumbing.NewHash(id2)},
			nil,
		},
		"shallow commits of it": {packets(head, "shallow "+id2+"\n", Flush), refs, nil},
		"an empty repository":   {packets("# service=git-upload-pack\n", Flush, Flush), map[string]plumbing.Hash{}, nil},
		"an empty one that says what it can": {
			packets("0000000000000000000000000000000000000000 capabilities^{}\x00report-status\n", Flush), map[string]plumbing.Hash{}, nil},
		"SHA-256": {
			packets(strings.Repeat("a", 64)+" HEAD\x00multi_ack object-format=sha256\n", Flush),
			nil,
			ErrObjectFormat,
		},
		"an empty repository of it": {
			packets(strings.Repeat("0", 64)+" capabilities^{}\x00object-format=sha256 report-status\n", Flush),
			nil,
			ErrObjectFormat,
		},
		"ids that are none":             {packets("zzzz HEAD\x00\n", Flush), nil, ErrProtocol},
		"a page":                        {"<html>secret of the page", nil, ErrProtocol},
		"nothing":                       {"", nil, io.ErrUnexpectedEOF},
		"the beginning":                 {packets(head), nil, io.ErrUnexpectedEOF},
		"the beginning of a line":       {packets(head) + "00ff" + id1, nil, io.ErrUnexpectedEOF},
		"more than is read":             {packets(head) + strings.Repeat(packets(id1+" refs/heads/x\n"), 1000) + Flush, nil, ErrTooMuch},
		"a length that is none":         {"0003", nil, ErrProtocol},
		"a line longer than lines are":  {"fff1" + strings.Repeat("x", 70000), nil, ErrProtocol},
		"shallow commits without end":   {packets(head) + strings.Repeat(packets("shallow "+id2+"\n"), 1000) + Flush, nil, ErrTooMuch},
		"nothing but names of services": {packets("# service=git-upload-pack\n"), nil, io.ErrUnexpectedEOF},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := ReadAdvertisement(reader(tc.text), 10_000, free)
			if !errors.Is(err, tc.err) {
				t.Fatalf("got %v, want %v", err, tc.err)
			}
			if err != nil {
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error tells what came: %v", err)
				}
				return
			}
			if diff := cmp.Diff(tc.want, a.Refs); diff != "" {
				t.Error(diff)
			}
			if _, isHead := tc.want["HEAD"]; isHead && (!a.Capabilities.Has("multi_ack_detailed") || a.Capabilities["agent"] != "git/2") {
				t.Errorf("capabilities are %v", a.Capabilities)
			}
		})
	}
}

func TestWhatAServerSaysOfItself(t *testing.T) {
	_, err := ReadAdvertisement(reader(packets("ERR upload-pack: not our ref\n")), 10_000, free)
	var said *ServerError
	if !errors.As(err, &said) || said.Text != "upload-pack: not our ref" {
		t.Errorf("got %v", err)
	}
}

func TestRefsTakeMemoryBeforeTheyAreKept(t *testing.T) {
	text := packets(id1+" HEAD\x00shallow\n") + strings.Repeat(packets(id1+" refs/heads/"+strings.Repeat("x", 1000)+"\n"), 1000) + Flush
	full := errors.New("no more")
	var granted int64
	_, err := ReadAdvertisement(reader(text), 1<<30, func(bytes int64) error {
		if granted += bytes; granted > 1<<20 {
			return full
		}
		return nil
	})
	if !errors.Is(err, full) {
		t.Errorf("got %v after %d bytes", err, granted)
	}
}

func TestFetchAsksForAllThatItCanFollow(t *testing.T) {
	all := "multi_ack thin-pack side-band side-band-64k ofs-delta shallow no-progress multi_ack_detailed " +
		"no-done agent=git/2 object-format=sha1"
	want, tip := plumbing.NewHash(id1), plumbing.NewHash(id2)
	tests := map[string]struct {
		offered string
		tips    []plumbing.Hash
		want    string
	}{
		"of a server that can all": {
			all,
			nil,
			packets("want "+id1+" agent="+Agent+" multi_ack_detailed no-progress ofs-delta side-band-64k thin-pack\n",
				"deepen 1\n", Flush, "done\n"),
		},
		"with a commit that is here": {all, []plumbing.Hash{tip}, packets(
			"want "+id1+" agent="+Agent+" multi_ack_detailed no-progress ofs-delta side-band-64k thin-pack\n",
			"shallow "+id2+"\n", "deepen 1\n", Flush, "have "+id2+"\n", "done\n")},
		"of one that knows the older acknowledgements": {
			"multi_ack side-band",
			nil,
			packets("want "+id1+" multi_ack side-band\n", Flush, "done\n"),
		},
		"of one that can nothing": {"", []plumbing.Hash{tip}, packets("want "+id1+"\n", Flush, "have "+id2+"\n", "done\n")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := (Fetch{Offered: parseCapabilities(tc.offered), Want: want, Tips: tc.tips}).Encode(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadPack(t *testing.T) {
	ack := func(word string) string { return strings.TrimSpace("ACK "+id2+" "+word) + "\n" }
	bands := packets("\x01PACK", "\x02progress", "\x01 data", Flush)
	tests := map[string]struct {
		text string
		err  error
	}{
		"nothing in common":                 {packets("NAK\n") + bands, nil},
		"after the shallow commits":         {packets("shallow "+id1+"\n", "unshallow "+id2+"\n", Flush, "NAK\n") + bands, nil},
		"a single acknowledgement":          {packets(ack("")) + bands, nil},
		"multi_ack":                         {packets(ack("continue"), ack("")) + bands, nil},
		"multi_ack_detailed":                {packets(ack("common"), ack("ready"), ack("")) + bands, nil},
		"multi_ack_detailed, ready and NAK": {packets(ack("common"), ack("ready"), "NAK\n", ack("")) + bands, nil},
		"acknowledged over and over":        {packets(Flush, "NAK\n", "NAK\n", ack("common"), "NAK\n", ack("")) + bands, nil},
		"without bands":                     {packets("NAK\n") + "PACK data", nil},
		"an end before the pack":            {packets("shallow "+id1+"\n", Flush), ErrNoPack},
		"nothing":                           {"", ErrNoPack},
		"an end in a line":                  {packets("NAK\n") + "00", io.ErrUnexpectedEOF},
		"an end in the pack":                {packets("NAK\n", "\x01PACK"), io.ErrUnexpectedEOF},
		"something else":                    {packets("hello\n") + bands, ErrProtocol},
		"shallow commits without end": {
			strings.Repeat(packets("shallow "+id1+"\n"), 30_000) + packets(Flush, "NAK\n") + bands,
			ErrTooMuch,
		},
		"acknowledgements without end":            {strings.Repeat(packets(ack("common")), 30_000) + bands, ErrTooMuch},
		"another band":                            {packets("NAK\n", "\x01PACK", "\x07x", Flush), ErrProtocol},
		"an empty line of no band, which is none": {packets("NAK\n", "\x01PACK", "", "\x01 data", Flush), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []byte
			stream, err := ReadPack(reader(tc.text))
			if err == nil {
				got, err = io.ReadAll(stream)
			}
			if !errors.Is(err, tc.err) || err == nil && string(got) != "PACK data" {
				t.Errorf("got %q, %v; want %v", got, err, tc.err)
			}
		})
	}
}

func TestAServerThatFailsInItsAnswer(t *testing.T) {
	for name, text := range map[string]string{
		"before the pack": packets("ERR out of disk\n"),
		"in the pack":     packets("NAK\n", "\x01PACK", "\x03out of disk\n"),
	} {
		stream, err := ReadPack(reader(text))
		if err == nil {
			_, err = io.ReadAll(stream)
		}
		var said *ServerError
		if !errors.As(err, &said) || said.Text != "out of disk" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPush(t *testing.T) {
	p := Push{
		Offered: parseCapabilities("report-status delete-refs side-band-64k quiet atomic ofs-delta push-options agent=git/2"),
		Commands: []Command{
			{Ref: "refs/heads/a", New: plumbing.NewHash(id1)},
			{Ref: "refs/heads/b", Old: plumbing.NewHash(id2), New: plumbing.NewHash(id1)},
		},
		Options: map[string]string{"ci.skip": "true", "a": "b"}, Pack: strings.NewReader("PACK"),
	}
	var got bytes.Buffer
	if err := p.Encode(&got); err != nil {
		t.Fatal(err)
	}
	want := packets(strings.Repeat("0", 40)+" "+id1+" refs/heads/a\x00 agent="+Agent+
		" atomic ofs-delta push-options report-status side-band-64k",
		id2+" "+id1+" refs/heads/b", Flush, "a=b", "ci.skip=true", Flush) + "PACK"
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestReadReport(t *testing.T) {
	banded := func(texts ...string) string {
		return packets("\x02no changes on ", "\x02Fridays\n", "\x01"+packets(texts...), Flush)
	}
	const sideband = "report-status side-band-64k"
	tests := map[string]struct {
		offered, text string
		want          *Report
		err           error
	}{
		"done": {
			sideband,
			banded("unpack ok\n", "ok refs/heads/a\n", Flush),
			&Report{Refused: map[string]string{}, Said: "no changes on Fridays\n"},
			nil,
		},
		"without bands": {"report-status", packets("unpack ok\n", "ok refs/heads/a\n", Flush), &Report{Refused: map[string]string{}}, nil},
		"refused": {
			sideband,
			banded("unpack ok\n", "ng refs/heads/a hook declined\n", Flush),
			&Report{Refused: map[string]string{"refs/heads/a": "hook declined"}, Said: "no changes on Fridays\n"},
			nil,
		},
		"not unpacked": {
			"report-status",
			packets("unpack disk full\n", Flush),
			&Report{Refused: map[string]string{"": "unpack error: disk full"}},
			nil,
		},
		"no report":            {sideband, packets("\x02x", Flush), nil, ErrNoReport},
		"nothing":              {"report-status", "", nil, ErrNoReport},
		"a server that cannot": {"", "", nil, ErrNoReport},
		"the beginning of one": {"report-status", packets("unpack ok\n"), nil, io.ErrUnexpectedEOF},
		"something else":       {"report-status", packets("hello\n", Flush), nil, ErrProtocol},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Push{Offered: parseCapabilities(tc.offered)}.ReadReport(reader(tc.text))
			if diff := cmp.Diff(tc.want, got); diff != "" || !errors.Is(err, tc.err) {
				t.Errorf("error %v, want %v: %s", err, tc.err, diff)
			}
		})
	}
}

func TestWordsWithoutEndAreNotKept(t *testing.T) {
	text := strings.Repeat(packets("\x02"+strings.Repeat("x", 60_000)), 1000)
	if report, err := (Push{Offered: parseCapabilities("report-status side-band-64k")}).ReadReport(reader(text)); !errors.Is(err, ErrTooMuch) {
		t.Errorf("got %v, %v", report, err)
	}
}

// FuzzAnswers gives anything to all readers: nothing may make them panic, or keep more
// than they were given.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		packets(id1+" HEAD\x00multi_ack shallow\n", id2+" refs/tags/v^{}\n", Flush),
		packets("# service=git-upload-pack\n", Flush, "version 1\n", Flush),
		packets("shallow "+id1+"\n", Flush, "ACK "+id1+" common\n", "NAK\n", "\x01PACK", "\x02x", "\x03y", Flush),
		packets("\x01"+packets("unpack ok\n", "ng refs/heads/a no\n", Flush), Flush), packets("ERR x\n"), "0001", "PACK",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if a, err := ReadAdvertisement(reader(text), 1<<20, free); err == nil && len(a.Refs) > len(text) {
			t.Error("more refs than bytes")
		}
		if stream, err := ReadPack(reader(text)); err == nil {
			if data, _ := io.ReadAll(stream); len(data) > len(text) {
				t.Error("more pack than bytes")
			}
		}
		for _, offered := range []string{"report-status", "report-status side-band-64k"} {
			_, _ = Push{Offered: parseCapabilities(offered)}.ReadReport(reader(text))
		}
	})
}
