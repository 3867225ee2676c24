package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// A poster sends each message as JSON. A refusal (any status but 2xx) is a failure and is repeated.
type poster struct {
	cfg    Webhook
	client *http.Client
}

func newPoster(w Webhook) poster {
	return poster{cfg: w, client: &http.Client{
		Timeout:       w.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (p poster) Kind() string { return "webhook" }

// String leaves out the path and the query: with many chat services they are the secret.
func (p poster) String() string {
	u, err := url.Parse(p.cfg.URL)
	if err != nil {
		return "webhook"
	}
	return "webhook at " + u.Host
}

func (p poster) Send(ctx context.Context, m Message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("notify: encode message for %s: %w", p, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("notify: post to %s: bad address", p)
	}
	req.Header.Set("Content-Type", "application/json")
	if p.cfg.TokenFile != "" {
		token, err := firstLine(p.cfg.TokenFile)
		if err != nil {
			return fmt.Errorf("notify: read token of %s: %w", p, err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // its text would repeat the whole URL
		}
		return fmt.Errorf("notify: post to %s: %w", p, err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("notify: post to %s: answered %s", p, resp.Status)
	}
	return nil
}
