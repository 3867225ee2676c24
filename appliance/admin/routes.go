package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Handover is the answer to a release.
type Handover struct {
	Seconds float64 `json:"seconds"`
}

// Refusal is the body of every answer that is not 2xx.
type Refusal struct {
	Error string `json:"error"`
}

func (d *Door) routes() *http.ServeMux {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), meter{d.appliance})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", d.status)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", d.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: readTimeout}))
	mux.HandleFunc("POST /reload", d.reload)
	mux.HandleFunc("POST /vip/{name}/release", d.release)
	mux.HandleFunc("POST /server/{service}/{server}/{verb}", d.drain)
	return mux
}

// guard asks for the token where one is due, and bounds the body.
func (d *Door) guard(trusted bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		open := trusted || r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if !open {
			token := *d.token.Load()
			switch {
			case token == "" && r.Method != http.MethodGet && r.Method != http.MethodHead:
				refuse(w, http.StatusForbidden, errors.New("commands over TCP need [admin] token_file; use the unix socket"))
				return
			case token != "" && !sameToken(r.Header.Get("Authorization"), token):
				w.Header().Set("WWW-Authenticate", "Bearer")
				refuse(w, http.StatusUnauthorized, errors.New("the token is missing or wrong"))
				return
			}
		}
		d.mux.ServeHTTP(w, r)
	})
}

// sameToken compares digests, so that neither the content nor the length shows in the time it takes.
func sameToken(header, token string) bool {
	got, ok := strings.CutPrefix(header, "Bearer ")
	a, b := sha256.Sum256([]byte(got)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && ok
}

func (d *Door) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, d.appliance.Status())
}

func (d *Door) ready(w http.ResponseWriter, _ *http.Request) {
	s := d.appliance.Status()
	code := http.StatusOK
	if !s.Ready() {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, s.Parts)
}

func (d *Door) reload(w http.ResponseWriter, r *http.Request) {
	if err := d.appliance.Reload(r.Context()); err != nil {
		refuse(w, code(err), err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

func (d *Door) release(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), writeTimeout-time.Second)
	defer cancel()
	took, err := d.appliance.Release(ctx, r.PathValue("name"), r.URL.Query().Get("to"))
	if err != nil {
		refuse(w, code(err), err)
		return
	}
	answer(w, http.StatusOK, Handover{Seconds: took.Seconds()})
}

func (d *Door) drain(w http.ResponseWriter, r *http.Request) {
	verb := r.PathValue("verb")
	if verb != "drain" && verb != "undrain" {
		refuse(w, http.StatusNotFound, fmt.Errorf("%q is neither drain nor undrain", verb))
		return
	}
	if err := d.appliance.Drain(r.PathValue("service"), r.PathValue("server"), verb == "drain"); err != nil {
		refuse(w, code(err), err)
		return
	}
	answer(w, http.StatusOK, struct{}{})
}

func code(err error) int {
	switch {
	case errors.Is(err, ErrUnknown):
		return http.StatusNotFound
	case errors.Is(err, ErrRefused):
		return http.StatusUnprocessableEntity
	case errors.Is(err, ErrState):
		return http.StatusConflict
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

func refuse(w http.ResponseWriter, code int, err error) { answer(w, code, Refusal{Error: err.Error()}) }

func answer(w http.ResponseWriter, code int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		code, text = http.StatusInternalServerError, []byte(`{"error":"admin: encode answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(text, '\n')) // the peer may have gone; nobody is left to tell
}
