package appliance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"example.org/ha/appliance/admin"
	"example.org/ha/appliance/beat"
	"example.org/ha/appliance/notify"
	"example.org/ha/lb"
	"example.org/ha/net/vip"
)

// A host is one appliance of its own, with all that a reload can change.
type host struct {
	*Appliance
	t    *testing.T
	file string
	text string
}

// hostText is its file: the balancer's port, a real server, the admin port, the hook.
const hostText = `
roles = ["lb"]
node = "lb1"
[cluster]
bind = "127.0.0.1:%d"
interval = "50ms"
key_file = "%s/none"
[[vip]]
name = "web"
vrid = 1
addresses = ["127.0.0.100/8"]
priority = 200
[[vip.track]]
service = "web"
weight = -50
[[vip.track]]
check = { kind = "tcp", address = "%s", interval = "50ms" }
[[lb.service]]
name = "web"
listen = ["127.0.0.120:%d"]
server = [{ address = "%s" }]
check = { kind = "tcp", interval = "50ms" }
[notify]
events = ["reload"]
gather = "1ms"
digest = "1ms"
webhook = [{ url = "%s" }]
[admin]
listen = "127.0.0.1:%d"
socket = "%s/s"
`

// single starts a host that tracks the two servers.
func single(t *testing.T, service, checked, hook string, edit func(*Appliance)) *host {
	t.Helper()
	dir := t.TempDir()
	udp := netPort(t, freeUDP(t))
	h := &host{t: t, file: filepath.Join(dir, "ha.toml")}
	h.text = fmt.Sprintf(hostText, udp, dir, checked, freeTCP(t), service, hook, freeTCP(t), dir)
	h.write(h.text)
	cfg, err := Load(h.file)
	if err != nil {
		t.Fatal(err)
	}
	h.Appliance, err = New(cfg, Options{Log: slog.New(slog.DiscardHandler), File: h.file, Link: tap{&wire{holders: map[string][]string{}}, "lb1"}})
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(h.Appliance)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	until(t, "everything is ready and the address is here", func() bool { return h.Status().Ready() && h.state() == "active 200" })
	return h
}

func netPort(t *testing.T, addr string) int {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}

