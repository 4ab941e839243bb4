package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// listenLoopback listens on a TCP address of this machine that no other machine reaches.
func listenLoopback(flag, address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usagef("%s %q: it is HOST:PORT, such as 127.0.0.1:7301", flag, address)
	}
	if !isLoopback(host) {
		return nil, refuseAddress(flag, address, port)
	}
	l, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s is taken by another process\n"+
			"  Stop that one, or choose another port (0: any that is free)", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, address, err)
	}
	// A name may stand for anything, also localhost.
	if bound, err := netip.ParseAddrPort(l.Addr().String()); err != nil || !bound.Addr().IsLoopback() {
		l.Close()
		return nil, refuseAddress(flag, address, port)
	}
	return l, nil
}

// isLoopback doesn't look names up: what they stand for can change.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func refuseAddress(flag, address, port string) error {
	return usagef("%s %s is refused: it is not a loopback address, and Usher can't tell callers apart yet,\n"+
		"  so whoever reached it could change every role.\n"+
		"  Use 127.0.0.1:%s or [::1]:%[3]s, or for gRPC --unix-socket PATH; a tunnel (ssh -L) reaches them from elsewhere",
		flag, address, port)
}
