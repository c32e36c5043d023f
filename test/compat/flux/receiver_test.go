// SPDX-License-Identifier: Apache-2.0

package flux

import (
	"strings"
	"testing"
)

func TestReceiver(t *testing.T) {
	t.Parallel()
	s := newStory(t, "flux-receiver")
	s.push(t, "1.0.0")
	s.values["{hooks}"] = the.sluice.Webhooks
	s.tell(t, []step{
		{does: "an image repository", run: "create image repository podinfo --image={image} --interval=1h"},
		{
			does: "create secret receiver makes a token",
			run:  "create secret receiver token --type=generic --hostname=hooks.example.com --token=letmein",
		},
		{
			does: "create receiver prints the path of its webhook",
			run:  "create receiver podinfo --type=generic --secret-ref=token --resource=ImageRepository/podinfo",
			err:  []string{"✔ Receiver created", "✔ Receiver podinfo is ready", "✔ generated webhook URL /hook/"},
		},
		{
			does: "get receivers shows the path", run: "get receivers",
			out: []string{"NAME SUSPENDED READY MESSAGE podinfo False True Receiver initialized for path: /hook/"},
		},
		{does: "get all shows it", run: "get all", out: []string{"receiver/podinfo False True"}},
		{
			does: "trigger receiver scans", run: "trigger receiver podinfo --url={hooks} --token=letmein --retries=0",
			before: func(t *testing.T) { s.push(t, "1.1.0") },
			err:    []string{"► triggering Receiver {ns}/podinfo", "✔ Receiver {ns}/podinfo triggered"},
		},
		{
			does: "the tag is there long before the interval is over", run: "get image repository podinfo", eventually: true,
			out: []string{"successful scan: found 2 tags"},
		},
		{
			does: "a token that is not the one leads nowhere", run: "trigger receiver podinfo --url={hooks} --token=guess --retries=0",
			code: 1, err: []string{"404 Not Found"},
		},
		{
			does: "a receiver that signs", run: "create secret receiver signed --type=generic-hmac --hostname=hooks.example.com --token=letmein",
		},
		{
			does: "create receiver of another type",
			run:  "create receiver signed --type=generic-hmac --secret-ref=signed --resource=ImageRepository/podinfo",
			err:  []string{"✔ Receiver signed is ready"},
		},
		{
			does: "trigger receiver signs its request",
			run:  "trigger receiver signed --type=generic-hmac --url={hooks} --token=letmein --retries=0",
			err:  []string{"✔ Receiver {ns}/signed triggered"},
		},
		{
			does: "a request without a signature is refused",
			run:  "trigger receiver signed --type=generic --url={hooks} --token=letmein --retries=0", code: 1,
			err: []string{"failed with status 4"},
		},
		{does: "deleting one", run: "delete receiver signed -s", err: []string{"✔ receiver deleted"}},
	})
	s.tell(t, manage("receiver", "Receiver", "receiver", "✔ Receiver"))
	s.tell(t, []step{
		{
			does: "a resumed receiver listens", run: "trigger receiver podinfo --url={hooks} --token=letmein --retries=0",
			err: []string{"✔ Receiver {ns}/podinfo triggered"},
		},
		{does: "events tell of it", run: "events --for Receiver/podinfo", out: []string{"Normal", "Receiver/podinfo"}, eventually: true},
		{does: "stats counts it", run: "stats", out: []string{"Receiver 1 0 0"}},
		{
			does: "a receiver without its secret fails", code: 1, eventually: true,
			run: "create receiver broken --type=generic --secret-ref=nope --resource=ImageRepository/podinfo --timeout=4s",
		},
		{does: "deleting the receiver", run: "delete receiver podinfo -s", err: []string{"✔ receiver deleted"}},
		{
			does: "its webhook is gone", run: "trigger receiver podinfo --url={hooks} --token=letmein --retries=0", eventually: true,
			code: 1, err: []string{"404 Not Found"},
		},
	})
	if got := s.kubectl(t, "get fluxcd-notifications -o name"); !strings.Contains(got, "receiver.notification.toolkit.fluxcd.io/broken") {
		t.Errorf("kubectl get fluxcd-notifications lacks the receiver:\n%s", got)
	}
}
