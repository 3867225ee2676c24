package demo

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// A web server of the demo says its name.
type web struct {
	name   string
	server *http.Server
	done   chan struct{}
}

// serveWeb answers on the listener until kill.
func serveWeb(name string, l net.Listener) *web {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
	s := &web{
		name:   name,
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(fmt.Sprintf("demo: serve %s: %v", name, err))
		}
	}()
	return s
}

// kill closes the listener and every connection, as a crash would.
func (w *web) kill() {
	w.server.Close()
	<-w.done
}
