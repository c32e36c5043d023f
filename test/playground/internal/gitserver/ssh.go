// SPDX-License-Identifier: Apache-2.0

package gitserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"

	"golang.org/x/crypto/ssh"
)

// SSH serves the repositories below Root to the owner of one key.
type SSH struct {
	Root   string
	Host   ssh.Signer    // the server's identity
	Client ssh.PublicKey // who gets in, under any user name
	Log    *log.Logger
}

// Serve serves all sessions of one client.
func (s *SSH) Serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !same(string(key.Marshal()), string(s.Client.Marshal())) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(s.Host)
	client, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		s.Log.Printf("refused %s: %v", conn.RemoteAddr(), err)
		return
	}
	defer client.Close()
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		if channel.ChannelType() != "session" {
			_ = channel.Reject(ssh.UnknownChannelType, "sessions only") // a client that left does not matter
			continue
		}
		session, requests, err := channel.Accept()
		if err != nil {
			return
		}
		go s.session(ctx, session, requests)
	}
}

// session runs the one command that a session is for. A client may announce
// the version of Git's protocol in the environment before.
func (s *SSH) session(ctx context.Context, session ssh.Channel, requests <-chan *ssh.Request) {
	defer session.Close()
	var protocol string
	for request := range requests {
		switch request.Type {
		case "env":
			var variable struct{ Name, Value string }
			accepted := ssh.Unmarshal(request.Payload, &variable) == nil && variable.Name == "GIT_PROTOCOL"
			if accepted {
				protocol = variable.Value
			}
			reply(request, accepted)
		case "exec":
			var command struct{ Line string }
			if err := ssh.Unmarshal(request.Payload, &command); err != nil {
				reply(request, false)
				return
			}
			reply(request, true)
			status := struct{ Code uint32 }{s.exec(ctx, session, command.Line, protocol)}
			_, _ = session.SendRequest("exit-status", false, ssh.Marshal(status)) // a client that left does not matter
			return
		default: // no shell, no terminal
			reply(request, false)
		}
	}
}

func reply(request *ssh.Request, ok bool) {
	if request.WantReply {
		_ = request.Reply(ok, nil) // a client that left does not matter
	}
}

// exec runs git for the client and returns its exit status.
func (s *SSH) exec(ctx context.Context, session ssh.Channel, line, protocol string) uint32 {
	command, err := parseCommand(line)
	if err != nil {
		_, _ = fmt.Fprintln(session.Stderr(), "playground:", err) // a client that left does not matter
		return 128
	}
	cmd := exec.CommandContext(ctx, "git", command.service, command.in(s.Root))
	cmd.Env = append(os.Environ(), settingsEnv()...)
	cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+protocol)
	cmd.Stdout, cmd.Stderr = session, session.Stderr()
	stdin, err := cmd.StdinPipe() // with Stdin, Wait would wait for the client to hang up
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.Log.Printf("%s: %v", line, err)
		return 128
	}
	go func() {
		_, _ = io.Copy(stdin, session) // git says what is wrong with what it was sent
		_ = stdin.Close()
	}()
	var exit *exec.ExitError
	switch err := cmd.Wait(); {
	case errors.As(err, &exit):
		return uint32(exit.ExitCode())
	case err != nil:
		s.Log.Printf("%s: %v", line, err)
		return 128
	}
	return 0
}
