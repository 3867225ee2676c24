package probe

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func addrOf(t *testing.T, s *httptest.Server) netip.AddrPort {
	t.Helper()
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

func webServer() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscan(r.PathValue("code"), &code)
		w.Header().Set("Location", "/status/200")
		w.WriteHeader(code)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s host=%s close=%t", r.Method, r.URL, r.Proto, r.Host, r.Close)
		if r.TLS != nil {
			fmt.Fprintf(w, " sni=%s", r.TLS.ServerName)
		}
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "ok")
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.Repeat("x", maxBody)+"end")
	})
	return mux
}

func TestHTTP(t *testing.T) {
	s := httptest.NewServer(webServer())
	t.Cleanup(s.Close)
	a := addrOf(t, s)
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{Path: "/status/200"}, ""},
		{Config{Path: "/status/302"}, ""},
		{Config{Path: "/status/404"}, "GET " + a.String() + "/status/404: status 404, want 200 to 399"},
		{Config{Path: "/status/503", Expect: Expect{Status: []int{200}}}, "status 503, want 200"},
		{Config{Path: "/status/302", Expect: Expect{Status: []int{200, 204}}}, "status 302, want 200 or 204"},
		{Config{Path: "/status/503", Expect: Expect{Status: []int{503}}}, ""},
		{Config{}, "status 404"},
		{Config{Path: "/early", Expect: Expect{Status: []int{200}, Body: "ok"}}, ""},
		{Config{Path: "/echo?q=1", Expect: Expect{Body: "GET /echo?q=1 HTTP/1.1 host=" + a.String() + " close=true"}}, ""},
		{Config{Path: "/echo", Host: "shop.example", Expect: Expect{Body: "host=shop.example"}}, ""},
		{Config{Path: "/echo", Method: "POST", Expect: Expect{Regexp: `^POST /e\w+ `}}, ""},
		{Config{Path: "/echo", Method: "HEAD"}, ""},
		{Config{Path: "/echo", Expect: Expect{Body: "nonsense"}}, `body does not contain "nonsense"`},
		{Config{Path: "/echo", Expect: Expect{Regexp: "^x"}}, `body does not match "^x"`},
		{Config{Path: "/big", Expect: Expect{Body: "xxx"}}, ""},
		{Config{Path: "/big", Expect: Expect{Body: "end"}}, "body does not contain"},
	} {
		tc.c.Kind = "http"
		wantReason(t, fmt.Sprintf("%+v", tc.c), ask(t, tc.c, a, 5*time.Second), tc.want)
	}
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(webServer())
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	s.StartTLS()
	t.Cleanup(s.Close)
	a := addrOf(t, s)
	for _, tc := range []struct {
		c    Config
		want string
	}{
		{Config{Path: "/status/200"}, ""},
		{Config{Path: "/status/200", Verify: true}, "TLS " + a.String() + ": tls: failed to verify certificate"},
		{Config{Path: "/echo", Host: "shop.example:8443", Expect: Expect{Body: "sni=shop.example"}}, ""},
		{Config{Path: "/echo", Host: "shop.example", ServerName: "sni.example", Expect: Expect{Body: "sni=sni.example"}}, ""},
		{Config{Path: "/echo", Expect: Expect{Regexp: "sni=$"}}, ""}, // an address is no name
	} {
		tc.c.Kind = "https"
		wantReason(t, fmt.Sprintf("%+v", tc.c), ask(t, tc.c, a, 5*time.Second), tc.want)
	}
	plain := listen(t, func(c net.Conn) { io.WriteString(c, "220 mail ready\r\n") })
	wantReason(t, "no TLS", ask(t, Config{Kind: "https"}, plain, time.Second), "TLS "+plain.String()+": ")
}

func TestHTTPFromBrokenServers(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"closes at once":   {func(c net.Conn) { drain(c) }, "closed by the server"},
		"speaks otherwise": {func(c net.Conn) { drain(c); io.WriteString(c, "SSH-2.0-x\r\n\r\n") }, "malformed HTTP"},
		"endless header": {func(c net.Conn) {
			drain(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for {
				if _, err := io.WriteString(c, "X: "+strings.Repeat("y", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, "GET "},
		"endless interim answers": {func(c net.Conn) {
			drain(c)
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
					return
				}
			}
		}, "too many interim answers"},
		"endless body": {func(c net.Conn) {
			drain(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := io.WriteString(c, strings.Repeat("z", 1000)); err != nil {
					return
				}
			}
		}, ""},
		"silent": {func(c net.Conn) { io.Copy(io.Discard, c) }, "no answer in time"},
	} {
		a := listen(t, tc.serve)
		timeout := 5 * time.Second
		if name == "silent" {
			timeout = 100 * time.Millisecond
		}
		wantReason(t, name, ask(t, Config{Kind: "http"}, a, timeout), tc.want)
	}
}

// drain reads a request, so that closing does not reset the connection under the answer.
func drain(c net.Conn) {
	b := make([]byte, 4096)
	c.Read(b)
}

func TestHTTPAgainstNginx(t *testing.T) {
	nginx := program(t, "nginx")
	dir, a := t.TempDir(), free(t)
	conf := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr notice;
events {} http { access_log off;
 client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
 server { listen %[2]s; location /healthz { return 200 "all is ok"; } location /sick { return 503; } } }`, dir, a)
	if err := os.WriteFile(filepath.Join(dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, "getrlimit", nil, nginx, "-p", dir, "-c", filepath.Join(dir, "conf"), "-e", "stderr")
	good := Config{Kind: "http", Path: "/healthz", Expect: Expect{Status: []int{200}, Body: "ok"}}
	wantReason(t, "healthz", ask(t, good, a, 5*time.Second), "")
	wantReason(t, "sick", ask(t, Config{Kind: "http", Path: "/sick"}, a, 5*time.Second), "status 503")
}

// daemon runs a program until the test ends and returns when it has said that it is ready.
func daemon(t *testing.T, ready string, env []string, argv ...string) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		r.Close()
	})
	r.SetReadDeadline(time.Now().Add(time.Minute))
	var said strings.Builder
	for b := make([]byte, 4096); !strings.Contains(said.String(), ready); {
		n, err := r.Read(b)
		said.Write(b[:n])
		if err != nil {
			t.Fatalf("%s: %v, having said %s", argv[0], err, said.String())
		}
	}
	r.SetReadDeadline(time.Time{})
	go io.Copy(io.Discard, r)
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 No\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		status, body, err := readReply(strings.NewReader(string(b)), "GET")
		if err == nil && (status < 101 || status > 999 || len(body) > maxBody) {
			t.Errorf("status %d, %d bytes", status, len(body))
		}
	})
}
