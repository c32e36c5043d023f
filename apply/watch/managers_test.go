package watch

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhoIsOverruled(t *testing.T) {
	apply, update := metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	restart := `{"f:spec":{"f:template":{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/restartedAt":{}}}}}}`
	tests := map[string]struct {
		entry metav1.ManagedFieldsEntry
		want  bool
	}{
		"kubectl edit":                        {managed("kubectl-edit", update, "", `{"f:data":{"f:x":{}}}`), true},
		"kubectl patch":                       {managed("kubectl-patch", update, "", `{"f:data":{"f:x":{}}}`), true},
		"kubectl apply":                       {managed("kubectl-client-side-apply", update, "", `{"f:data":{}}`), true},
		"kubectl apply --server-side":         {managed("kubectl", apply, "", `{"f:data":{}}`), true},
		"what was there before the first":     {managed("before-first-apply", update, "", `{"f:data":{}}`), true},
		"ourselves before server-side apply":  {managed(Manager, update, "", `{"f:data":{}}`), true},
		"ourselves":                           {managed(Manager, apply, "", `{"f:data":{}}`), false},
		"kubectl scale of what has no number": {managed("kubectl", update, "scale", `{"f:spec":{"f:replicas":{}}}`), false},
		"an autoscaler":                       {managed("kube-controller-manager", update, "scale", `{"f:spec":{"f:replicas":{}}}`), false},
		"another controller's apply":          {managed("cert-manager", apply, "", `{"f:data":{}}`), false},
		"who asks to keep what he adds":       {managed("flux-client-side-apply", update, "", `{"f:data":{}}`), false},
		"kubectl rollout restart":             {managed("kubectl-rollout", update, "", restart), false},
		"a request for a reconcile":           {managed("kubectl-annotate", update, "", `{"f:metadata":{"f:annotations":{".":{},"f:reconcile.fluxcd.io/requestedAt":{}}}}`), false},
		"a request among other annotations":   {managed("kubectl-annotate", update, "", `{"f:metadata":{"f:annotations":{"f:mine":{},"f:reconcile.fluxcd.io/requestedAt":{}}}}`), true},
		"fields that nobody can read":         {managed("kubectl-edit", update, "", `{`), true},
		"kubectl rollout pause":               {managed("kubectl-rollout", update, "", `{"f:spec":{"f:paused":{}}}`), true},
		"a restart under a different name":    {managed("kubectl-patch", update, "", restart), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, rivals, _ := readManagers(&metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{tc.entry}})
			if got := rivals != ""; got != tc.want {
				t.Errorf("overruled = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestOnlyWhatSomebodyDidIsNews(t *testing.T) {
	object := func(change func(*Observed)) *Observed {
		o := seen("a", "1", "Current")
		o.Labels = map[string]string{OwnerLabel: "app", NamespaceLabel: "ns"}
		if change != nil {
			change(o)
		}
		return o
	}
	tests := map[string]struct {
		after *Observed
		want  []string
	}{
		"a status":                 {object(func(o *Observed) { o.ResourceVersion, o.Status = "2", "InProgress" }), nil},
		"a field of ours":          {object(func(o *Observed) { o.Print = "less" }), []string{"app"}},
		"a field from kubectl":     {object(func(o *Observed) { o.Rivals = "kubectl-edit" }), []string{"app"}},
		"another owner":            {object(func(o *Observed) { o.Labels = map[string]string{OwnerLabel: "b", NamespaceLabel: "ns"} }), []string{"b", "app"}},
		"another of the same name": {object(func(o *Observed) { o.UID = "other" }), []string{"app"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var told []string
			s := &Set{changed: func(o Owner, _ News) { told = append(told, o.Name) }}
			s.news(deployments, object(nil), tc.after, Seen)
			if len(told) != len(tc.want) || len(told) > 0 && (told[0] != tc.want[0] || told[len(told)-1] != tc.want[len(tc.want)-1]) {
				t.Errorf("told %v, want %v", told, tc.want)
			}
		})
	}
}
