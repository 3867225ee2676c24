package e2e

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"example.org/ha/appliance/admin"
)

// The disk is full: the log cannot be written, nor anything beside the
// configuration. Addresses move all the same.
func TestDiskFull(t *testing.T) {
	c := newCluster(t, options{idle: true, webs: 1})
	full := c.path("full")
	must(t, os.Mkdir(full, 0o700))
	must(t, unix.Mount("tmpfs", full, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { unix.Unmount(full, unix.MNT_DETACH) })
	for i, n := range c.nodes {
		log, err := os.OpenFile(full+"/"+n.Host.Name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		must(t, err)
		t.Cleanup(func() { log.Close() })
		n.Log, n.Config = log, full+"/"+n.Host.Name+".toml"
		c.configure(n, c.file(i))
	}
	fill(t, full)
	for _, n := range c.nodes {
		must(t, n.Start())
	}
	c.ready()
	c.holder("lb1")
	c.healthy(1)

	c.crash(c.nodes[0])
	c.holds("lb2")
	c.reboot(c.nodes[0])
	c.ready()
	c.holder("lb1")
	for _, n := range c.nodes {
		must(t, n.Signal(syscall.SIGHUP, n.PIDs()[0]))
		c.status(n, "have reloaded", func(s admin.Status) bool { return s.Config.Reloads > 0 })
	}
	c.healthy(1)
	c.steady(10 * c.interval)
}

// fill writes until nothing fits any more.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(dir + "/filler")
	must(t, err)
	defer f.Close()
	block := make([]byte, 4096)
	for range 1000 {
		if _, err = f.Write(block); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk did not fill: %v", err)
	}
}
