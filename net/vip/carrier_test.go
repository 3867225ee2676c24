package vip

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"example.org/ha/net/vrrp"
)

func TestIdentitiesDifferAndOrderByName(t *testing.T) {
	names := []string{"a", "b", "host1", "host2", "load-balancer-in-frankfurt-1", "load-balancer-in-frankfurt-2", "z"}
	for i, n := range names {
		for _, m := range names[:i] {
			if identity(n) == identity(m) {
				t.Errorf("%q and %q have one identity", n, m)
			}
			if n[:min(10, len(n))] != m[:min(10, len(m))] && identity(n).Less(identity(m)) {
				t.Errorf("%q sorts after %q but its identity before", n, m)
			}
		}
		if identity(n).Is4In6() || !identity(n).Is6() {
			t.Errorf("identity of %q is %v, which another form could equal", n, identity(n))
		}
	}
}

func FuzzParseBody(f *testing.F) {
	body, _ := appendBody(nil, netip.MustParseAddr("10.0.0.1"), []backup{{51, 100}, {52, 0}}, []vrrp.Advertisement{
		{Version: 3, Beat: true, VRID: 53, Priority: 200, Interval: 10 * time.Millisecond, Announced: true},
		{Version: 3, Beat: true, VRID: 54, Interval: 10 * time.Millisecond, Successor: identity("b")},
	})
	f.Add(body)
	f.Add(body[:7])
	f.Add([]byte{1, 0, 255})
	f.Add([]byte{1, 16, 255})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		had := []backup{{9, 9}}
		own, backups, ads, err := parseBody(body, had, nil)
		if err != nil {
			if len(backups) != 1 || len(ads) != 0 {
				t.Fatalf("refused, and yet %d backups and %d ads", len(backups), len(ads))
			}
			return
		}
		if len(backups)-1+len(ads) > len(body) {
			t.Fatalf("%d bytes gave %d backups and %d ads", len(body), len(backups), len(ads))
		}
		again, n := appendBody(nil, own, backups[1:], ads)
		if n < len(ads) {
			return // a body of another limit
		}
		o2, b2, a2, err := parseBody(again, had, nil)
		if err != nil || o2 != own || !slices.Equal(b2, backups) || len(a2) != len(ads) {
			t.Fatalf("written again it is %v, %d ads, error %v", b2, len(a2), err)
		}
		for i := range ads {
			if !sameSaid(ads[i], a2[i]) || ads[i].VRID != a2[i].VRID {
				t.Fatalf("ad %d: %+v became %+v", i, ads[i], a2[i])
			}
		}
	})
}

func TestBodyHoldsWhatFits(t *testing.T) {
	var ads []vrrp.Advertisement
	for v := 1; v <= 255; v++ { // an interval each: no shared header
		ads = append(ads, vrrp.Advertisement{Version: 3, Beat: true, VRID: uint8(v), Priority: 1, Interval: time.Duration(v) * time.Millisecond})
	}
	body, n := appendBody(nil, netip.Addr{}, nil, ads)
	if n == 0 || n == 255 || len(body) > maxBody {
		t.Fatalf("%d ads in %d bytes", n, len(body))
	}
	_, _, got, err := parseBody(body, nil, nil)
	if err != nil || len(got) != n {
		t.Errorf("read %d of %d ads: %v", len(got), n, err)
	}
	if second, m := appendBody(nil, netip.Addr{}, nil, ads[n:]); m == 0 || bytes.Equal(second, body) {
		t.Errorf("the rest gave %d ads", m)
	}
}

func TestControlOfForeignBytes(t *testing.T) {
	p := &port{v6: true, fd: -1}
	p.prepare()
	for i := range p.in.ctl {
		p.in.ctl[i] = 0xff
	}
	p.in.msg.SetControllen(len(p.in.ctl))
	if dst, hops := p.control(); dst != (netip.Addr{}) || hops != 0 {
		t.Errorf("garbage gave %v, %d", dst, hops)
	}
}
