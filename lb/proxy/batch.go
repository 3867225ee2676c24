package proxy

import (
	"bytes"
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	batchSize    = 32
	datagramMax  = 65536
	controlBytes = 40 // one IP_PKTINFO or IPV6_PKTINFO message
)

// A batch is where datagrams stand between recvmmsg and sendmmsg. A worker has one.
type batch struct {
	heads   [batchSize]mmsghdr
	vectors [batchSize]unix.Iovec
	names   [batchSize]sockaddr
	control [batchSize][controlBytes]byte
	data    []byte // batchSize * datagramMax; pages never used are never there
}

func newBatch() *batch {
	b := &batch{data: make([]byte, batchSize*datagramMax)}
	for i := range b.heads {
		b.vectors[i].Base = &b.data[i*datagramMax]
		b.heads[i].Iov = &b.vectors[i]
		b.heads[i].Iovlen = 1
	}
	return b
}

// receiving readies every slot for recvmmsg; with names, who sent it and to which of our addresses
// is asked for too.
func (b *batch) receiving(names bool) []mmsghdr {
	for i := range b.heads {
		h := &b.heads[i]
		b.vectors[i].SetLen(datagramMax)
		h.Name, h.Namelen, h.Control = nil, 0, nil
		h.SetControllen(0)
		if names {
			h.Name, h.Namelen = &b.names[i].raw[0], uint32(len(b.names[i].raw))
			h.Control = &b.control[i][0]
			h.SetControllen(controlBytes)
		}
	}
	return b.heads[:]
}

// sameClient reports whether datagrams i and j, just received, have one sender.
func (b *batch) sameClient(i, j int) bool {
	x, y := b.nameOf(i), b.nameOf(j)
	return bytes.Equal(x.raw[:x.len], y.raw[:y.len])
}

// nameOf is the sender of datagram i, just received.
func (b *batch) nameOf(i int) sockaddr {
	n := b.names[i]
	n.len = b.heads[i].Namelen
	return n
}

// send sends datagrams i to j on fd: to a name and with a control message, or on a connected socket
// with neither. It returns how many went out and their bytes.
func (b *batch) send(fd int32, i, j int, to *sockaddr, control []byte) (sent int, size uint64, err syscall.Errno) {
	for k := i; k < j; k++ {
		h := &b.heads[k]
		b.vectors[k].SetLen(int(h.n))
		h.Name, h.Namelen, h.Control = nil, 0, nil
		h.SetControllen(len(control))
		if to != nil {
			h.Name, h.Namelen = &to.raw[0], to.len
		}
		if len(control) > 0 {
			h.Control = &control[0]
		}
	}
	for sent < j-i {
		// The kernel overwrites n with what it sent, which is all of a datagram.
		var n int
		if n, err = sendmmsg(fd, b.heads[i+sent:j]); err != 0 {
			break
		}
		for k := i + sent; k < i+sent+n; k++ {
			size += uint64(b.heads[k].n)
		}
		sent += n
	}
	return sent, size, err
}

// sourceOf writes the control message that makes a reply leave from the address datagram i was sent
// to, and returns its length: 0 when the kernel did not say.
func (b *batch) sourceOf(i int, out *[controlBytes]byte) int {
	got := int(b.heads[i].Controllen)
	c := b.control[i][:min(got, controlBytes)]
	if len(c) < unix.SizeofCmsghdr {
		return 0
	}
	level, kind := int32(binary.NativeEndian.Uint32(c[8:])), int32(binary.NativeEndian.Uint32(c[12:]))
	copy(out[:], c)
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(c) >= unix.CmsgLen(unix.SizeofInet4Pktinfo):
		// The interface is left to routing; only the source address matters.
		clear(out[unix.SizeofCmsghdr : unix.SizeofCmsghdr+4])
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(c) >= unix.CmsgLen(unix.SizeofInet6Pktinfo):
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	return 0
}
