package proxy

import "golang.org/x/sys/unix"

// blocks keeps a few buffers for bytes a slow reader did not take.
type blocks struct{ free [][]byte }

const (
	keepBlocks  = 32
	smallBlock  = 4 << 10
	bufferBytes = 64 << 10 // one read; also the most a direction holds under backpressure, pipes apart
)

// take returns a buffer for n bytes, n at most bufferBytes. Small ones are not pooled.
func (b *blocks) take(n int) []byte {
	if n <= smallBlock {
		return make([]byte, 0, smallBlock)
	}
	if len(b.free) == 0 {
		return make([]byte, 0, bufferBytes)
	}
	last := b.free[len(b.free)-1]
	b.free = b.free[:len(b.free)-1]
	return last
}

func (b *blocks) put(p []byte) {
	if cap(p) == bufferBytes && len(b.free) < keepBlocks {
		b.free = append(b.free, p[:0])
	}
}

// A pipe carries bulk data between two sockets without copying it.
type pipe struct {
	read, write int32
	bytes       int
}

// pipes keeps empty pipes for the next bulk transfer. At most maxPipes are in use in one worker;
// beyond that bulk data is copied.
type pipes struct {
	free []*pipe
	used int
}

const (
	pipeBytes = 256 << 10
	keepPipes = 16
	maxPipes  = 256
)

// take returns an empty pipe, or nil if there is none to be had.
func (p *pipes) take() *pipe {
	if n := len(p.free); n > 0 {
		last := p.free[n-1]
		p.free = p.free[:n-1]
		p.used++
		return last
	}
	if p.used >= maxPipes {
		return nil
	}
	var fd [2]int
	if unix.Pipe2(fd[:], unix.O_NONBLOCK|unix.O_CLOEXEC) != nil {
		return nil
	}
	// Refused to an unprivileged process that has many: then the pipe is smaller, no harm.
	unix.FcntlInt(uintptr(fd[0]), unix.F_SETPIPE_SZ, pipeBytes)
	p.used++
	return &pipe{read: int32(fd[0]), write: int32(fd[1])}
}

func (p *pipes) put(x *pipe) {
	p.used--
	if x.bytes == 0 && len(p.free) < keepPipes {
		p.free = append(p.free, x)
		return
	}
	closeFD(x.read)
	closeFD(x.write)
}

func (p *pipes) close() {
	for _, x := range p.free {
		closeFD(x.read)
		closeFD(x.write)
	}
	p.free = nil
}