func (h *host) write(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.file, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// state is that of the address, and its priority.
func (h *host) state() string {
	for _, v := range h.Status().VIPs {
		return fmt.Sprint(v.State, " ", v.Priority)
	}
	return "none"
}

// server listens on a port of its own, and can go away.
func server(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A hook notes what it was told.
func hook(t *testing.T) (url string, told chan string) {
	told = make(chan string, 16)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct {
			Events []notify.Event `json:"events"`
		}
		_ = json.NewDecoder(r.Body).Decode(&m)
		for _, e := range m.Events {
			told <- e.State
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, told
}

// A stubborn heart refuses every other configuration when told to.
type stubborn struct {
	heart
	refuse bool
	asked  int
}

func (s *stubborn) Apply(ctx context.Context, b beat.Settings) error {
	s.asked++
	if s.refuse {
		return errors.New("the heart refuses")
	}
	return s.heart.Apply(ctx, b)
}

// Whichever part refuses a file, every part keeps what it had.
func TestAReloadIsAppliedByAllOrByNone(t *testing.T) {
	web, checked := server(t), server(t)
	oldHook, told := hook(t)
	newHook, toldNew := hook(t)
	var heart *stubborn
	h := single(t, web.Addr().String(), checked.Addr().String(), oldHook, func(a *Appliance) {
		heart = &stubborn{heart: a.heart}
		a.heart = heart
	})
	old := h.config()
	taken := server(t)
	takenPort := netPort(t, taken.Addr().String())
	// What changes in every file: the priority, the admin port, the hook, a second service.
	second := freeTCP(t)
	adminPort := freeTCP(t)
	changed := func(lbPort, admin int) string {
		return strings.NewReplacer("priority = 200", "priority = 100", oldHook, newHook, old.Admin.Listen, fmt.Sprint("127.0.0.1:", admin),
			"[notify]", fmt.Sprintf("[[lb.service]]\nname = \"second\"\nlisten = [\"127.0.0.1:%d\"]\nserver = [{ address = %q }]\n[notify]",
				lbPort, web.Addr())).Replace(h.text)
	}
	for _, c := range []struct {
		name, text, want string
		heart            bool
		asked            int
	}{
		{"the balancer cannot bind", changed(takenPort, adminPort), fmt.Sprint(takenPort), false, 0},
		{"the door cannot bind", changed(second, takenPort), "admin.listen: ", false, 0},
		{"the heart refuses", changed(second, adminPort), "the heart refuses", true, 1},
		{"another name", strings.Replace(h.text, `node = "lb1"`, `node = "lb2"`, 1), "node: cannot change", false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			heart.refuse, heart.asked = c.heart, 0
			h.write(c.text)
			if err := h.Reload(t.Context()); !errors.Is(err, admin.ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want a refusal that names %q", err, c.want)
			}
			if heart.asked != c.asked {
				t.Errorf("the heart was asked %d times, want %d: it comes last", heart.asked, c.asked)
			}
			if got := <-told; got != "refused" {
				t.Errorf("the hook in force was told %q", got)
			}
			s := h.Status()
			if h.state() != "active 200" || s.Config.Refused == "" || h.config().VIP[0].Priority != 200 {
				t.Errorf("the address is %s and the configuration %+v", h.state(), s.Config)
			}
			if len(s.LB.Services) != 1 || s.LB.Services[0].Healthy != 1 {
				t.Errorf("the balancer has %+v, want one service with its server", s.LB.Services)
			}
			if !answers("127.0.0.120" + old.LB.Services[0].Listen[0].String()[len("127.0.0.120"):]) {
				t.Error("the service in force does not answer")
			}
			if answers(fmt.Sprint("127.0.0.1:", second)) || answers(fmt.Sprint("127.0.0.1:", adminPort)) {
				t.Error("a port of the refused file is open")
			}
			if resp, err := http.Get("http://" + old.Admin.Listen + "/healthz"); err != nil || resp.StatusCode != 200 {
				t.Errorf("the admin address in force: %v", err)
			}
		})
	}
	if len(toldNew) > 0 {
		t.Errorf("the hook of a refused file was told %q", <-toldNew)
	}

	heart.refuse = false
	h.write(changed(second, adminPort))
	if err := h.Reload(t.Context()); err != nil {
		t.Fatalf("the same file when nothing stands in its way: %v", err)
	}
	if got := <-toldNew; got != "applied" {
		t.Errorf("the new hook was told %q", got)
	}
	until(t, "every part has the new file", func() bool {
		s := h.Status()
		return h.state() == "active 100" && len(s.LB.Services) == 2 && answers(fmt.Sprint("127.0.0.1:", second)) &&
			answers(fmt.Sprint("127.0.0.1:", adminPort)) && !answers(old.Admin.Listen) && s.Config.Refused == "" && s.Config.Refusals == 4
	})
}

func answers(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// What an address tracks decides over it: a weight lowers the priority, none gives it up.
func TestTracksMoveTheAddress(t *testing.T) {
	web, checked := server(t), server(t)
	url, _ := hook(t)
	h := single(t, web.Addr().String(), checked.Addr().String(), url, nil)
	web.Close()
	until(t, "the service without servers costs its weight", func() bool { return h.state() == "active 150" })
	checked.Close()
	until(t, "the check without a weight costs the address", func() bool { return strings.HasPrefix(h.state(), "fault") })
	down := 0
	for _, track := range h.Status().Tracks {
		if !track.Up && track.Reason != "" && track.VIP == "web" {
			down++
		}
	}
	if down != 2 {
		t.Errorf("tracks that fail: %+v, want both with their reasons", h.Status().Tracks)
	}
	for _, l := range []net.Listener{web, checked} {
		again, err := net.Listen("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
	}
	until(t, "all is well again", func() bool { return h.state() == "active 200" })
}

// A hasty heart has just taken the address: its snapshot does not say so yet, and the news of it comes
// when the handover has already begun.
type hasty struct {
	heart
	a *Appliance
}

func (h hasty) Status() beat.Status {
	return beat.Status{VIPs: []vip.Status{{Name: "web", State: "backup", Active: "lb2"}}}
}

func (h hasty) Resign(context.Context, string, string) error {
	for _, move := range [][2]string{{"backup", "active"}, {"active", "resigning"}, {"resigning", "backup"}} {
		h.a.watch.vipChanged(vip.Change{Name: "web", From: move[0], To: move[1], Time: time.Now()})
	}
	return nil
}

func TestReleaseRightAfterATakeover(t *testing.T) {
	a := &Appliance{log: slog.New(slog.DiscardHandler), cfg: Config{VIP: []VIP{{Config: vip.Config{Name: "web"}}}}}
	a.heart = hasty{a: a}
	a.notifier = notify.New(notify.Config{}, "c", "lb1", a.log)
	a.watch = newWatch(a)
	if took, err := a.Release(t.Context(), "web", ""); err != nil || took < 0 {
		t.Errorf("got %v, %v; want it handed over", took, err)
	}
	if _, err := a.Release(t.Context(), "mail", ""); !errors.Is(err, admin.ErrUnknown) {
		t.Errorf("an unknown address: %v", err)
	}
}

// What the protocol does not say of a holder, the hosts do.
func TestHoldersAreNamed(t *testing.T) {
	at := netip.MustParseAddr
	hosts := []admin.Host{
		{Name: "lb1", State: "self", Address: netip.AddrPortFrom(at("10.0.0.11"), 7946), Said: &admin.Summary{}},
		{Name: "lb2", State: "alive", Address: netip.AddrPortFrom(at("10.0.0.12"), 7946), Said: &admin.Summary{Held: []string{"b"}}},
		{Name: "lb3", State: "lost", Address: netip.AddrPortFrom(at("10.0.0.13"), 7946), Said: &admin.Summary{Held: []string{"c"}}},
	}
	in := []vip.Status{
		{Name: "a", Active: "10.0.0.12", ActiveAddr: at("10.0.0.12")}, {Name: "b"}, {Name: "c"},
		{Name: "d", Active: "10.0.0.99", ActiveAddr: at("10.0.0.99")}, {Name: "b", Active: "lb1", ActiveAddr: at("10.0.0.11")},
	}
	for i, v := range nameHolders(in, hosts) {
		if want := []string{"lb2", "lb2", "", "10.0.0.99", "lb1"}[i]; v.Active != want {
			t.Errorf("%d: %s is held by %q, want %q", i, v.Name, v.Active, want)
		}
	}
	if in[0].Active != "10.0.0.12" {
		t.Error("the snapshot of the heart was changed")
	}
}

// A listening heart notes what it is told of health.
type listening struct {
	heart
	diary
}

func (l *listening) SetHealth(name string, delta int, fault string) {
	l.note("%s %d %s", name, delta, fault)
}

func (l *listening) Status() beat.Status { return beat.Status{} }

func TestTracksAreAddedUp(t *testing.T) {
	var said listening
	a := &Appliance{heart: &said, log: slog.New(slog.DiscardHandler)}
	a.notifier = notify.New(notify.Config{}, "c", "lb1", a.log)
	w := newWatch(a)
	v := VIP{Config: vip.Config{Name: "web"}, Track: []Track{
		{Interface: "eth1", Weight: -9}, {Service: "s", Weight: -50}, {Check: &lb.Check{}, Weight: -20}, {Service: "t"}, {Check: &lb.Check{}},
	}}
	cfg := Config{VIP: []VIP{v}}
	up := standing{known: true, up: true}
	down := func(why string) standing { return standing{known: true, reason: why} }
	standings := func(s ...standing) map[string]standing {
		return map[string]standing{"web.track[1]": s[0], "web.track[2]": s[1], "web.track[3]": s[2], "web.track[4]": s[3]}
	}
	for _, c := range []struct {
		name string
		s    map[string]standing
		want string // what the heart is told; empty: nothing
	}{
		{"all well", standings(up, up, up, up), ""},
		{"one weight", standings(down("a"), up, up, up), "web -50 "},
		{"the same again", standings(down("b"), up, up, up), ""},
		{"two weights", standings(down("b"), down("c"), up, up), "web -70 "},
		{"and a fault", standings(down("b"), down("c"), down("d"), up), "web -70 d"},
		{"two faults", standings(up, up, down("d"), down("e")), "web 0 d; e"},
		{"well again", standings(up, up, up, up), "web 0 "},
		{"not judged yet is not well", standings(up, up, up, standing{}), "web 0 check   was not checked yet"},
	} {
		said.lines = nil
		w.weigh(cfg, c.s)
		if got := strings.Join(said.lines, ", "); got != c.want {
			t.Errorf("%s: the heart heard %q, want %q", c.name, got, c.want)
		}
	}
	said.lines = nil
	w.weigh(Config{}, nil)
	if !slices.Equal(said.lines, []string{"web 0 "}) {
		t.Errorf("after the address left the configuration: %q", said.lines)
	}
	said.lines = nil
	w.assume(cfg)
	if w.weigh(cfg, nil); len(said.lines) > 0 {
		t.Errorf("tracks added while running count as down before they were judged: %q", said.lines)
	}
	if got := v.bare().Track; len(got) != 1 || got[0].Interface != "eth1" || got[0].Weight != -9 {
		t.Errorf("the heart watches %+v, want the interface", got)
	}
}
