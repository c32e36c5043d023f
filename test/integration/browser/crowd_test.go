// SPDX-License-Identifier: Apache-2.0

package browser

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	builder "github.com/sluice-cd/sluice/test/make"
)

// crowded looks at five hundred lanes.
func crowded(t *testing.T, w *webTest) {
	const lanes = 500
	crowd := w.NewNamespace(t, "crowd-", nil)
	each(t, lanes, func(i int) error {
		return w.Client.Create(t.Context(), builder.Canary(crowd, fmt.Sprintf("app-%03d", i)))
	})
	p := w.visitor(t, crowd, "sees", "get", "list", "watch")
	p.until("all lanes", fmt.Sprintf(`document.querySelector("[role=grid]")?.ariaRowCount === "%d"`, lanes+1))
	drawn := func(where string) {
		t.Helper()
		if n := eval[int](p, `document.querySelectorAll("[data-key]").length`); n == 0 || n > 60 {
			t.Errorf("%s %d rows are drawn", where, n)
		}
	}
	drawn("at the top")
	// The lines between lanes were covered in Firefox by lanes that did not begin at a whole pixel.
	p.until("every lane beginning at a whole pixel", `[...document.querySelectorAll("[data-key]")].every((lane) =>
		Number.isInteger(new DOMMatrix(getComputedStyle(lane).transform).f) && lane.style.transform !== "")`)
	p.accessible(w, "five hundred lanes")
	focusByTab(p, "[data-cell]")
	start := time.Now()
	p.keys(kb.End)
	p.until("the last lane", `document.activeElement.innerText.includes("app-499")`)
	drawn("at the end")
	p.keys("/app-417")
	p.until("the lane that was searched for", `document.querySelectorAll("[data-key]").length === 1 &&
		document.querySelector("[data-key]").innerText.includes("app-417")`)
	t.Logf("to the last of %d lanes and to one of them: %s", lanes, time.Since(start).Round(time.Millisecond))
	var c flaggerv1.Canary
	if err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: crowd, Name: "app-417"}, &c); err != nil {
		t.Fatal(err)
	}
	c.Status.Phase, c.Status.CanaryWeight = flaggerv1.CanaryPhaseProgressing, 30
	if err := w.Client.Status().Update(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	p.says("[data-column=Canary]", "30 %")
	p.calm()
}
