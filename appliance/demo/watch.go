package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

// A Holding is one change of a watched host: it took an address or let it go.
type Holding struct {
	At      time.Time
	Host    string
	Address netip.Addr
	Held    bool
}

func (h Holding) String() string {
	verb := "lets go of"
	if h.Held {
		verb = "takes"
	}
	return fmt.Sprintf("%s %s %s %s", h.At.Format("15:04:05.000"), h.Host, verb, h.Address)
}

// A Watch follows, in the kernel's own words, which host holds which address.
type Watch struct {
	mu      sync.Mutex
	held    map[string]map[netip.Addr]bool // by host
	log     []Holding
	changed chan struct{} // closed and replaced at every change
	errs    []error
}

// maxHoldings bounds the log of a Watch; the oldest go first.
const maxHoldings = 100_000

// NewWatch follows the hosts until ctx ends.
func NewWatch(ctx context.Context, hosts ...*Host) (*Watch, error) {
	w := &Watch{held: make(map[string]map[netip.Addr]bool), changed: make(chan struct{})}
	for _, h := range hosts {
		w.held[h.Name] = make(map[netip.Addr]bool)
	}
	for _, h := range hosts {
		updates := make(chan netlink.AddrUpdate, 1024)
		err := netlink.AddrSubscribeWithOptions(updates, ctx.Done(), netlink.AddrSubscribeOptions{
			Namespace:     &h.ns,
			ListExisting:  true,
			ErrorCallback: func(err error) { w.fail(ctx, h.Name, err) },
		})
		if err != nil {
			return nil, fmt.Errorf("demo: watch the addresses of %s: %w", h.Name, err)
		}
		go func() {
			for u := range updates {
				if a, ok := netip.AddrFromSlice(u.LinkAddress.IP); ok {
					w.note(Holding{At: time.Now(), Host: h.Name, Address: a.Unmap(), Held: u.NewAddr})
				}
			}
		}()
	}
	return w, nil
}

func (w *Watch) fail(ctx context.Context, host string, err error) {
	if ctx.Err() != nil {
		return // the subscription was closed by its owner
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, fmt.Errorf("demo: watch the addresses of %s: %w", host, err))
}

func (w *Watch) note(h Holding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held[h.Host][h.Address] == h.Held {
		return
	}
	w.held[h.Host][h.Address] = h.Held
	if len(w.log) == maxHoldings {
		w.log = w.log[1:]
	}
	w.log = append(w.log, h)
	close(w.changed)
	w.changed = make(chan struct{})
}

// Holders names the hosts that hold the address now, sorted.
func (w *Watch) Holders(a netip.Addr) []string {
	holders, _ := w.holders(a)
	return holders
}

func (w *Watch) holders(a netip.Addr) ([]string, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for host, held := range w.held {
		if held[a] {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out, w.changed
}

// Wait returns once exactly the named hosts hold the address.
func (w *Watch) Wait(ctx context.Context, a netip.Addr, hosts ...string) error {
	return w.WaitFor(ctx, a, fmt.Sprintf("be held by %v", hosts), func(holders []string) bool {
		return slices.Equal(holders, slices.Sorted(slices.Values(hosts)))
	})
}

// WaitFor returns once the holders of the address satisfy ok; what says in
// words what was waited for.
func (w *Watch) WaitFor(ctx context.Context, a netip.Addr, what string, ok func(holders []string) bool) error {
	for {
		holders, changed := w.holders(a)
		if ok(holders) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("demo: wait for %s to %s: it is held by %v: %w", a, what, holders, ctx.Err())
		}
	}
}

// Log returns the changes since a time, the oldest first, and what went wrong
// while watching.
func (w *Watch) Log(since time.Time) ([]Holding, []error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.log, func(h Holding) bool { return !h.At.Before(since) })
	if i < 0 {
		return nil, slices.Clone(w.errs)
	}
	return slices.Clone(w.log[i:]), slices.Clone(w.errs)
}
