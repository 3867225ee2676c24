package beat

import (
	"context"
	"slices"
	"testing"
	"time"

	"example.org/ha/net/gossip"
	"example.org/ha/net/heartbeat"
)

// awaitInbox takes from r until ok says so of what it has.
func awaitInbox(t *testing.T, r Rider, what string, ok func(hosts []heartbeat.HostState, shouts []heartbeat.Shouted) bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	var shouts []heartbeat.Shouted
	for {
		select {
		case <-r.Changed():
			in := r.Take()
			shouts = append(shouts, in.Shouts...)
			if ok(in.Hosts, shouts) {
				return
			}
		case <-limit:
			t.Fatalf("not %s within 20s", what)
		}
	}
}

func said(name, what string) func([]heartbeat.HostState, []heartbeat.Shouted) bool {
	return func(hosts []heartbeat.HostState, _ []heartbeat.Shouted) bool {
		return slices.ContainsFunc(hosts, func(h heartbeat.HostState) bool { return h.Name == name && h.Alive && string(h.Said) == what })
	}
}

// A Beat in this process and one in a process of its own are the same to the
// riders of both.
func TestRidersTalkAcrossThePipe(t *testing.T) {
	inside := testSettings("inside")
	b, err := New(inside, Options{
		Log: quiet(),
		speak: func(s Settings, r *heartbeat.Rider, l *heartbeat.Loop, o Options) (speaker, error) {
			return newFiler(t.TempDir(), s.VIPs, l)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})

	outside := testSettings("outside", "web")
	outside.Cluster.Join = []string{inside.Cluster.Bind.String()}
	p, _, stop := startParent(t, outside)
	far, near := p.Rider(gossip.Votes), b.Rider(gossip.Votes)
	far.Say([]byte("said before the process ran"))
	awaitInbox(t, near, "told by the process", said("outside", "said before the process ran"))
	near.Say([]byte("hello"))
	awaitInbox(t, far, "told by this process", said("inside", "hello"))
	near.Shout([]byte("now"))
	awaitInbox(t, far, "shouted at", func(_ []heartbeat.HostState, shouts []heartbeat.Shouted) bool {
		return slices.ContainsFunc(shouts, func(s heartbeat.Shouted) bool { return s.From == "inside" && string(s.Body) == "now" })
	})
	if b.Rider(gossip.Adverts) != nil || p.Rider(gossip.Adverts) != nil {
		t.Error("the speaker's topic was given away")
	}
	stop()
	awaitInbox(t, near, "told of the goodbye", func(hosts []heartbeat.HostState, _ []heartbeat.Shouted) bool {
		return slices.ContainsFunc(hosts, func(h heartbeat.HostState) bool { return h.Name == "outside" && h.Left })
	})
}

func TestKilledBeatSaysNoGoodbye(t *testing.T) {
	dir := t.TempDir()
	b, err := New(testSettings("a", "web"), Options{
		Log: quiet(),
		speak: func(s Settings, r *heartbeat.Rider, l *heartbeat.Loop, o Options) (speaker, error) {
			return newFiler(dir, s.VIPs, l)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.Run(t.Context()) }()
	b.Kill()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !exists(dir, "web") {
		t.Error("a killed beat released its address")
	}
}
