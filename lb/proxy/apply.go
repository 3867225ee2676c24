package proxy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"example.org/ha/lb/pool"
)

// Apply makes want the table in force. It takes the whole desired state and may be called at any
// time, also before Run: listeners then exist and clients wait in their queues.
//
// Every new address is bound before anything changes; if one cannot be, nothing does and the error
// names the service and the address.
func (f *Forwarder) Apply(want pool.Table) error {
	want = want.Sorted()
	if err := check(want); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.prepare(); err != nil {
		return err
	}
	fresh, err := f.bindMissing(want)
	if err != nil {
		return err
	}
	f.commit(want, fresh)
	return nil
}

func check(t pool.Table) error {
	var errs []error
	listens := map[endpoint]string{}
	for i, v := range t.Services {
		if i > 0 && t.Services[i-1].Name == v.Name {
			errs = append(errs, fmt.Errorf("proxy: service %s: name is used twice", v.Name))
		}
		if !v.Scheduler.Valid() {
			errs = append(errs, fmt.Errorf("proxy: service %s: %q is not a scheduler", v.Name, v.Scheduler))
		}
		if v.Protocol != pool.TCP && v.Protocol != pool.UDP {
			errs = append(errs, fmt.Errorf("proxy: service %s: %v is not forwarded", v.Name, v.Protocol))
		}
		for _, a := range v.Listen {
			e := endpoint{v.Protocol, a}
			if !a.IsValid() {
				errs = append(errs, fmt.Errorf("proxy: service %s: listen address is not valid", v.Name))
			} else if other, taken := listens[e]; taken {
				errs = append(errs, fmt.Errorf("proxy: service %s: %s is already service %s", v.Name, e, other))
			}
			listens[e] = v.Name
		}
		for j, r := range v.Servers {
			if !r.Address.IsValid() || r.Weight < 0 || r.Weight > maxWeight {
				errs = append(errs, fmt.Errorf("proxy: service %s: real server %v weight %d is not valid", v.Name, r.Address, r.Weight))
			}
			if j > 0 && v.Servers[j-1].Address == r.Address {
				errs = append(errs, fmt.Errorf("proxy: service %s: real server %v is listed twice", v.Name, r.Address))
			}
		}
	}
	return errors.Join(errs...)
}

// maxWeight leaves room for the scale of slow start.
const maxWeight = 1 << 24

// bindMissing opens a listener for each address that has none. None of them serves anybody yet.
func (f *Forwarder) bindMissing(want pool.Table) (fresh []*listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range fresh {
				l.close()
			}
			fresh = nil
		}
	}()
	for _, v := range want.Services {
		for _, a := range v.Listen {
			e := endpoint{v.Protocol, a}
			if f.listener(e) != nil {
				continue
			}
			l, err := bind(e, len(f.workers), f.holds(e))
			if err != nil {
				return fresh, fmt.Errorf("proxy: service %s: %w", v.Name, err)
			}
			fresh = append(fresh, l)
		}
	}
	for _, l := range fresh {
		if err := l.listen(); err != nil {
			return fresh, fmt.Errorf("proxy: %w", err)
		}
	}
	return fresh, nil
}

func (f *Forwarder) listener(e endpoint) *listener {
	if i := slices.IndexFunc(f.listeners, func(l *listener) bool { return l.endpoint == e }); i >= 0 {
		return f.listeners[i]
	}
	return nil
}

// holds says that workers have yet to close sockets of e: it was removed a moment ago.
func (f *Forwarder) holds(e endpoint) bool {
	f.removed = slices.DeleteFunc(f.removed, func(l *listener) bool { return l.open.Load() == 0 })
	return slices.ContainsFunc(f.removed, func(l *listener) bool { return l.endpoint == e })
}

// commit cannot fail any more.
func (f *Forwarder) commit(want pool.Table, fresh []*listener) {
	now := int64(time.Since(f.start)) / tick
	f.listeners = append(f.listeners, fresh...)
	var services []*service
	var wanted []*listener
	for _, v := range want.Services {
		s := f.take(v)
		if s == nil {
			s = &service{name: v.Name, protocol: v.Protocol}
		}
		left, err := s.update(v, len(f.workers), now)
		if err != nil {
			panic(err) // check let an unknown scheduler through
		}
		if v.CutDown {
			for _, sv := range left {
				f.order(order{cut: &cut{at: now, server: sv}})
			}
		}
		services = append(services, s)
		for _, a := range v.Listen {
			l := f.listener(endpoint{v.Protocol, a})
			l.service.Store(s)
			wanted = append(wanted, l)
		}
	}
	for _, s := range f.services { // those not taken are deleted
		f.deleted = append(f.deleted, s)
		f.order(order{cut: &cut{at: now + int64(s.options.Load().drainTimeout/tick), service: s}})
	}
	f.services = services
	for _, l := range fresh {
		f.order(order{add: l})
	}
	f.listeners = slices.DeleteFunc(f.listeners, func(l *listener) bool {
		if slices.Contains(wanted, l) {
			return false
		}
		f.removed = append(f.removed, l)
		f.order(order{remove: l})
		return true
	})
}

// take removes and returns the service in force that v goes on with.
func (f *Forwarder) take(v pool.VirtualService) *service {
	i := slices.IndexFunc(f.services, func(s *service) bool { return s.name == v.Name && s.protocol == v.Protocol })
	if i < 0 {
		return nil
	}
	s := f.services[i]
	f.services = slices.Delete(f.services, i, i+1)
	return s
}

func (f *Forwarder) order(o order) {
	for _, w := range f.workers {
		w.post(o)
	}
}
