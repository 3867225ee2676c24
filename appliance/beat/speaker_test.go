package beat

import (
	"context"
	"sync"
	"testing"

	"example.org/ha/net/vip"
)

// A memory is a vip.Link that only remembers.
type memory struct {
	mu   sync.Mutex
	held map[string]bool
}

func (m *memory) set(name string, held bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[name] = held
	return nil
}

func (m *memory) Add(c vip.Config) error      { return m.set(c.Name, true) }
func (m *memory) Remove(c vip.Config) error   { return m.set(c.Name, false) }
func (m *memory) Announce(c vip.Config) error { return nil }

func (m *memory) holds(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held[name]
}

func TestBeatTakesAnAddressAndGivesItBack(t *testing.T) {
	s := testSettings("a", "web")
	s.VIPs[0].Interface = "lo"
	link := &memory{held: make(map[string]bool)}
	b, err := New(s, Options{Link: link, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	awaitChange(t, b, "web", "active")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if link.holds("web") {
		t.Error("the beat ended and left its address")
	}
}
