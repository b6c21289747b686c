// probe is the smallest workload that can tell whether a cluster works: it serves, it dials, it resolves, and it looks
// at the walls of its own container. `cargo xtask cluster verify` runs it; nothing else does.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const dialTimeout = 1500 * time.Millisecond

func main() {
	if len(os.Args) < 2 {
		fail("usage: probe serve ADDRESS... | dial ADDRESS... | resolve NAME | walls")
	}
	switch command, arguments := os.Args[1], os.Args[2:]; {
	case command == "serve" && len(arguments) > 0:
		serve(arguments)
	case command == "dial" && len(arguments) > 0:
		dial(arguments)
	case command == "resolve" && len(arguments) == 1:
		resolve(arguments[0])
	case command == "walls":
		walls()
	default:
		fail("unknown command " + strings.Join(os.Args[1:], " "))
	}
}

// serve accepts connections on every address.
func serve(addresses []string) {
	for _, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			fail(err.Error())
		}
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					fail(err.Error())
				}
				connection.Close()
			}
		}()
	}
	select {}
}

// dial tries all addresses at once and prints a line `open ADDRESS` or `closed ADDRESS` for each.
func dial(addresses []string) {
	var all sync.WaitGroup
	for _, address := range addresses {
		all.Go(func() {
			connection, err := net.DialTimeout("tcp", address, dialTimeout)
			if err != nil {
				fmt.Println("closed", address)
				return
			}
			connection.Close()
			fmt.Println("open", address)
		})
	}
	all.Wait()
}

func resolve(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*dialTimeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, name)
	if err != nil {
		fail(err.Error())
	}
	fmt.Println(strings.Join(addresses, " "))
}

// walls prints one `key value` line for each restriction of the container it runs in.
func walls() {
	fmt.Println("uid", os.Getuid())
	fmt.Println("root-writable", os.WriteFile("/written", []byte("x"), 0o600) == nil)
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":\t"); key {
		case "CapEff", "CapBnd", "NoNewPrivs", "Seccomp":
			fmt.Println(strings.ToLower(key), value)
		}
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
