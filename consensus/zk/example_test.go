package zk_test

import (
	"context"
	"fmt"
	"time"

	"example.org/ha/consensus/zk"
)

// A consumer of a subtree lists it, and then follows it: what it missed while no server was there, it lists
// again.
func ExampleClient_Watch() {
	ctx := context.Background()
	c, err := zk.New(zk.Config{Servers: []string{"10.0.0.1:2181", "10.0.0.2:2181", "10.0.0.3:2181"}, RetryReads: true, Renew: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	go c.Run(ctx) // until ctx ends
	w, err := c.Watch(ctx, "/services", zk.Recursive)
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		ch, err := w.Next(ctx)
		if err != nil {
			return
		}
		if ch.Again {
			for n, err := range c.Walk(ctx, "/services", zk.WalkConfig{Data: true}) {
				fmt.Println("now", n.Path, string(n.Data), err)
			}
		}
		for _, e := range ch.Events {
			data, _, err := c.Get(ctx, e.Path)
			fmt.Println("changed", e.Path, string(data), err)
		}
	}
}

// Who holds a fence acts only while the session is certainly alive.
func ExampleClient_Lease() {
	c, err := zk.Dial(context.Background(), zk.Config{Servers: []string{"10.0.0.1:2181"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	const margin = 100 * time.Millisecond
	if time.Now().Before(c.Lease().Until(true).Add(-margin)) {
		fmt.Println("still the holder")
	}
}
