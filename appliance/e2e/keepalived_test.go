package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"example.org/ha/appliance/demo"
)

// keepalived and ha share a virtual router (version 3, multicast). Each takes
// over when the other dies, when it leaves, and when it has the higher
// priority.
func TestBesideKeepalived(t *testing.T) {
	c := newCluster(t, options{hosts: 1, interval: 100 * time.Millisecond, idle: true, vip: "carrier = \"vrrp\""})
	n := c.nodes[0] // priority 200
	other := c.host("ka", address(2))
	watch, err := demo.NewWatch(c.ctx, n.Host, other)
	must(t, err)
	c.watch = watch

	ka := c.keepalived(other, 150)
	c.holder("ka")

	must(t, n.Start())
	c.holder("lb1") // 200 beats 150
	p := c.ping()
	c.steady(10 * c.interval)

	c.crash(n)
	c.holds("ka")
	c.reboot(n)
	c.holder("lb1")
	c.steady(10 * c.interval)

	at := time.Now()
	must(t, n.Terminate(c.within()))
	c.holder("ka")
	c.until("keepalived answers", func() bool { return p.Answered(3) })
	t.Logf("handover to keepalived: outage %v", p.Outage(at, time.Now()))

	must(t, n.Start())
	c.holder("lb1")
	ka.stop()
	c.steady(10 * c.interval)

	// And the other way round: keepalived comes with the higher priority, then leaves.
	ka = c.keepalived(other, 250)
	c.holder("ka")
	c.until("keepalived answers", func() bool { return p.Answered(3) })
	at = time.Now()
	ka.stop()
	c.holder("lb1")
	c.until("ha answers", func() bool { return p.Answered(3) })
	o := p.Outage(at, time.Now())
	t.Logf("handover from keepalived: outage %v", o)
	if o.Longest > 500*time.Millisecond {
		t.Errorf("outage %v when keepalived resigned", o)
	}
}

// A keepalived runs on a host of the LAN.
type keepalived struct {
	c   *cluster
	cmd *exec.Cmd
}

const keepalivedConf = `global_defs {
  router_id ka
  vrrp_version 3
}
vrrp_instance web {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority %d
  advert_int %g
  virtual_ipaddress {
    %s dev eth0
  }
}
`

func (c *cluster) keepalived(h *demo.Host, priority int) *keepalived {
	c.Helper()
	conf := c.path("keepalived.conf")
	must(c.T, os.WriteFile(conf, fmt.Appendf(nil, keepalivedConf, priority, c.interval.Seconds(), vip), 0o600))
	log, err := os.OpenFile(c.path("keepalived.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(c.T, err)
	defer log.Close()
	k := &keepalived{c: c, cmd: exec.Command("keepalived", "-n", "-l", "-D", "-P", "-f", conf,
		"-p", c.path("ka.pid"), "-r", c.path("ka-vrrp.pid"))}
	k.cmd.Stdout, k.cmd.Stderr = log, log
	must(c.T, h.Start(k.cmd))
	c.Cleanup(k.stop)
	return k
}

// stop asks it to leave, and waits.
func (k *keepalived) stop() {
	if k.cmd.ProcessState != nil {
		return
	}
	k.cmd.Process.Signal(syscall.SIGTERM)
	k.cmd.Wait()
}
