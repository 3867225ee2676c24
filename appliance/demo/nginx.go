package demo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Nginx finds nginx, also where a user's PATH does not lead.
func Nginx() (string, bool) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// One process, so that nothing stays when it is killed.
const nginxConf = `daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	default_type text/plain;
	server {
		listen 80 backlog=4096;
		listen [::]:80 backlog=4096 ipv6only=on;
		location = /healthz { return 200 "ok\n"; }
		location / { return 200 "%[2]s\n"; }
	}
}
`

// A Web is a web server on port 80 of a host: nginx if it is installed, else
// the built-in one. GET / answers the host's name, GET /healthz "ok".
type Web struct {
	host  *Host
	dir   string // of nginx; empty: built in
	nginx *exec.Cmd
	web   *web
}

// NewWeb prepares a web server; dir is for its files. It does not run before
// Start.
func NewWeb(h *Host, dir string) (*Web, error) {
	w := &Web{host: h}
	if _, ok := Nginx(); !ok {
		return w, nil
	}
	w.dir = filepath.Join(dir, h.Name)
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return nil, fmt.Errorf("demo: make a folder for nginx: %w", err)
	}
	text := fmt.Sprintf(nginxConf, w.dir, h.Name)
	if err := os.WriteFile(filepath.Join(w.dir, "nginx.conf"), []byte(text), 0o644); err != nil {
		return nil, fmt.Errorf("demo: configure nginx: %w", err)
	}
	return w, nil
}

// Kind names the software.
func (w *Web) Kind() string {
	if w.dir != "" {
		return "nginx"
	}
	return "built-in web server"
}

// Start starts it; it answers a moment later.
func (w *Web) Start() error {
	if w.dir == "" {
		l, err := w.host.Listen("tcp", ":80")
		if err != nil {
			return fmt.Errorf("demo: start the web server of %s: %w", w.host.Name, err)
		}
		w.web = serveWeb(w.host.Name, l)
		return nil
	}
	path, _ := Nginx()
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("demo: open the log of nginx: %w", err)
	}
	defer log.Close()
	w.nginx = exec.Command(path, "-p", w.dir, "-c", filepath.Join(w.dir, "nginx.conf"))
	w.nginx.Stdout, w.nginx.Stderr = log, log
	return w.host.Start(w.nginx)
}

// Kill ends it as a crash would.
func (w *Web) Kill() error {
	if w.dir == "" {
		w.web.kill()
		return nil
	}
	if err := w.nginx.Process.Kill(); err != nil {
		return fmt.Errorf("demo: kill nginx of %s: %w", w.host.Name, err)
	}
	err := w.nginx.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return nil
	}
	return err
}
