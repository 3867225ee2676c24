package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ErrUnreachable says that no appliance answers at the socket.
var ErrUnreachable = errors.New("no appliance answers")

// A Client speaks to a running appliance over its unix socket.
type Client struct {
	socket string
	http   *http.Client
}

// Dial returns a Client of the socket; empty means the default one. Connections are made as needed.
func Dial(socket string) *Client {
	socket = cmp.Or(socket, DefaultSocket)
	var dialer net.Dialer
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}}
}

// Status asks for everything.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/status", &s)
}

// Reload makes the appliance read its file again; the error is the reason it was refused.
func (c *Client) Reload(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "/reload", nil)
}

// Release hands a virtual address to another host and returns how long that took.
func (c *Client) Release(ctx context.Context, vip, to string) (time.Duration, error) {
	path := "/vip/" + url.PathEscape(vip) + "/release"
	if to != "" {
		path += "?to=" + url.QueryEscape(to)
	}
	var h Handover
	err := c.do(ctx, http.MethodPost, path, &h)
	return time.Duration(h.Seconds * float64(time.Second)), err
}

// Drain takes a real server out of new connections, or puts it back.
func (c *Client) Drain(ctx context.Context, service, server string, on bool) error {
	verb := "undrain"
	if on {
		verb = "drain"
	}
	return c.do(ctx, http.MethodPost, "/server/"+url.PathEscape(service)+"/"+url.PathEscape(server)+"/"+verb, nil)
}

// maxAnswer bounds what a broken appliance can make its client hold.
const maxAnswer = 64 << 20

func (c *Client) do(ctx context.Context, method, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://ha"+path, nil)
	if err != nil {
		return fmt.Errorf("admin: ask %s: %w", c.socket, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return fmt.Errorf("admin: %w at %s: %w", ErrUnreachable, c.socket, op.Err)
		}
		return fmt.Errorf("admin: ask %s: %w", c.socket, err)
	}
	defer resp.Body.Close()
	body := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		var refusal Refusal
		if err := body.Decode(&refusal); err != nil || refusal.Error == "" {
			return fmt.Errorf("admin: %s %s: %s", method, path, resp.Status)
		}
		return errors.New(refusal.Error)
	}
	if into == nil {
		return nil
	}
	if err := body.Decode(into); err != nil {
		return fmt.Errorf("admin: read answer of %s: %w", path, err)
	}
	return nil
}
