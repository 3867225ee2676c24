package demo

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"example.org/ha/consensus"
)

// A member is the ZooKeeper server of the demo. It can be stopped and started again on its data.
type member struct {
	cluster *cluster
	name    string

	member *consensus.Member // nil: stopped
	cancel context.CancelCauseFunc
	ended  chan error
}

const clientPort = 2181

func (m *member) addr() netip.AddrPort { return m.cluster.beside(31, clientPort) }

// start runs the member and returns once it serves.
func (m *member) start() error {
	if m.member != nil {
		return fmt.Errorf("demo: revive %s: it lives", m.name)
	}
	cfg := consensus.Config{
		DataDir: filepath.Join(m.cluster.dir, m.name), Listen: []netip.AddrPort{m.addr()}, Words: []string{"*"},
		TTLNodes: true, Version: m.cluster.Version,
	}
	server, err := consensus.New(cfg, m.cluster.narrator.log(m.name, m.cluster.level()))
	if err != nil {
		return fmt.Errorf("demo: start %s: %w", m.name, err)
	}
	ctx, cancel := context.WithCancelCause(context.Background()) // it ends when the demo says so, as a host does
	ready := make(chan struct{})
	m.member, m.cancel, m.ended = server, cancel, make(chan error, 1)
	begin := time.Now()
	go func() { m.ended <- server.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
		m.cluster.narrator.say(m.name, "serves %s after %.1f ms", m.addr(), float64(time.Since(begin).Microseconds())/1000)
		return nil
	case err := <-m.ended:
		m.member = nil
		return fmt.Errorf("demo: start %s: %w", m.name, errors.Join(err, errors.New("it ended before it served")))
	}
}

// stop ends the member in order; its data stays for the next start.
func (m *member) stop() error {
	if m.member == nil {
		return fmt.Errorf("demo: kill %s: it is dead already", m.name)
	}
	m.cancel(errEnd)
	err := <-m.ended
	m.member = nil
	if err != nil {
		return fmt.Errorf("demo: stop %s: %w", m.name, err)
	}
	return nil
}

func (m *member) status() string {
	if m.member == nil {
		return "dead"
	}
	return fmt.Sprintf("serves ZooKeeper's clients on %s", m.addr())
}
