package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// A narrator prints one line for each thing that happens, with the time since
// the start and who speaks.
type narrator struct {
	start time.Time
	mu    sync.Mutex
	out   io.Writer
}

func newNarrator(out io.Writer) *narrator { return &narrator{start: time.Now(), out: out} }

// say prints a line of one speaker.
func (n *narrator) say(who, format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := time.Since(n.start).Seconds()
	fmt.Fprintf(n.out, "%8.3f  %-6s  %s\n", at, who, fmt.Sprintf(format, args...))
}

// plain prints text as it is.
func (n *narrator) plain(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.out, format, args...)
}

// log is a logger whose records the narrator prints as one speaker's lines.
func (n *narrator) log(who string, level slog.Level) *slog.Logger {
	return slog.New(&voice{narrator: n, who: who, level: level})
}

// A voice is a slog.Handler.
type voice struct {
	narrator *narrator
	who      string
	level    slog.Level
	prefix   string // of keys, from groups
	attrs    string // already printed
}

func (v *voice) Enabled(_ context.Context, level slog.Level) bool { return level >= v.level }

func (v *voice) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if r.Level >= slog.LevelWarn {
		fmt.Fprintf(&b, "%s: ", strings.ToLower(r.Level.String()))
	}
	b.WriteString(r.Message)
	b.WriteString(v.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, v.prefix, a)
		return true
	})
	v.narrator.say(v.who, "%s", b.String())
	return nil
}

func (v *voice) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(v.attrs)
	for _, a := range attrs {
		appendAttr(&b, v.prefix, a)
	}
	w := *v
	w.attrs = b.String()
	return &w
}

func (v *voice) WithGroup(name string) slog.Handler {
	w := *v
	w.prefix += name + "."
	return &w
}

func appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	value := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case value.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range value.Group() {
			appendAttr(b, prefix, inner)
		}
	default:
		text := value.String()
		if value.Kind() == slog.KindTime {
			text = value.Time().Format("15:04:05.000")
		}
		if text == "" || strings.ContainsAny(text, " \t\n\"=") {
			text = fmt.Sprintf("%q", text)
		}
		fmt.Fprintf(b, " %s%s=%s", prefix, a.Key, text)
	}
}
