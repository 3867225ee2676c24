package clientport

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// loadEnv makes the test binary a client: its processor time must not be counted as the server's.
const loadEnv = "CLIENTPORT_LOAD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(loadEnv); spec != "" {
		if err := load(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const requestSize = 100

// load sends requests over conns connections, window of them outstanding on each.
func load(spec string) error {
	var addr string
	var conns, window, each int
	if _, err := fmt.Sscan(spec, &addr, &conns, &window, &each); err != nil {
		return err
	}
	errs := make(chan error, conns)
	var wg sync.WaitGroup
	for range conns {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		wg.Go(func() {
			f := frame(string(make([]byte, requestSize)))
			var block []byte
			for range window {
				block = append(block, f...)
			}
			buf := make([]byte, len(block))
			if _, err := nc.Write(block); err != nil {
				errs <- err
			}
			for got := 0; got < each*len(f); {
				n, err := nc.Read(buf)
				if err != nil {
					errs <- err
					return
				}
				answers := (got+n)/len(f) - got/len(f)
				got += n
				if left := each - window - got/len(f) + answers; answers > 0 && left > 0 {
					if _, err := nc.Write(block[:min(answers, left)*len(f)]); err != nil {
						errs <- err
						return
					}
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func processorTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkEcho reports the server's processor time per request, of reading, one hop to the member, and
// writing.
func BenchmarkEcho(b *testing.B) {
	for _, c := range []struct{ conns, window int }{{1, 1}, {16, 1}, {128, 1}, {1000, 1}, {30, 100}} {
		b.Run(fmt.Sprintf("%dx%d", c.conns, c.window), func(b *testing.B) {
			m := startMember(b, Config{MaxPerAddress: -1}, nil)
			each := max(b.N/c.conns, c.window)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d %d", loadEnv, m.addr(), c.conns, c.window, each))
			cmd.Stderr = os.Stderr
			before := processorTime(b)
			b.ResetTimer()
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			spent := processorTime(b) - before
			b.ReportMetric(float64(spent.Nanoseconds())/1000/float64(each*c.conns), "cpu-µs/req")
		})
	}
}

// BenchmarkIdle reports what a connection costs that has been served and is quiet.
func BenchmarkIdle(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "TLS"}[secure], func(b *testing.B) {
			const n = 2000
			memory := func() (heap, stacks uint64) {
				runtime.GC()
				runtime.GC()
				var s runtime.MemStats
				runtime.ReadMemStats(&s)
				return s.HeapAlloc, s.StackInuse
			}
			for range b.N {
				m, dial := startMember(b, Config{}, nil), (*member).dialRaw
				if secure {
					m = startMember(b, Config{TLSListen: []netip.AddrPort{loopback}, TLS: newAuthority(b).server()}, nil)
					dial = (*member).dialTLS
				}
				heap, stacks := memory()
				files := make([]int, 0, n)
				for range n {
					files = append(files, dial(m))
				}
				heap2, stacks2 := memory()
				b.ReportMetric((float64(heap2)-float64(heap))/n, "heap-B/conn")
				b.ReportMetric((float64(stacks2)-float64(stacks))/n, "stack-B/conn")
				for _, fd := range files {
					_ = syscall.Close(fd)
				}
				m.stop()
			}
		})
	}
}

// dialRaw connects and has one request answered, with a bare descriptor, which takes no memory here.
func (m *member) dialRaw() int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	at := m.server.Addrs()[0]
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		m.t.Fatal(err)
	}
	f := frame(string(make([]byte, requestSize)))
	if _, err := syscall.Write(fd, f); err != nil {
		m.t.Fatal(err)
	}
	if n, err := syscall.Read(fd, f); err != nil || n != len(f) {
		m.t.Fatal(n, err)
	}
	return fd
}
