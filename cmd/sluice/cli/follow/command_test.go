// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	flaggerv1 "github.com/sluice-cd/sluice/api/flagger/v1beta1"
	"github.com/sluice-cd/sluice/cmd/sluice/cli/cluster"
	"github.com/sluice-cd/sluice/test/command"
	"github.com/sluice-cd/sluice/test/make"
)

func TestWhatACommandFollows(t *testing.T) {
	objects := command.Group(flaggerv1.GroupVersion.Group, "v1beta1", map[string]string{"Canary": "canaries"})
	maps.Copy(objects, map[string]any{"/apis/flagger.app/v1beta1/namespaces/apps/canaries/podinfo": make.Canary("apps", "podinfo")})
	server, _ := command.APIServer(t, objects)
	podinfo := client.ObjectKey{Namespace: "apps", Name: "podinfo"}
	tests := map[string]struct {
		args []string
		// wantErr is that of the command, and wantGone what the end of podinfo means to it.
		wantErr, wantGone string
	}{
		"a namespace":                     {},
		"all namespaces":                  {args: []string{"-A"}},
		"one that is there":               {args: []string{"podinfo"}, wantGone: "Canary apps/podinfo was deleted"},
		"one that is not there":           {args: []string{"other"}, wantErr: "there is no Canary other in namespace apps"},
		"one of all namespaces":           {args: []string{"podinfo", "-A"}, wantErr: cluster.ErrNamedOfAll.Error()},
		"in a format that needs an end":   {args: []string{"-o", "yaml"}, wantErr: "--output: there is no end"},
		"in a format that nobody knows":   {args: []string{"-o", "xml"}, wantErr: "--output"},
		"in lines of JSON, which need no": {args: []string{"-o", "json"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", "")
			var f *Follower[*flaggerv1.Canary]
			cmd := &cobra.Command{Use: "watch"}
			c := &Command[*flaggerv1.Canary]{
				Cluster: cluster.AddFlags(cmd, "test"), NewList: func() client.ObjectList { return &flaggerv1.CanaryList{} },
			}
			c.Register(cmd, "canaries")
			cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
				f, err = c.Follower(cmd, args, &flaggerv1.Canary{})
				return err
			}
			err := command.Run(t, cmd, "", append(tc.args, "--server", server, "-n", "apps")...).Err
			if !says(err, tc.wantErr) {
				t.Fatalf("got error %v, want %q", err, tc.wantErr)
			}
			if err != nil {
				return
			}
			if err := f.OnDelete(podinfo); !says(err, tc.wantGone) {
				t.Errorf("the end of podinfo is %v, want %q", err, tc.wantGone)
			}
		})
	}
}

// says reports whether an error has a text, and that there is none if the text is empty.
func says(err error, text string) bool {
	if text == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), text)
}

func TestWhoHasSeenEnoughGetsNoError(t *testing.T) {
	c := command.NewTerminal(t, command.As("bob"), make.Canary("apps", "podinfo"))
	seen := errors.New("seen")
	for end, want := range map[error]error{ErrDone: nil, seen: seen} {
		f := &Follower[*flaggerv1.Canary]{
			Client: c, NewList: func() client.ObjectList { return &flaggerv1.CanaryList{} },
			OnChange: func(*flaggerv1.Canary) error { return end },
		}
		err := (&Command[*flaggerv1.Canary]{}).Run(c.Command, f)
		if !errors.Is(err, want) {
			t.Errorf("ends with %v, want %v", err, want)
		}
	}
}
