// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-cd/sluice/report"
)

// heartbeat is how often a stream says that it is alive.
const heartbeat = 15 * time.Second

// writeTimeout is how long a reader may take for what it is sent.
const writeTimeout = 20 * time.Second

// stream sends events until the client goes. Whoever may see something else meanwhile is sent all of it.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	_ = control.SetReadDeadline(time.Time{})
	beat := s.Clock.NewTicker(heartbeat)
	defer beat.Stop()
	user := viewOf(r).user
	if !s.streams.tryAcquire(user) {
		refuse(w, http.StatusTooManyRequests, tooMany(user, "you look at too many pages: close some"))
		return
	}
	defer s.streams.release(user)
	who, err := s.boards.join(r.Context(), viewOf(r))
	if err != nil {
		refuse(w, codeOf(err), err.Error())
		return
	}
	defer func() { who.leave() }()
	told, beats := false, 0 // that the stream is alive: after the lanes, and then with every beat
	for {
		lanes, next := who.snapshot()
		_ = control.SetWriteDeadline(s.Clock.Now().Add(writeTimeout))
		if err := sendNews(w, who, lanes); err != nil {
			return
		}
		if !told && (lanes != nil || beats > 0) {
			if err := send(w, "alive", s.Cluster.freshness(s.Clock.Now())); err != nil {
				return
			}
			told = true
		}
		if err := control.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-next:
		case <-beat.C():
			told, beats = false, beats+1
			if who, err = s.currentReader(r, who); err != nil && !errors.Is(err, errCrowded) { // it is asked again at the next beat
				return // the client asks again, and is told why
			}
		}
	}
}

// currentReader is the reader for what the user may see by now.
func (s *Server) currentReader(r *http.Request, who *reader) (*reader, error) {
	v, err := s.authenticator.authenticate(r) // a session may have ended
	if err != nil {
		return who, err
	}
	of, err := v.scope(r.Context())
	if err != nil || of.key() == who.scope.key() {
		return who, err
	}
	next, err := s.boards.join(r.Context(), v)
	if err != nil {
		return who, err
	}
	for _, kind := range next.scope.differences(who.scope) {
		next.touch(report.ObjectReference{Kind: kind}) // without a name: the session has other kinds, and lists have other objects
	}
	who.leave()
	return next, nil
}

// sendNews writes what is new to a reader.
func sendNews(w http.ResponseWriter, who *reader, lanes []encoded) error {
	if lanes == nil {
		return nil // nothing is known yet
	}
	if event := who.news(lanes); event != nil {
		if err := send(w, "lanes", event); err != nil {
			return err
		}
	}
	touched, err := who.taken()
	if err != nil {
		return err
	}
	for _, object := range touched {
		if err := send(w, "object", object); err != nil {
			return err
		}
	}
	return nil
}

func send(w http.ResponseWriter, event string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, text)
	return err
}
