package adminport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"example.org/ha/consensus/fourletter"
)

// maxAnswer bounds an answer in memory: listings grow with sessions, watches and connections.
const maxAnswer = 64 << 20

// commands is what the admin port serves.
func (s *Server) commands() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+s.cfg.Path, s.list)
	mux.HandleFunc("GET "+s.cfg.Path+"/{$}", s.list)
	mux.HandleFunc("GET "+s.cfg.Path+"/{name}", s.command)
	for _, name := range []string{"snapshot", "snap"} {
		mux.HandleFunc("GET "+s.cfg.Path+"/"+name, s.snapshot)
	}
	for _, name := range []string{"restore", "rest"} {
		mux.HandleFunc("POST "+s.cfg.Path+"/"+name, restore)
	}
	mux.Handle("GET /metrics", s.metrics())
	return bounded(mux)
}

// bounded gives an answer until answerTimeout to be taken.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout)) // every connection of ours has deadlines
		h.ServeHTTP(w, r)
	})
}

// list is the commands as links, as AdminServer has them.
func (s *Server) list(w http.ResponseWriter, _ *http.Request) {
	names := []string{"restore", "snapshot"}
	for _, c := range fourletter.Commands {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	for _, name := range names {
		fmt.Fprintf(w, "<a href=\"%s/%s\">%s</a>\n<br/>\n", s.cfg.Path, name, name)
	}
}

// command answers one command. As AdminServer's, an answer that says error has status 200 all the same.
func (s *Server) command(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	c, ok := fourletter.Lookup(name)
	if !ok {
		answer(w, http.StatusOK, fourletter.Failure(name, "Unknown command: "+name))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	status, err := s.source.Status(ctx, c.Wants)
	if err == nil && c.Word != "" && status.Serving {
		err = s.source.Reset(ctx, c.Word)
	}
	if err != nil {
		answer(w, http.StatusInternalServerError, fourletter.Failure(c.Name, err.Error()))
		return
	}
	args := map[string]string{}
	for key, values := range r.URL.Query() {
		args[key] = values[0]
	}
	body := c.JSON(status, args)
	if len(body) > maxAnswer {
		body = fourletter.Failure(c.Name, fmt.Sprintf("the answer has %d bytes, more than %d", len(body), maxAnswer))
	}
	answer(w, http.StatusOK, body)
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}

// restore answers the command of ZooKeeper 3.9 that replaces the data of a running server.
func restore(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusServiceUnavailable, fourletter.Failure("restore",
		"a running member is not restored into: stop it and use ha zab restore"))
}

// snapshot streams the data to who may read all of it.
func (s *Server) snapshot(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, reason string) { answer(w, status, fourletter.Failure("snapshot", reason)) }
	if given := r.URL.Query().Get("streaming"); given != "" && given != "true" {
		fail(http.StatusBadRequest, "a snapshot is only streamed: streaming="+given+" is not possible")
		return
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		fail(http.StatusUnauthorized, "Auth info is missing for the command")
		return
	}
	scheme, auth, ok := strings.Cut(header, " ")
	if !ok || scheme == "" || auth == "" {
		fail(http.StatusUnauthorized, "Not authenticated")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), statusTimeout)
	defer cancel()
	switch err := s.source.Authorize(ctx, scheme, []byte(auth)); {
	case errors.Is(err, ErrUnauthorized):
		s.log.Warn("snapshot refused", "remote", r.RemoteAddr, "scheme", scheme)
		fail(http.StatusForbidden, "Not authorized")
		return
	case err != nil:
		fail(http.StatusInternalServerError, "Error occurred during auth")
		return
	}
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
	default:
		fail(http.StatusTooManyRequests, "another snapshot is being streamed")
		return
	}
	out := &stream{w: w, control: http.NewResponseController(w)}
	err := s.source.Snapshot(r.Context(), out)
	switch {
	case err == nil:
		s.log.Info("snapshot streamed", "remote", r.RemoteAddr, "bytes", out.n)
	case out.n == 0:
		fail(http.StatusInternalServerError, err.Error())
	default:
		s.log.Warn("snapshot cut off", "remote", r.RemoteAddr, "bytes", out.n, "error", err)
		panic(http.ErrAbortHandler) // the one way to tell the client that what it has is not all
	}
}

// A stream gives each piece its own time to be taken.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	n       int64
}

var _ io.Writer = (*stream)(nil)

func (s *stream) Write(p []byte) (int, error) {
	if s.n == 0 {
		s.w.Header().Set("Content-Type", "application/octet-stream")
	}
	if err := s.control.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	s.n += int64(n)
	return n, err
}
